# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`$VAR`, `${VAR}` and their operators, as Docker Compose substitutes them. Private to the collection.

    reference   = "$$" | "$" name | "${" name "}" | "${" name operator word "}"
    name        = ( letter | "_" ) { letter | digit | "_" }         ASCII letters, and two that fold into ASCII
    operator    = ":-" | "-" | ":+" | "+" | ":?" | "?"              with ":" an empty value counts as unset
    word        = text on one line, itself substituted

A `$` before anything else stays. `${` before anything else is an error. An unset variable is empty. What a variable
holds is not substituted again.

The word ends at the first "}" that closes as many as were opened, where the character behind an opening brace never
counts; if none does, at the last "}" of the line. An error in a word is one even where the word is not used (the newest
versions of Compose no longer look at it then).

Two limits are ours, so that no file takes all memory or time: how deep words are nested, and how long the result is.
"""

from __future__ import annotations

import re
import typing as t

Lookup = t.Callable[[str], t.Optional[str]]

LONGEST = 4 * 1024 * 1024  # characters; Linux gives a process 2 MiB for its whole environment
_DEEPEST = 100  # nested words; Compose has no limit, but nobody means more
_NAME = "[_a-zA-Z\u017f\u212a][_a-zA-Z0-9\u017f\u212a]*"
_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<named>{0})|\{{(?:(?P<name>{0})(?P<operator>:?[-+?]|\}}))?)".format(_NAME)
)
_BRACE = re.compile(r"\{.?|\}", re.DOTALL)


class InterpolationError(Exception):
    """`cause` says what is wrong without showing any of the text; `name` is the variable that must be set, or empty."""

    def __init__(self, cause: str, name: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.name = name


def substitute(template: str, lookup: Lookup, unset: list[str], depth: int = 0) -> str:
    """`template` with its references replaced by what `lookup` gives (None: unset).

    Appends to `unset` every name that was not set where it was used, and had no operator to say what then. Raises
    `InterpolationError`.
    """
    if depth > _DEEPEST:
        raise InterpolationError(f"references are nested more than {_DEEPEST} deep")
    words = _Words(template)
    pieces: list[str] = []
    position = length = 0
    match = _REFERENCE.search(template)
    while match:
        pieces.append(template[position : match.start()])
        position = match.end()
        if match["escaped"]:
            pieces.append("$")
        elif match["named"] or match["operator"] == "}":
            pieces.append(_plain(match["named"] or match["name"], lookup, unset))
        else:
            word, position = words.of(match)
            of_word: list[str] = []
            word = substitute(word, lookup, of_word, depth + 1)
            value = _kept(match, lookup)
            if value is None:
                unset.extend(of_word)
            pieces.append(word if value is None else value)
        length += len(pieces[-1])
        if length > LONGEST:
            raise InterpolationError("its references make it longer than any environment can hold")
        match = _REFERENCE.search(template, position)
    pieces.append(template[position:])
    return "".join(pieces)


def _plain(name: str, lookup: Lookup, unset: list[str]) -> str:
    value = lookup(name)
    if value is None:
        unset.append(name)
    return value or ""


def _kept(match: re.Match[str], lookup: Lookup) -> str | None:
    """The variable's value, or None where the operator puts the word in its place."""
    operator, value = match["operator"], lookup(match["name"])
    present = bool(value) if operator[0] == ":" else value is not None
    if operator[-1] == "?" and not present:
        raise InterpolationError("a variable that a reference with ? requires is not set", match["name"])
    return None if present == (operator[-1] == "+") else value or ""


class _Words:
    """Finds the words of a template's references, which are asked for in their order; each line is searched once."""

    def __init__(self, template: str) -> None:
        self._template = template
        self._line_end = self._last_brace = -1

    def of(self, match: re.Match[str]) -> tuple[str, int]:
        """The word behind an operator, and where its reference ends; raises `InterpolationError` if it never does."""
        begin = match.end()
        if begin > self._line_end:
            self._line_end = self._template.find("\n", begin)
            if self._line_end < 0:
                self._line_end = len(self._template)
            self._last_brace = self._template.rfind("}", begin, self._line_end)
        if match["operator"] is None or self._last_brace < begin:
            raise InterpolationError(
                "malformed reference: after ${ a name and a closing brace must follow on the same line"
            )
        end = self._closing(match.start() + 1)
        return self._template[begin:end], end + 1

    def _closing(self, opening: int) -> int:
        opened = 0
        for brace in _BRACE.finditer(self._template, opening, self._last_brace + 1):
            opened += -1 if brace[0] == "}" else 1
            if opened == 0:
                return brace.start()
        return self._last_brace
