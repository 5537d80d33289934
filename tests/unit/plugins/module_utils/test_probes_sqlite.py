# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind sqlite: each thing that can be wrong with a database file, planted; and that nothing is left beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
import threading
import time

import pytest
from probe_peers import entries, look
from waiting_peers import refused, wait

from ansible_collections.tria.production.plugins.module_utils import _health
from ansible_collections.tria.production.plugins.module_utils._probes import _schema, sqlite

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"
ROWS = [("x" * 100,)] * 2000


@contextlib.contextmanager
def connection(path, mode="delete"):
    """What an application has open; it commits by hand."""
    opened = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    opened.execute(f"PRAGMA journal_mode={mode}")
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(params=["delete", "wal"])
def shop(tmp_path, request):
    """A database with two items and a migration, which nobody has open."""
    path = tmp_path / "shop.db"
    with connection(path, request.param) as made:
        made.execute("CREATE TABLE items (name)")
        made.executemany("INSERT INTO items VALUES (?)", [("a",), ("b",)])
        made.execute("CREATE TABLE alembic_version (version_num)")
        made.execute("INSERT INTO alembic_version VALUES ('0002')")
    return path


def beside(path):
    return sorted(os.listdir(path.parent))


def test_everything_there(shop):
    options = {"tables": ["ITEMS"], "min_rows": {"items": 2}, "migration_head": "0002", "integrity": True}
    seen = look("sqlite", path=str(shop), **options)
    assert (seen.status, seen.message) == ("pass", f"{shop} answers")
    assert seen.data == {
        "path": str(shop), "integrity": "ok", "table_count": 2, "rows_at_least": {"items": 2}, "migration_head": ["0002"]
    }
    assert beside(shop) == ["shop.db"]


def test_all_shortfalls_are_told_at_once(shop):
    options = {"tables": ["users", "items"], "min_rows": {"items": 3, "orders": 1}, "migration_head": "0003"}
    seen = look("sqlite", path=str(shop), **options)
    assert (seen.status, seen.phase, seen.permanent) == ("fail", "schema", False)
    assert seen.message == (
        "table users does not exist; table orders does not exist; table items has 2 of at least 3 rows; "
        "the migration head is 0002 instead of 0003"
    )
    assert seen.remedy == "Run the migrations and load the data."


def test_the_hash_of_a_schema(shop):
    def hashed():
        return look("sqlite", path=str(shop), schema_hash=True).data["schema_hash"]

    before = hashed()
    with connection(shop) as changed:
        changed.execute("INSERT INTO items VALUES ('c')")
    assert hashed() == before and len(before) == 64
    with connection(shop) as changed:
        changed.execute("CREATE INDEX names ON items (name)")
    assert hashed() != before


def test_migrations_that_never_ran(shop):
    seen = look("sqlite", path=str(shop), migration_head="1", migration_table="schema_migrations")
    assert seen.message == "table schema_migrations does not exist, so no migration has run"
    seen = look("sqlite", path=str(shop), migration_head="1", migration_table="items")
    assert seen.status == "fail" and "no such column: items.version_num" in seen.message


def test_names_are_no_sql_and_paths_are_no_addresses(tmp_path):
    path, name = tmp_path / "a ?mode=rwc&#%41.db", 'we"ird; DROP TABLE items'
    with connection(path) as made:
        made.execute('CREATE TABLE "we""ird; DROP TABLE items" (a)')
        made.execute("CREATE TABLE items (a)")
    for _again in range(2):
        seen = look("sqlite", path=str(path), tables=["items"], min_rows={name: 0})
        assert seen.status == "pass", seen.message
    assert beside(path) == [path.name]


def test_no_file_is_gone_and_is_not_created(tmp_path):
    for path in (tmp_path / "none.db", tmp_path / "none" / "shop.db"):
        seen = look("sqlite", path=str(path))
        assert (seen.status, seen.permanent, seen.gone) == ("fail", False, True) and "does not exist" in seen.message
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "kind, told, permanent",
    [
        ("folder", "is not a file", True),
        ("fifo", "is not a file", True),
        ("loop", "cannot read", True),
        (b"", "is empty", False),
        (b"SQLite", "is not an SQLite database", True),
        (b"PGDMP" * 1000, "is not an SQLite database", True),
        (b"SQLite format 3\0" + b"\xff" * 4096, "file is not a database", False),
    ],
)
def test_what_is_no_database(tmp_path, kind, told, permanent):
    path = tmp_path / "it"
    make = {"folder": path.mkdir, "fifo": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path)}
    make[kind]() if isinstance(kind, str) else path.write_bytes(kind)
    seen = look("sqlite", path=str(path))
    assert (seen.status, seen.permanent) == ("fail", permanent) and told in seen.message and seen.remedy


@pytest.fixture()
def large(tmp_path):
    """A database with an index, of about a hundred pages."""
    path = tmp_path / "large.db"
    with connection(path) as made:
        made.execute("CREATE TABLE items (name)")
        made.execute("CREATE INDEX names ON items (name)")
        made.execute("BEGIN")
        made.executemany("INSERT INTO items VALUES (?)", ROWS)
        made.execute("COMMIT")
    return path


def test_integrity_finds_what_the_other_checks_do_not_touch(large):
    with connection(large) as made:
        made.execute("PRAGMA writable_schema=ON")
        made.execute("DELETE FROM sqlite_master WHERE name = 'names'")  # whose pages belong to nothing now
    assert look("sqlite", path=str(large), min_rows={"items": 2000}).status == "pass"
    seen = look("sqlite", path=str(large), min_rows={"items": 2001}, integrity=True)
    assert (seen.status, seen.phase) == ("fail", "integrity") and "restore the file from a backup" in seen.remedy
    assert seen.message.startswith("it is damaged: ") and seen.message.count("never used") == 5


def test_a_damaged_file(large):
    content = large.read_bytes()
    large.write_bytes(content[:4096 * 5])
    for options in ({"integrity": True}, {"min_rows": {"items": 2000}}):
        seen = look("sqlite", path=str(large), **options)
        assert seen.status == "fail" and "restore the file from a backup" in seen.remedy, seen.message
        assert "malformed" in seen.message or "damaged" in seen.message


def test_a_locked_database(shop):
    with connection(shop, "delete") as writer:
        writer.execute("BEGIN EXCLUSIVE")
        seen = look("sqlite", path=str(shop), tables=["items"], timeout=0.2)
        assert seen.status == "fail" and seen.duration_ms < 1000
        seen = look("sqlite", path=str(shop), tables=["items"])
        assert (seen.status, seen.permanent) == ("fail", False) and "database is locked" in seen.message
        assert "fuser" in seen.remedy
        writer.execute("COMMIT")
        assert look("sqlite", path=str(shop), tables=["items"]).status == "pass"


def test_one_in_use_is_read_as_it_is_and_left_alone(shop):
    with connection(shop, "wal") as application:
        application.execute("INSERT INTO items VALUES ('c')")
        application.execute("BEGIN IMMEDIATE")
        application.execute("INSERT INTO items VALUES ('not yet')")
        before = beside(shop)
        seen = look("sqlite", path=str(shop), min_rows={"items": 9}, integrity=True)
        assert seen.data["rows_at_least"] == {"items": 3} and beside(shop) == before
        application.execute("COMMIT")
        assert look("sqlite", path=str(shop), min_rows={"items": 4}).status == "pass"
    assert beside(shop) == ["shop.db"]


def test_a_log_that_was_not_taken_in(shop):
    copy = shop.with_name("copy.db")
    with connection(shop, "wal") as application:
        application.execute("INSERT INTO items VALUES ('c')")
        for ending in ("", "-wal"):
            shutil.copy(f"{shop}{ending}", f"{copy}{ending}")
    seen = look("sqlite", path=str(copy), tables=["items"])
    assert seen.status == "fail" and "(-wal) that its application has not taken in" in seen.message
    assert beside(shop) == ["copy.db", "copy.db-wal", "shop.db"]


def test_a_change_that_was_not_completed(large):
    copy = large.with_name("copy.db")
    with connection(large) as writer:
        writer.execute("PRAGMA cache_size=1")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE items SET name = name || 'y'")
        for ending in ("", "-journal"):
            shutil.copy(f"{large}{ending}", f"{copy}{ending}")
    seen = look("sqlite", path=str(copy), tables=["items"])
    assert seen.status == "fail" and "Let the application open it once" in seen.remedy
    assert os.path.exists(f"{copy}-journal")


def test_one_that_is_opened_meanwhile_is_looked_at_again(tmp_path, monkeypatch):
    path, times = tmp_path / "shop.db", []
    with connection(path, "wal") as made:
        made.execute("CREATE TABLE items (name)")
    shortfalls = _schema.shortfalls

    def disturbed(database, options, data):
        found = shortfalls(database, options, data)
        if not times:
            opened.enter_context(connection(path, "wal")).execute("INSERT INTO items VALUES ('a')")
        times.append(found)
        return found

    monkeypatch.setattr(_schema, "shortfalls", disturbed)
    with contextlib.ExitStack() as opened:
        target = {"name": "it", "sqlite": {"path": str(path), "min_rows": {"items": 1}}}
        assert _health.check(entries(target), 5)["results"][0]["status"] == "pass"
    assert times == [["table items has 0 of at least 1 rows"], []]


def test_the_time_is_kept(shop):
    with connection(shop) as made:
        made.execute(f"CREATE VIEW endless AS {ENDLESS}")
    seen = look("sqlite", path=str(shop), min_rows={"endless": 1}, timeout=0.3)
    assert (seen.status, seen.message) == ("fail", "no answer within 0.3 s") and 290 < seen.duration_ms < 1000
    target = {"name": "it", "timeout": 60, "sqlite": {"path": str(shop), "min_rows": {"endless": 1}}}
    begun = time.monotonic()
    refused(target, timeout=0.3)
    assert time.monotonic() - begun < 2, "given up when the wait is over"


def test_targets_take_turns_at_a_file(shop):
    turn = sqlite._TURNS[shop] = threading.Lock()
    with turn:
        seen = look("sqlite", path=str(shop), timeout=0.2)
    assert seen.status == "fail" and seen.message == f"another target kept {shop} busy for 0.2 s"
    targets = [{"name": str(n), "sqlite": {"path": str(shop), "tables": ["items"]}} for n in range(20)]
    assert {one["status"] for one in _health.check(entries(*targets), 5)["results"]} == {"pass"}


def test_waiting_for_the_application_to_make_it(tmp_path):
    path = tmp_path / "shop.db"

    def make():
        with connection(path) as made:
            made.execute("CREATE TABLE items (name)")

    timer = threading.Timer(0.3, make)
    timer.start()
    found = wait({"name": "it", "sqlite": {"path": str(path), "tables": ["items"]}})
    timer.join()
    assert 0.2 < found["elapsed"] < 3 and found["results"][0]["category"] == "Database"


def test_a_python_without_sqlite_has_not_passed(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    seen = look("sqlite", path=str(shop))
    assert (seen.status, seen.permanent) == ("error", True) and "sqlite3" in seen.message
