# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

r"""Env files read exactly as Docker Compose reads them (compose-go's dotenv dialect). Private to the collection.

    file       = [ BOM ] { gap statement }
    gap        = { white | "#" … to the end of the line }
    statement  = [ export ] name ( "=" | ":" ) { blank } value        a value
               | [ export ] [ name ] line-end                         the process environment's value, if there is any
               | [ export ] text of name characters, end of file      a value without a name: an error
    export     = "export" ( tab | line end | form feed | "\r" | " " ) { blank }
    name       = { letter | digit | "_" | "." | "-" | "[" | "]" | blank }     of any script
                 blanks at its end are dropped, a space within it is an error (another blank is part of the name)
    value      = "'" { character | "\'" } "'"         literal; may span lines
               | '"' { character | escape } '"'       escapes are replaced, then references; may span lines
               | the rest of the line up to " #"      white at its end is dropped, then references are replaced
    escape     = "\" ( "a" | "b" | "f" | "n" | "r" | "t" | "v" | "\" | '"' | "$" )
               | "\0" three octal digits, at most 377     of other digits only the 0 is dropped
                 before any other character the backslash stays, and behind "\" "$" begins no reference
    blank      = tab | "\v" | "\f" | "\r" | " " | U+0085 | U+00A0
    line end   = "\n" alone: of "\r\n" the "\r" is a blank, and a "\r" by itself ends nothing
    white      = blank | line end | U+1680 | U+2000 … U+200A | U+2028 | U+2029 | U+202F | U+205F | U+3000

References are those of `interpolation`. They see the process environment and earlier files first, then earlier lines; a
name alone on its line sees no earlier line. Nothing has to separate a closing quote from what follows: `A="x"B=1` holds
two statements. Of statements with the same name the last wins, and one that sets nothing leaves the earlier one.

Compose stops at the first error. This parser notes it and goes on with the next line, so that one run shows all; the
values are Compose's only when there is no error. A value without a name is an error here, because no process can be
given one: Compose reads it, and fails later.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env.interpolation import (
    LONGEST,
    InterpolationError,
    Lookup,
    substitute,
)

# Go's unicode.IsSpace is narrower than str.isspace, and within a line narrower still
_INLINE = " \t\v\f\r\x85\xa0"
_SPACE = _INLINE + "\n\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
SPACES = (
    "".join(chr(c) for c in (*range(0x2000, 0x200B), 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)) + _INLINE + "\n"
)

_BLANK = re.compile(f"[{_SPACE}]*")
_INDENT = re.compile(f"[{_INLINE}]*")
_EXPORT = re.compile(r"export(?=[\t\n\f\r ])")
_NAME = re.compile(rf"[\w.\-\[\]{_INLINE}]*")
_LINE = re.compile(r"[^\n]*")
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_ESCAPE = re.compile(r'\\(?:[abfnrtv$"\\]|0[0-9]{0,3})')
_TAIL = re.compile(rf"[{_INLINE}]*(?:#|\n|\Z)")

_MOST_SUBSTITUTED = 4 * LONGEST  # characters of all values with references together
MOST_ERRORS, MOST_NOTES = 1000, 100000  # in a file; one with more is no env file

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}


@dataclasses.dataclass
class Note:
    """Something seen while reading. `rule` is the name of a rule in `rules`; `reference` a name a `$` referred to."""

    rule: str
    line: int
    name: str = ""
    message: str = ""
    reference: str = ""


@dataclasses.dataclass
class Entry:
    """One statement. `cut`: an inline comment was cut off; `after_quote`: it began right behind a quote."""

    name: str
    value: str
    line: int
    cut: bool = False
    after_quote: bool = False


@dataclasses.dataclass
class Document:
    """What a file holds: the effective entry of each name, and the notes in order. `broken`: names with an error."""

    entries: dict[str, Entry] = dataclasses.field(default_factory=dict)
    notes: list[Note] = dataclasses.field(default_factory=list)
    broken: dict[str, int] = dataclasses.field(default_factory=dict)
    failed: bool = False

    @property
    def values(self) -> dict[str, str]:
        return {name: entry.value for name, entry in self.entries.items()}


def parse(text: str, lookup: Lookup | None = None) -> Document:
    """Read `text`. `lookup` gives what is known from outside: the process environment, then earlier files."""
    return _Parser(text, lookup or (lambda name: None)).run()


class _Parser:
    def __init__(self, text: str, lookup: Lookup) -> None:
        self._text = text[1:] if text.startswith("\ufeff") else text
        self._lookup = lookup
        self._document = Document()
        self._line, self._counted = 1, 0
        self._after_quote = False
        self._errors = self._substituted = 0

    def run(self) -> Document:
        position = self._gap(0)
        while position < len(self._text):
            if self._errors >= MOST_ERRORS or len(self._document.notes) >= MOST_NOTES:
                self._error(self._line_at(position), "", "after so many findings the rest was not read")
                break
            position = self._gap(self._statement(position))
        return self._document

    def _gap(self, position: int) -> int:
        position = self._skip(_BLANK, position)
        while self._text.startswith("#", position):
            position = self._skip(_BLANK, self._skip(_LINE, position))
        return position

    def _statement(self, start: int) -> int:
        """Read the statement at `start`, give where the next may begin."""
        line, after_quote, self._after_quote = self._line_at(start), self._after_quote, False
        export = _EXPORT.match(self._text, start)
        begin = self._skip(_INDENT, export.end()) if export else start
        end = self._skip(_NAME, begin)
        if end == len(self._text):
            return self._nameless(begin, line, "the last line has neither = nor a line end")
        separator = self._text[end]
        if separator not in "=:\n":
            self._error(line, "", f"unexpected character in a variable name, column {self._column(end)}")
            return self._skip(_LINE, end)
        name = self._text[begin:end].rstrip(SPACES)
        if " " in name:
            self._error(line, "", "a variable name holds a space")
            return self._skip(_LINE, end)
        if separator == "\n":
            return self._bare(name, line, end + 1)
        if not name:
            return self._nameless(end + 1, line, "there is no name before the = or :")
        return self._value(name, line, self._skip(_INDENT, end + 1), after_quote)

    def _bare(self, name: str, line: int, end: int) -> int:
        value = self._lookup(name)
        if value is not None:
            self._keep(Entry(name, value, line))
        elif name:
            self._note("bare_key", line, name)
        return end

    def _nameless(self, begin: int, line: int, cause: str) -> int:
        # what Compose makes of it cannot be set in any process
        self._error(line, "", cause)
        return self._value("", line, self._skip(_INDENT, begin), False)

    def _value(self, name: str, line: int, start: int, after_quote: bool) -> int:
        if not self._text.startswith(("'", '"'), start):
            return self._unquoted(name, line, start, after_quote)
        quote, closing = self._text[start], _closing_quote(self._text, start)
        if closing < 0:
            self._error(line, name, "the closing quote is missing")
            return self._skip(_LINE, start)
        value = self._text[start + 1 : closing]
        if "\\" in value:
            value = _PAIR.sub(lambda pair: pair[1] if pair[1] == quote else pair[0], value)
        if quote == '"':
            value = self._expand(name, line, _ESCAPE.sub(_unescape, value))
        self._keep(Entry(name, value, line, after_quote=after_quote))
        if not _TAIL.match(self._text, closing + 1):
            self._after_quote = True
            self._note("text_after_quote", self._line_at(closing), name)
        return closing + 1

    def _unquoted(self, name: str, line: int, start: int, after_quote: bool) -> int:
        end = self._skip(_LINE, start)
        written, comment, rest = self._text[start:end].partition(" #")
        value = written.rstrip(SPACES)
        if value.startswith("#") or "\t#" in value:
            self._note("hash_kept", line, name)
        elif comment and rest and rest[0] not in " \t\r#!-=":
            self._note("hash_cut", line, name)
        self._keep(Entry(name, self._expand(name, line, value), line, bool(comment), after_quote))
        return end

    def _expand(self, name: str, line: int, template: str) -> str:
        if "$" not in template:
            return template
        unset: list[str] = []
        try:
            value = substitute(template, self._known, unset)
            self._substituted += len(value)
            if self._substituted > _MOST_SUBSTITUTED:
                raise InterpolationError("the references of the file make it longer than any environment can hold")
            return value
        except InterpolationError as exc:
            self._error(line, name, exc.cause, "interpolation")
            return ""
        finally:
            for reference in dict.fromkeys(unset):
                self._note("unset_reference", line, name, reference=reference)

    def _known(self, name: str) -> str | None:
        value = self._lookup(name)
        if value is None and name in self._document.entries:
            return self._document.entries[name].value
        return value

    def _keep(self, entry: Entry) -> None:
        earlier = self._document.entries.get(entry.name)
        if earlier and entry.name:
            self._note("duplicate", entry.line, entry.name, f"is set in line {earlier.line} too; this line wins")
        self._document.entries[entry.name] = entry

    def _error(self, line: int, name: str, cause: str, rule: str = "syntax") -> None:
        self._document.failed = True
        self._errors += 1
        if name:
            self._document.broken[name] = line
        self._note(rule, line, name, cause)

    def _note(self, rule: str, line: int, name: str, message: str = "", reference: str = "") -> None:
        self._document.notes.append(Note(rule, line, name, message, reference))

    def _skip(self, pattern: re.Pattern[str], position: int) -> int:
        return t.cast("re.Match[str]", pattern.match(self._text, position)).end()

    def _line_at(self, position: int) -> int:
        self._line += self._text.count("\n", self._counted, position)
        self._counted = max(self._counted, position)
        return self._line

    def _column(self, position: int) -> int:
        return position - self._text.rfind("\n", 0, position)


def _closing_quote(text: str, start: int) -> int:
    """Where the quote at `start` is closed, or -1: a quote behind an odd number of backslashes closes nothing."""
    end = text.find(text[start], start + 1)
    while end >= 0:
        begin = end
        while begin > start + 1 and text[begin - 1] == "\\":
            begin -= 1
        if (end - begin) % 2 == 0:
            break
        end = text.find(text[start], end + 1)
    return end


def _unescape(match: re.Match[str]) -> str:
    code = match[0][1:]
    if code == "$":
        return "$$"  # a reference's own way to write it: substitution comes next
    if code[0] != "0":
        return _ESCAPES.get(code, match[0])
    digits = code[1:]
    if re.fullmatch(r"[0-3][0-7]{2}", digits):
        return chr(int(digits, 8))
    return "\\" + digits
