# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a database holds, table by table, as one transaction sees it. Private to the collection."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup.kept import Ended, Kept
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import PSQL, Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_DONE = b"done"
LARGE_OBJECTS = "pg_catalog.pg_largeobject"

# What values look like as text, that every row is seen or an error says why not, and that only we end the session.
_SETTINGS = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "search_path": "pg_catalog",
    "quote_all_identifiers": "off",
    "row_security": "off",
    "jit": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
}

# The tables whose rows a dump holds: those that _FACTS_SQL of `source` counts, and those that an extension asks to be
# dumped, with its condition. A partitioned table has no rows of its own; unlogged tables have some.
_TABLES = """
FROM (SELECT c.oid, c.relkind, c.relname, n.nspname, config.condition
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN (SELECT each.* FROM pg_extension, unnest(extconfig, extcondition) AS each (oid, condition)) AS config
          ON config.oid = c.oid
      WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND (config.oid IS NOT NULL OR NOT EXISTS (
            SELECT FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))) AS dumped
"""
_LOCK_SQL = r"SELECT format('LOCK TABLE ONLY %s IN ACCESS SHARE MODE', oid::regclass)" + _TABLES + "\\gexec\n"

# Columns by name: those that a child table has inherited may come back in another order. Names are written so that they
# tell the schema from the table, and the same whatever a later version makes a key word.
_NAME = r"""CASE WHEN {0} ~ '^[a-z_][a-z0-9_$]*$' COLLATE "C" THEN {0} ELSE '"' || replace({0}, '"', '""') || '"' END"""
_ROWS_SQL = (
    r"""
SELECT format(
    'SELECT json_build_object(''table'', %L, ''rows'', count(*),
        ''hash'', coalesce(sum(hashtextextended(ROW(%s)::text, 0)::numeric), 0)::text) FROM ONLY %s %s',
    """
    + f"{_NAME.format('nspname')} || '.' || {_NAME.format('relname')},"
    + r"""
    (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname COLLATE "C") FROM pg_attribute
     WHERE attrelid = dumped.oid AND attnum > 0 AND NOT attisdropped),
    oid::regclass, condition)
"""
    + _TABLES
    + "WHERE relkind = 'r' \\gexec\n"
)

# In pieces of 1 MiB, so that an object may be larger than the server's memory; holes in it read as zeros.
_LARGE_OBJECTS_SQL = f"""
WITH RECURSIVE piece (oid, place, data) AS (
    SELECT oid, 0::bigint, lo_get(oid, 0, 1048576) FROM pg_largeobject_metadata
    UNION ALL
    SELECT oid, place + 1048576, lo_get(oid, place + 1048576, 1048576) FROM piece WHERE length(data) = 1048576)
SELECT json_build_object('table', '{LARGE_OBJECTS}', 'rows', count(*) FILTER (WHERE place = 0),
    'hash', sum(hashtextextended(concat_ws(':', oid, place, md5(data)), 0)::numeric)::text)
FROM piece HAVING count(*) > 0;
"""


class Reading:
    """One read-only transaction of a session of its own; it ends with the `with` block, and with this process."""

    def __init__(self, server: Server, deadline: Deadline, lock_timeout: float) -> None:
        self._server = server
        self._deadline = deadline
        self._lock_timeout = lock_timeout
        self._psql: t.Any = None

    def __enter__(self) -> Reading:
        argv = PSQL + ["--tuples-only", "--no-align"]
        environment = self._server.environment()
        names = sorted(self._server.connection.environment(self._server.application_name))
        self._psql = Kept(self._server.command(argv, names, True), environment)
        pinned = ", ".join(f"('{name}', '{value}')" for name, value in _SETTINGS.items())
        self._tell(
            f"SELECT set_config(name, value, false) FROM (VALUES {pinned}) AS pinned (name, value)"
            " WHERE EXISTS (SELECT FROM pg_settings known WHERE lower(known.name) = lower(pinned.name));\n"
            f"SET lock_timeout = {int(self._lock_timeout * 1000)};\n"
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"
        )
        return self

    def __exit__(self, failure: t.Any, *_exc: t.Any) -> None:
        try:
            if failure is not None and self._server.on_abort is not None:
                self._server.on_abort()  # it may be at work for long, and inside a container it would go on
        finally:
            self._psql.close()

    def export(self) -> str:
        """Locks every table against changes of its shape, as pg_dump does, and gives the name of the snapshot."""
        self._tell("SELECT json_build_object('snapshot', pg_export_snapshot());\n" + _LOCK_SQL)
        return next(iter(self._answers()))["snapshot"]

    def begin(self) -> None:
        """Begins to count and hash every table; `contents` waits for the end of it."""
        self._tell(_ROWS_SQL + _LARGE_OBJECTS_SQL)

    def contents(self) -> dict[str, dict[str, t.Any]]:
        """Number of rows (`rows`) and hash (`hash`) of each table by name, large objects like one table more.

        The hash is the sum of those of the rows, so that their order does not matter.
        """
        return {each.pop("table"): each for each in self._answers()}

    def _tell(self, script: str) -> None:
        self._psql.tell(script.encode("ascii"))

    def _answers(self) -> list[dict[str, t.Any]]:
        self._tell(f"\\echo {_DONE.decode()}\n")
        try:
            lines = [line for line in self._psql.lines(_DONE, self._deadline) if line.startswith(b"{")]
        except Ended as exc:
            raise self._server.failure("psql", exc.status, str(exc)) from exc
        return [json.loads(line.decode("utf-8", "surrogateescape")) for line in lines]


def contents(server: Server, deadline: Deadline, lock_timeout: float) -> dict[str, dict[str, t.Any]]:
    """As `Reading.contents`, of a database that nobody else is to write to."""
    with Reading(server, deadline, lock_timeout) as reading:
        reading.begin()
        return reading.contents()


def difference(
    expected: dict[str, dict[str, t.Any]], found: dict[str, dict[str, t.Any]], hashes: bool = True
) -> list[str]:
    """In which tables `found` is not what was `expected`: one line each, without any of their content."""
    lines = []
    for table in sorted({*expected, *found}):
        if table not in found:
            lines.append(f"{table} is missing")
        elif table not in expected:
            lines.append(f"{table} was not there")
        elif found[table]["rows"] != expected[table]["rows"]:
            lines.append(f"{table} has {found[table]['rows']} rows instead of {expected[table]['rows']}")
        elif hashes and found[table]["hash"] != expected[table]["hash"]:
            lines.append(f"{table} has as many rows, but not the same")
    return lines


def require_same(
    culprit: str, expected: dict[str, dict[str, t.Any]], found: dict[str, dict[str, t.Any]], hashes: bool = True
) -> None:
    """Raises `ProductionError` that names the first tables that differ."""
    lines = difference(expected, found, hashes)
    if lines:
        more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise ProductionError(
            culprit,
            f"restored, it is not what was dumped: {'; '.join(lines[:5])}{more}.",
            "See whether something in the database changes rows as they are loaded (an event trigger, a rule).",
            differences=lines[:100],
        )
