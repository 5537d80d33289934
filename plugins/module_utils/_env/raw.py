# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

r"""Env files of `format: raw`, which Docker Compose reads as `docker run --env-file` does. Private to the collection.

    file   = [ BOM ] { line "\n" }                           an "\r" before the "\n" is dropped
    line   = { white } ( nothing | "#" … | name [ "=" value ] )
    name   = characters, none of them a space, a tab or a "="
    value  = the rest of the line as it is: quotes, "\", "$" and "#" mean nothing, white at its end stays

A name alone takes the value that it has outside, and is left out where there is none. Of lines with the same name the
last wins. Compose stops at the first error; this notes it and goes on.
"""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._env.interpolation import Lookup
from ansible_collections.tria.production.plugins.module_utils._env.parser import (
    MOST_ERRORS,
    MOST_NOTES,
    SPACES,
    Document,
    Entry,
    Note,
)

FORMAT = "raw"
_LONGEST_LINE = 64 * 1024 - 1  # bytes; Go's scanner takes no longer ones


def parse(text: str, lookup: Lookup) -> Document:
    """Read `text`; `lookup` gives what is known from outside."""
    document, errors = Document(), 0
    lines = (text[1:] if text.startswith("\ufeff") else text).split("\n")
    for number, line in enumerate(lines, 1):
        if errors >= MOST_ERRORS or len(document.notes) >= MOST_NOTES:
            document.notes.append(Note("syntax", number, message="after so many findings the rest was not read"))
            break
        found = _read(line, number, lookup)
        if isinstance(found, Entry):
            _keep(document, found)
        elif found:
            document.notes.append(found)
            errors += found.rule == "syntax"
    document.failed = errors > 0
    return document


def _read(line: str, number: int, lookup: Lookup) -> t.Union[Entry, Note, None]:
    """What a line sets, or what there is to say of it."""
    if len(line.encode("utf-8", "surrogatepass")) > _LONGEST_LINE:
        return Note("syntax", number, message="the line is longer than 64 KiB")
    written = (line[:-1] if line.endswith("\r") else line).lstrip(SPACES)
    if not written or written.startswith("#"):
        return None
    name, equals, value = written.partition("=")
    if not name:
        return Note("syntax", number, message="there is no name before the =")
    if " " in name or "\t" in name:
        return Note("syntax", number, message="a variable name holds a space or a tab")
    known = value if equals else lookup(name)
    return Note("bare_key", number, name) if known is None else Entry(name, known, number)


def _keep(document: Document, entry: Entry) -> None:
    earlier = document.entries.get(entry.name)
    if earlier:
        message = f"is set in line {earlier.line} too; this line wins"
        document.notes.append(Note("duplicate", entry.line, entry.name, message))
    document.entries[entry.name] = entry
