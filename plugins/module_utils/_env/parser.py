# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

r"""Env files read exactly as Docker Compose reads them (compose-go's dotenv dialect). Private to the collection.

    file       = [ BOM ] { gap statement }
    gap        = { white space | "#" … to the end of the line }
    statement  = [ "export" white space ] name ( "=" | ":" ) { space } value   a value
               | [ "export" white space ] name "\n"                            the process environment's value, if any
               | text of name characters at the end of the file                a value without a name
    name       = letters, digits, "_", ".", "-", "[", "]"; spaces at its end are dropped, within it an error
    value      = "'" … "'"     literal; only \' is an escape; may span lines
               | '"' … '"'     \a \b \f \n \r \t \v \\ \" \$ and \0ooo are escapes; then substituted; may span lines
               | the rest of the line up to " #", its end trimmed, substituted

Nothing has to separate a closing quote from what follows: `A="x"B=1` holds two statements. Of statements with the same
name the last wins; a reference sees the process environment and earlier files first, then earlier lines.

Compose stops at the first error. This parser notes it and goes on with the next line, so that one run shows all; the
values are Compose's only when there is no error.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env.interpolation import (
    InterpolationError,
    Lookup,
    substitute,
)

# Go's unicode.IsSpace is narrower than str.isspace, and within a line narrower still
_INLINE = " \t\v\f\r\x85\xa0"
_SPACE = _INLINE + "\n\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SPACES = (
    "".join(chr(c) for c in (*range(0x2000, 0x200B), 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)) + _INLINE + "\n"
)

_GAP = re.compile(rf"(?:[{_SPACE}]+|#[^\n]*)*")
_INDENT = re.compile(f"[{_INLINE}]*")
_EXPORT = re.compile(r"export(?=[\t\n\f\r ])")
_NAME = re.compile(rf"[\w.\-\[\]{_INLINE}]*")
_LINE = re.compile(r"[^\n]*")
_SINGLE = re.compile(r"'([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL)
_DOUBLE = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_ESCAPE = re.compile(r'\\(?:[abfnrtv$"\\]|0[0-9]{0,3})')
_TAIL = re.compile(rf"[{_INLINE}]*(?:#|\n|\Z)")

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

    def run(self) -> Document:
        position = self._skip(_GAP, 0)
        while position < len(self._text):
            position = self._skip(_GAP, self._statement(position))
        return self._document

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
        name = self._text[begin:end].rstrip(_SPACES)
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
        quote = self._text[start : start + 1]
        if quote not in ("'", '"') or not quote:
            return self._unquoted(name, line, start, after_quote)
        match = (_SINGLE if quote == "'" else _DOUBLE).match(self._text, start)
        if match is None:
            self._error(line, name, "the closing quote is missing")
            return self._skip(_LINE, start)
        value = _PAIR.sub(lambda pair: pair[1] if pair[1] == quote else pair[0], match[1])
        if quote == '"':
            value = self._expand(name, line, _ESCAPE.sub(_unescape, value))
        self._keep(Entry(name, value, line, after_quote=after_quote))
        if not _TAIL.match(self._text, match.end()):
            self._after_quote = True
            self._note("text_after_quote", self._line_at(match.end()), name)
        return match.end()

    def _unquoted(self, name: str, line: int, start: int, after_quote: bool) -> int:
        end = self._skip(_LINE, start)
        written, comment, rest = self._text[start:end].partition(" #")
        value = written.rstrip(_SPACES)
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
            return substitute(template, self._known, unset)
        except InterpolationError as exc:
            self._error(line, name, exc.cause, "interpolation")
            return ""
        finally:
            for reference in unset:
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
