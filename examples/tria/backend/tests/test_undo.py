# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Migrations that are announced and undone, against a real PostgreSQL; this version on the schema of the next one."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, create_engine, select

from clients import Client
from conftest import application_url
from database import engine as database_engine
from database.engine import SchemaInvalid, alembic_config, driver_url, expected_head, known_migrations
from migrate import EXIT_MIGRATION, CannotUndo, check, migrate, plan, undo
from servers import Process, request
from test_migrations import run

HEAD = expected_head()
Next = Callable[..., str]
# What a database is made of, a line for each part; of a table that is gone nothing is left.
SCHEMA = """
    SELECT concat_ws(' ', table_name, column_name, udt_name, numeric_precision, numeric_scale, is_nullable,
                     column_default)
      FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', tgrelid::regclass, pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT concat_ws(' ', viewname, definition) FROM pg_views WHERE schemaname = 'public'
    UNION ALL SELECT concat_ws(' ', typname, enumlabel) FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid
    UNION ALL SELECT concat_ws(' ', sequencename, data_type) FROM pg_sequences WHERE schemaname = 'public'
    ORDER BY 1
"""
SAMPLES = {"uuid": "7f9c24e8-3b12-4fef-91e0-5c9f2d3b7a10", "text": "x", "numeric": 1, "bigint": 1, "boolean": True,
           "timestamp with time zone": "2026-11-22 07:00:00+00"}


@pytest.fixture(name="next_version")
def fixture_next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Next:
    """Gives this process a migration more than this version has; returns its ID."""

    def make(upgrade: str, downgrade: str = "pass", reversible: bool | None = True, revision: str = "next") -> str:
        folder = database_engine.MIGRATIONS
        if not folder.is_relative_to(tmp_path):
            folder = Path(shutil.copytree(folder, tmp_path / "migrations"))
            monkeypatch.setattr(database_engine, "MIGRATIONS", folder)
        says = "" if reversible is None else f"reversible = {reversible}\n"
        (folder / "versions" / f"{revision}.py").write_text(
            f"from alembic import op\nrevision = {revision!r}\ndown_revision = {expected_head()!r}\n{says}"
            f"def upgrade():\n    {upgrade}\ndef downgrade():\n    {downgrade}\n"
        )
        return revision

    return make


def sql(database_url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def go_to(connection: Connection, direction: Callable[..., None], revision: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    direction(config, revision)


def fill(connection: Connection) -> dict[str, list[Any]]:
    """One row in every table, the same UUID in each, so that they find each other; returns all rows."""
    metadata = MetaData()
    metadata.reflect(connection)
    tables = [table for table in metadata.sorted_tables if table.name != "alembic_version"]
    for table in tables:
        values = {column.name: SAMPLES[str(column.type.compile(connection.dialect)).lower().split("(", maxsplit=1)[0]]
                  for column in table.columns}
        connection.execute(table.insert().values(values))
    return {table.name: list(connection.execute(select(table)).mappings()) for table in tables}


def test_every_migration_says_whether_it_can_be_undone() -> None:
    for script in ScriptDirectory.from_config(alembic_config()).walk_revisions():
        assert isinstance(getattr(script.module, "reversible", None), bool), script.revision


@pytest.mark.parametrize("revision", [name for name, reversible in known_migrations().items() if reversible])
def test_what_says_so_can_be_undone_and_done_again(empty_database: str, revision: str) -> None:
    order = ["base", *known_migrations()]
    before = order[order.index(revision) - 1]
    engine = create_engine(driver_url(empty_database))
    with engine.begin() as connection:
        if before != "base":
            go_to(connection, command.upgrade, before)
        rows = fill(connection)

        def schema() -> list[str]:
            lines = connection.exec_driver_sql(SCHEMA).scalars()
            return [line for line in lines if "alembic_version" not in line]

        without = schema()
        go_to(connection, command.upgrade, revision)
        complete = schema()
        assert complete != without
        go_to(connection, command.downgrade, before)
        assert schema() == without
        metadata = MetaData()
        metadata.reflect(connection)
        kept = {name: list(connection.execute(select(metadata.tables[name])).mappings()) for name in rows}
        assert kept == rows
        go_to(connection, command.upgrade, revision)
        assert schema() == complete
    engine.dispose()


def test_the_plan_says_what_will_run_and_changes_nothing(empty_database: str, next_version: Next) -> None:
    here = [{"id": name, "reversible": reversible} for name, reversible in known_migrations().items()]
    assert plan(empty_database) == {"current": None, "head": HEAD, "pending": here}
    assert sql(empty_database, "SELECT to_regclass('alembic_version')") == [(None,)]
    migrate(empty_database)
    assert plan(empty_database) == {"current": HEAD, "head": HEAD, "pending": []}
    next_version("op.execute('CREATE TABLE one ()')", reversible=False)
    next_version("op.execute('CREATE TABLE two ()')", reversible=None, revision="last")
    pending = [{"id": "next", "reversible": False}, {"id": "last", "reversible": False}]  # who says nothing cannot undo
    assert plan(empty_database) == {"current": HEAD, "head": "last", "pending": pending}


def test_undoing_goes_where_it_is_told(empty_database: str, next_version: Next) -> None:
    next_version("op.execute('CREATE TABLE one ()')", "op.execute('DROP TABLE one')")
    next_version("op.execute('CREATE TABLE two ()')", "op.execute('DROP TABLE two')", revision="last")
    migrate(empty_database)
    assert undo(empty_database, "last") == []
    assert undo(empty_database, HEAD) == ["last", "next"]
    assert plan(empty_database)["current"] == HEAD and check_fails(empty_database)
    assert sql(empty_database, "SELECT to_regclass('one'), to_regclass('two')") == [(None, None)]
    with pytest.raises(CannotUndo, match=f"schema is at migration {HEAD}, below next"):
        undo(empty_database, "next")
    with pytest.raises(CannotUndo, match="does not know migration nothing"):
        undo(empty_database, "nothing")
    assert undo(empty_database, "base") == list(known_migrations())[-3::-1]
    assert plan(empty_database)["current"] is None and undo(empty_database, "base") == []


def check_fails(database_url: str) -> bool:
    with pytest.raises(SchemaInvalid, match="run the migrations"):
        check(database_url)
    return True


def test_one_that_cannot_be_undone_keeps_those_above_it_too(empty_database: str, next_version: Next) -> None:
    next_version("op.execute('DROP TABLE messages')", reversible=False)
    next_version("op.execute('CREATE TABLE two ()')", "op.execute('DROP TABLE two')", revision="last")
    migrate(empty_database)
    with pytest.raises(CannotUndo, match="migration next cannot be undone"):
        undo(empty_database, HEAD)
    assert plan(empty_database)["current"] == "last" and undo(empty_database, "next") == ["last"]


def test_half_of_an_undo_is_none(empty_database: str, next_version: Next) -> None:
    next_version("op.execute('CREATE TABLE one ()')", "op.execute('DROP TABLE nothing')")
    next_version("op.execute('CREATE TABLE two ()')", "op.execute('DROP TABLE two')", revision="last")
    migrate(empty_database)
    with pytest.raises(Exception, match="nothing"):
        undo(empty_database, HEAD)
    assert plan(empty_database)["current"] == "last"
    assert sql(empty_database, "SELECT to_regclass('two')") == [("two",)]


def test_a_migration_does_not_hold_up_requests_for_long(empty_database: str, next_version: Next) -> None:
    migrate(empty_database)
    next_version("op.execute('ALTER TABLE users ADD note text')")
    with psycopg.connect(empty_database) as busy:
        busy.execute("SELECT 1 FROM users")
        began = time.monotonic()
        with pytest.raises(Exception, match="lock timeout"):
            migrate(empty_database)
        assert 4 < time.monotonic() - began < 9
    assert plan(empty_database)["current"] == HEAD
    migrate(empty_database)


def test_the_program_says_the_same(empty_database: str) -> None:
    told = run(empty_database, "--plan")
    assert told.returncode == 0 and json.loads(told.stdout.splitlines()[-1]) == plan(empty_database)
    behind = run(empty_database, "--check")
    assert behind.returncode == EXIT_MIGRATION and "reason=schema is at migration none" in behind.stdout
    migrate(empty_database)
    assert run(empty_database, "--check").stdout.endswith(f"schema at migration {HEAD}\n")
    back = run(empty_database, "--to", "0001")
    assert back.returncode == 0 and back.stdout.endswith("schema at migration 0001, undone: 0003, 0002\n")
    wrong = run(empty_database, "--to", "nothing")
    assert wrong.returncode == EXIT_MIGRATION
    assert wrong.stdout.endswith("reason=this version does not know migration nothing\n")
    assert run(empty_database, "--plan", "--check").returncode == 2


# --- this version after the next one's migrations ---------------------------------------------------------------------


@pytest.fixture(name="newer_database")
def fixture_newer_database(
    empty_database: str, role: str, next_version: Next, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The application's URL of a database as the next version leaves it: a table and a column more."""
    url = application_url(empty_database, role)
    next_version("op.execute('CREATE TABLE one (); ALTER TABLE users ADD note text')")
    migrate(empty_database, url)
    sql(empty_database, f"GRANT SELECT ON one TO {role}")
    monkeypatch.undo()
    assert expected_head() == HEAD
    return url


def test_it_serves_the_schema_of_the_next_version(
    newer_database: str, environment: Callable[..., dict[str, str]], start: Callable[[dict[str, str]], Process]
) -> None:
    app = start(environment(DATABASE_URL=newer_database))
    app.wait_listening()
    assert request(f"{app.url}/api/v1/health/readiness").status == 200
    assert any(re.search("database: migration next", line) for line in app.lines)
    assert Client(app).join()
    assert run(newer_database, "--check").stdout.endswith("schema at migration next\n")


def test_its_one_shot_leaves_the_next_version_what_it_has(newer_database: str, empty_database: str) -> None:
    sql(empty_database, "DELETE FROM catalog WHERE sku = 'STR-PAP-250'")
    assert migrate(empty_database, newer_database) == ("next", "next", 0)
    assert sql(newer_database, "SELECT count(*) FROM one") == [(0,)]
    assert plan(empty_database) == {"current": "next", "head": HEAD, "pending": []}
    with pytest.raises(CannotUndo, match="does not know migration next"):
        undo(empty_database, HEAD)


def test_a_schema_that_lacks_a_column_is_not_served(
    newer_database: str, empty_database: str, environment: Callable[..., dict[str, str]],
    start: Callable[[dict[str, str]], Process],
) -> None:
    sql(empty_database, "ALTER TABLE contents DROP COLUMN sha256")
    app = start(environment(DATABASE_URL=newer_database))
    assert app.wait_exit() == 11
    assert "columns are missing: contents.sha256" in app.lines[-1]


def test_the_compose_file_asks_for_it() -> None:
    """What x-migrations says are command lines of this program."""
    compose = (database_engine.MIGRATIONS.parents[1] / "compose.yaml").read_text()
    service = compose.split("\n  migrate:")[1].split("\n  postgres:")[0]
    assert "plan: [python, -m, migrate, --plan]" in service
    assert 'undo: [python, -m, migrate, --to, "{head}"]' in service
