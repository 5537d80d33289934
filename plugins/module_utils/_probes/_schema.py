# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a database must hold, for every kind that asks one: tables, rows, the migration. Private to the collection."""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base

OPTIONS: dict[str, t.Any] = {
    "tables": {"type": "list", "elements": "str", "default": []},
    "min_rows": {"type": "dict", "default": {}},
    "migration_head": {"type": "str"},
    "migration_table": {"type": "str", "default": "alembic_version"},
    "schema_hash": {"type": "bool", "default": False},
}
DOCUMENTATION = """\
    tables:
      description: Tables that must exist; in PostgreSQL with or without a schema.
      type: list
      elements: str
      default: []
    min_rows:
      description: For each table, the number of rows that it has at least.
      type: dict
      default: {}
    migration_head:
      description: The migration that C(migration_table) must name, and no other.
      type: str
    migration_table:
      description: Table with the current migration in column C(version_num), as Alembic keeps it.
      type: str
      default: alembic_version
    schema_hash:
      description:
        - Also reports a hash of what the database is made of as C(schema_hash), and the migration as C(migration_head),
          a list that is empty when there is no such table.
        - Tables, columns, types, indexes, constraints, views and triggers count, rows and rights do not.
      type: bool
      default: false
"""


class Database(t.Protocol):
    """What a kind has to be able to ask; whatever fails raises `ProbeFailure`."""

    def exists(self, table: str) -> bool:
        """Whether there is a table of that name."""

    def count(self, table: str, most: int) -> int:
        """The number of its rows, counted to `most` only: a large table must not make its own probe slow."""

    def column(self, table: str, name: str) -> list[t.Any]:
        """All values of a column."""

    def definition(self) -> list[tuple[t.Any, ...]]:
        """What the database is made of, in any order. Asked last: it may leave names of tables without their schema."""


def shortfalls(database: Database, options: dict[str, t.Any], data: dict[str, t.Any]) -> list[str]:
    """Everything in `options` that the database lacks, in words; adds to `data` what was found."""
    missing = [table for table in dict.fromkeys([*options["tables"], *options["min_rows"]])
               if not database.exists(table)]
    problems = [f"table {table} does not exist" for table in missing]
    for table, minimum in options["min_rows"].items():
        if table in missing:
            continue
        found = database.count(table, int(minimum))
        data.setdefault("rows_at_least", {})[table] = found
        if found < int(minimum):
            problems.append(f"table {table} has {found} of at least {minimum} rows")
    if options["migration_head"] is not None or options["schema_hash"]:
        problems += _wrong_migration(database, options, data)
    if options["schema_hash"]:
        parts = sorted(json.dumps(row) for row in database.definition())
        data["schema_hash"] = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return problems


def _wrong_migration(database: Database, options: dict[str, t.Any], data: dict[str, t.Any]) -> list[str]:
    expected, table = options["migration_head"], options["migration_table"]
    ran = database.exists(table)
    found = sorted(str(value) for value in database.column(table, "version_num")) if ran else []
    data["migration_head"] = found
    if expected is None or found == [expected]:
        return []
    if not ran:
        return [f"table {table} does not exist, so no migration has run"]
    return [f"the migration head is {', '.join(found) or 'empty'} instead of {expected}"]


def failure(problems: list[str], data: dict[str, t.Any]) -> _base.ProbeFailure:
    """The failure that tells of all shortfalls at once."""
    return _base.ProbeFailure("; ".join(problems), "Run the migrations and load the data.", "schema", data=data)
