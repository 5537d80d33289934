# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Docker Compose takes, and a process does not get, or not as it looks. Private to the collection."""

from __future__ import annotations

import re
import typing as t

LONGEST = 128 * 1024  # bytes of NAME=value with its NUL: Linux's MAX_ARG_STRLEN with pages of 4 KiB
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# control characters but for tab, line feed and NUL; soft hyphen; zero-width space, line and paragraph separators, marks
# of direction, word joiner, byte order mark; none of those that emojis and scripts are made of
_INVISIBLE = re.compile("[\x01-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff]")


def violations(name: str, value: str) -> t.Iterator[str]:
    """Names of the rules that a variable breaks, whatever the schema says of it."""
    if "\0" in value:
        yield "nul"
    if name and not _NAME.match(name):
        yield "odd_name"
    if _INVISIBLE.search(value):
        yield "invisible"
    if len(value) > LONGEST // 8 and len(f"{name}={value}\0".encode("utf-8", "surrogatepass")) > LONGEST:
        yield "too_long"
