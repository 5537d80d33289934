# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes out of what pg_dumpall wrote what makes the roles that a server does not have. Private to the collection."""

from __future__ import annotations

import re
import typing as t

# Up to the semicolon that ends a statement: strings, quoted names and comments may hold one, too.
_STATEMENT = re.compile(
    r"""(?:\b[Ee]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|[^;'"-]|-)*?;""", re.DOTALL
)
_COMMENTS = re.compile(r"^--.*$|^\\.*$", re.MULTILINE)
_NAME = r'(?P<name>"(?:[^"]|"")*"|[^\s";]+)'
_OF_ROLE = re.compile(rf"(?:CREATE ROLE|ALTER ROLE|COMMENT ON ROLE) {_NAME}")
_MEMBER = re.compile(rf'GRANT (?:"(?:[^"]|"")*"|[^\s";]+) TO {_NAME}')


def missing(script: str, present: t.Collection[str]) -> tuple[list[str], list[str]]:
    """(names, statements) that make each role of the `script` that is not among `present`, with its memberships.

    Statements about other roles, tablespaces and the rest are left out; no password is in the script.
    """
    statements = [_COMMENTS.sub("", match[0]).strip() for match in _STATEMENT.finditer(script)]
    made = [_role(each) for each in statements if each.startswith("CREATE ROLE ")]
    names = [name for name in made if name not in present]
    return names, [each for each in statements if _role(each) in names]


def _role(statement: str) -> str:
    """The role that a statement makes or changes; empty for one that does neither."""
    match = _OF_ROLE.match(statement) or _MEMBER.match(statement)
    if not match:
        return ""
    name = match["name"]
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
