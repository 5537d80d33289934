# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets out of text that leaves the host (logs, errors, reports). Private to the collection."""

from __future__ import annotations

import re
import typing as t

MASK = "********"
_SHORTEST = 4  # shorter values would blank out ordinary words
_URL_PASSWORD = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(?=@)", re.IGNORECASE)
_ASSIGNMENT = re.compile(
    r"(?P<head>\b[\w-]*(?:password|passwd|secret|token|api[_-]?key)[\w-]*[\"']?\s*[=:]\s*[\"']?)(?P<value>[^\s\"',;&]+)",
    re.IGNORECASE,
)


def redact(text: str, secrets: t.Iterable[str] = ()) -> str:
    """`text` with every given secret, every URL password and every `…password=…` value replaced by `MASK`."""
    for secret in sorted({s for s in secrets if s and len(s) >= _SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _URL_PASSWORD.sub(lambda match: match["head"] + MASK, text)
    return _ASSIGNMENT.sub(lambda match: match["head"] + MASK, text)
