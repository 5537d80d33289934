# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a database must hold, for every kind that asks one: tables, rows, the migration. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base

OPTIONS: dict[str, t.Any] = {
    "tables": {"type": "list", "elements": "str", "default": []},
    "min_rows": {"type": "dict", "default": {}},
    "migration_head": {"type": "str"},
    "migration_table": {"type": "str", "default": "alembic_version"},
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
"""


class Database(t.Protocol):
    """What a kind has to be able to ask; whatever fails raises `ProbeFailure`."""

    def exists(self, table: str) -> bool:
        """Whether there is a table of that name."""

    def count(self, table: str, most: int) -> int:
        """The number of its rows, counted to `most` only: a large table must not make its own probe slow."""

    def column(self, table: str, name: str) -> list[t.Any]:
        """All values of a column."""


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
    return problems + _wrong_migration(database, options, data)


def _wrong_migration(database: Database, options: dict[str, t.Any], data: dict[str, t.Any]) -> list[str]:
    expected, table = options["migration_head"], options["migration_table"]
    if expected is None:
        return []
    if not database.exists(table):
        return [f"table {table} does not exist, so no migration has run"]
    found = data["migration_head"] = sorted(str(value) for value in database.column(table, "version_num"))
    return [] if found == [expected] else [f"the migration head is {', '.join(found) or 'empty'} instead of {expected}"]


def failure(problems: list[str], data: dict[str, t.Any]) -> _base.ProbeFailure:
    """The failure that tells of all shortfalls at once."""
    return _base.ProbeFailure("; ".join(problems), "Run the migrations and load the data.", "schema", data=data)
