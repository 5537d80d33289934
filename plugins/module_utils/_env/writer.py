# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Env files written so that Docker Compose reads back exactly what was given. Private to the collection."""

from __future__ import annotations

import math
import re
import typing as t

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*\Z")
# an odd run of backslashes before a quote or the end cannot be written between single quotes
_UNQUOTABLE = re.compile(r"(?<!\\)(?:\\\\)*\\(?:'|\Z)")


class WriteError(ValueError):
    """The message names the variable and the cause, never the value."""


def scalar(value: t.Any) -> str | None:
    """A YAML scalar as the text of an environment variable, or None if it is no scalar.

    `true`/`false` in lower case; numbers in their shortest form (quote them in YAML to keep `100.00`).
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int) or isinstance(value, float) and math.isfinite(value):
        return str(value)
    return None


def dump(variables: t.Mapping[str, t.Any]) -> str:
    """`variables` as the text of an env file, one statement each, sorted by name; a variable that is None is left out.

    Raises `WriteError` for a name that no process environment can carry, or a value that is no scalar.
    """
    for name in variables:
        if not isinstance(name, str) or not _NAME.match(name):
            raise WriteError(f"{name!r} is no name for a variable: letters, digits and _ only, no digit at its start")
    return "".join(_statement(str(name), variables[name]) for name in sorted(variables))


def _statement(name: str, value: t.Any) -> str:
    if value is None:
        return ""
    text = scalar(value)
    if text is None:
        raise WriteError(f"{name}: {_kind(value)} cannot be written; text, a number or a boolean is needed")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise WriteError(f"{name}: the value holds a character that no environment variable can carry")
    return f"{name}={quote(text)}\n"


def _kind(value: t.Any) -> str:
    if isinstance(value, t.Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else f"a value of type {type(value).__name__}"


def quote(text: str) -> str:
    """`text` as the value of a statement: plain where that is safe, else in single, else in double quotes."""
    if _PLAIN.match(text):
        return text
    if not _UNQUOTABLE.search(text):
        return "'" + text.replace("'", "\\'") + "'"
    return '"' + re.sub(r'[\\"$]', lambda match: "\\" + match[0], text) + '"'
