# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`$VAR`, `${VAR}` and their operators, as Docker Compose substitutes them. Private to the collection.

    reference   = "$$" | "$" name | "${" name [ operator word ] "}"
    name        = ( letter | "_" ) { letter | digit | "_" }          ASCII letters, and the two that fold into ASCII
    operator    = ":-" | "-" | ":+" | "+" | ":?" | "?"               with ":" an empty value counts as unset
    word        = text on one line, itself substituted, even where it is not used

A `$` before anything else stays. `${` before anything else is an error. An unset variable is empty.
"""

from __future__ import annotations

import re
import typing as t

Lookup = t.Callable[[str], t.Optional[str]]

_DEEPEST = 100  # nested words; Compose has no limit, but nobody means more
_NAME = "[_a-zA-Z\u017f\u212a][_a-zA-Z0-9\u017f\u212a]*"
_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<named>{0})|\{{(?:(?P<name>{0})(?:(?P<operator>:?[-+?])(?P<word>.*))?\}}|))".format(_NAME)
)


class InterpolationError(Exception):
    """`cause` says what is wrong without showing any of the text; `name` is the variable that must be set, or empty."""

    def __init__(self, cause: str, name: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.name = name


def substitute(template: str, lookup: Lookup, unset: list[str], depth: int = 0) -> str:
    """`template` with its references replaced by what `lookup` gives (None: unset).

    Appends to `unset` every name that was not set and had no operator to say what then. Raises `InterpolationError`.
    """
    if depth > _DEEPEST:
        raise InterpolationError(f"references are nested more than {_DEEPEST} deep")
    pieces: list[str] = []
    position = 0
    match = _REFERENCE.search(template)
    while match:
        pieces.append(template[position : match.start()])
        position = _end(template, match)
        pieces.append(_replacement(template, match, position, lookup, unset, depth))
        match = _REFERENCE.search(template, position)
    pieces.append(template[position:])
    return "".join(pieces)


def _replacement(template: str, match: re.Match[str], end: int, lookup: Lookup, unset: list[str], depth: int) -> str:
    if match["escaped"]:
        return "$"
    name, operator = match["named"] or match["name"], match["operator"]
    if name is None:
        raise InterpolationError(
            "malformed reference: after ${ a name and a closing brace must follow on the same line"
        )
    value = lookup(name)
    if not operator:
        if value is None:
            unset.append(name)
        return value or ""
    word = substitute(template[match.end("operator") : end - 1], lookup, unset, depth + 1)
    present = bool(value) if operator[0] == ":" else value is not None
    if operator[-1] == "?" and not present:
        raise InterpolationError("a variable that a reference with ? requires is not set", name)
    if operator[-1] == "+":
        return word if present else value or ""
    return value or "" if present else word


def _end(template: str, match: re.Match[str]) -> int:
    """Where the reference ends.

    The pattern runs to the last brace of the line; Compose then takes the first one that closes as many as were opened,
    not looking at the character after an opening one, and the last brace after all where there is none.
    """
    if not match["operator"]:
        return match.end()
    opened, index = 0, match.start() + 1
    while index < match.end():
        if template[index] == "}":
            opened -= 1
            if opened == 0:
                return index + 1
        elif template[index] == "{":
            opened += 1
            index += 1
        index += 1
    return match.end()
