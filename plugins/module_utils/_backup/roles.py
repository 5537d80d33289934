# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roles beside a dump, and what of them makes those that a server does not have. Private to the collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import archive, encryption, reading
from ansible_collections.tria.production.plugins.module_utils._backup.folder import Draft
from ansible_collections.tria.production.plugins.module_utils._backup.manifest import File
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Server, conninfo
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_END = b"PostgreSQL database cluster dump complete"

# Up to the semicolon that ends a statement: strings, quoted names and comments may hold one, too.
_STATEMENT = re.compile(
    r"""(?:\b[Ee]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|[^;'"-]|-)*?;""", re.DOTALL
)
_COMMENTS = re.compile(r"^--.*$|^\\.*$", re.MULTILINE)
_NAME = r'(?P<name>"(?:[^"]|"")*"|[^\s";]+)'
_OF_ROLE = re.compile(rf"(?:CREATE ROLE|ALTER ROLE|COMMENT ON ROLE) {_NAME}")
_MEMBER = re.compile(rf'GRANT (?:"(?:[^"]|"")*"|[^\s";]+) TO {_NAME}')


def dumped(source: Server, deadline: Deadline) -> bytes:
    """Roles and tablespaces, which no database dump holds, as a script; without the roles' passwords."""
    argv = ["pg_dumpall", "--no-password", "--globals-only", "--no-role-passwords"]
    argv.append(f"--database={conninfo(source.connection.dbname)}")
    text = reading.Collector()
    source.run(argv, deadline, sink=text.write)
    if _END not in text.data[-512:]:
        raise ProductionError(source.name, "pg_dumpall's output has no end.", "Run again, or set globals: false.")
    return text.data


def keep(draft: Draft, name: str, script: bytes, cipher: encryption.Cipher) -> File:
    """Writes the script beside the dump, and reads it back; raises `archive.Damaged` when that is not the same."""
    with draft.create(name) as file, cipher.encrypting(file) as target:
        meter = archive.Meter(target)
        meter.write(script)
    written = cipher.recorded(draft.path(name), File(name, meter.size, meter.sha256))
    try:
        for _chunk in encryption.checked_chunks(draft.path(name), "none", written, meter.size, cipher.key):
            continue
    except archive.Damaged as exc:
        raise archive.Damaged(f"the roles beside it: {exc}") from exc
    return written


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
