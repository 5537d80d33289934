# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_backup and pg_restore, against a real PostgreSQL: all that a database can hold, in any encoding, under writers."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from backup_server import Postgres, result_of, start, start_restore
from full_database import EVERYTHING, ROLE, WRITTEN_SQL, plain, quoted, writing


@pytest.fixture
def there_and_back(
    tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path
) -> t.Iterator[t.Callable[..., dict[str, t.Any]]]:
    """Backs a database up and restores that beside it, as `<its name> back`; gives the backup."""
    beside = []

    def run(dbname: str, kind: str = "", **options: t.Any) -> dict[str, t.Any]:
        made = result_of(start(tmp_path, server, dest, dbname=dbname, **options))
        assert made.get("changed"), made
        back = f"{dbname} back"
        beside.append(back)
        server.psql(f"CREATE DATABASE {quoted(back)} TEMPLATE template0 {kind}", dbname="postgres")
        options = {"dbname": back, "backup": made["backup"]["path"], "foreign": True}
        restored = result_of(start_restore(tmp_path, server, dest, **options))
        assert restored.get("changed"), restored
        beside.append(restored["restored"]["before"])
        return made["backup"]

    yield run
    for name in beside:
        server.psql(f"DROP DATABASE IF EXISTS {quoted(name)}", dbname="postgres")


@pytest.fixture
def database(server: Postgres) -> t.Iterator[t.Callable[..., str]]:
    """Makes databases that are gone after the test."""
    made = []

    def make(name: str, kind: str = "") -> str:
        server.psql(f"CREATE DATABASE {quoted(name)} TEMPLATE template0 {kind}", dbname="postgres")
        made.append(name)
        return name

    yield make
    for name in made:
        server.psql(f"DROP DATABASE {quoted(name)}", dbname="postgres")


def test_everything_that_a_database_can_hold(
    server: Postgres, database: t.Callable[..., str], there_and_back: t.Any
) -> None:
    name = database("--version 'every\"thing ü")
    server.psql(EVERYTHING, dbname=name)
    try:
        made = there_and_back(name)
        tables = server.value("SELECT count(*) FROM pg_tables WHERE schemaname !~ '^(pg_|info)'", name)
        assert made["tables"] == int(tables)
        assert plain(server, f"{name} back") == plain(server, name)
        assert server.value("SELECT n FROM totals", f"{name} back") == "401"
        assert server.value("SELECT length(lo_get(4712))", f"{name} back") == "600000"
    finally:
        for each in (name, f"{name} back"):
            server.psql(f"DROP OWNED BY {ROLE} CASCADE", dbname=each)
        server.psql(f"DROP ROLE {ROLE}", dbname="postgres")


@pytest.mark.parametrize(
    ("encoding", "raw"),
    [("SQL_ASCII", "\\xfffe80"), ("LATIN9", "\\xe4a4"), ("EUC_JP", "\\xb4c1bbfa"), ("WIN1251", "\\xcff0")],
)
def test_other_encodings(
    server: Postgres, database: t.Callable[..., str], there_and_back: t.Any, encoding: str, raw: str
) -> None:
    """Bytes that are no UTF-8, in rows and in names, come back as they were."""
    kind = f"ENCODING {encoding} LC_COLLATE 'C' LC_CTYPE 'C'"
    name = database(f"encoded {encoding}", kind)
    server.psql(
        f"CREATE TABLE words AS SELECT convert_from('{raw}'::bytea, '{encoding}') AS word;"
        f" DO $$ BEGIN EXECUTE format('CREATE TABLE %I ()', convert_from('{raw}'::bytea, '{encoding}')); END $$",
        dbname=name,
    )
    there_and_back(name, kind)
    back = f"{name} back"
    assert server.value(f"SELECT convert_to(word, '{encoding}') FROM words", back) == raw
    assert plain(server, back) == plain(server, name)


def test_rows_written_meanwhile(server: Postgres, database: t.Callable[..., str], there_and_back: t.Any) -> None:
    """All of it is of one moment: what is written in one transaction is there in both tables, or in neither."""
    name = database("written")
    server.psql(WRITTEN_SQL, dbname=name)
    with writing(server, name):
        there_and_back(name)
    back = f"{name} back"
    counts = server.value("SELECT (SELECT count(*) FROM a_first), (SELECT count(*) FROM z_last)", back).split("|")
    now = int(server.value("SELECT count(*) FROM a_first", name))
    assert counts[0] == counts[1] and 0 < int(counts[0]) < now
