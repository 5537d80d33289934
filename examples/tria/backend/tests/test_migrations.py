# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Migrations against a real PostgreSQL: up, down, again, concurrently; the one-shot's exit status and words."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from conftest import application_url
from database.engine import driver_url, expected_head
from database.roles import RoleInvalid
from database.seed import PRODUCTS
from database.tables import metadata
from migrate import EXIT_MIGRATION, migrate
from servers import BACKEND, free_port


def test_upgrade_seeds_and_a_second_run_changes_nothing(empty_database: str) -> None:
    assert migrate(empty_database) == (None, expected_head(), len(PRODUCTS))
    assert migrate(empty_database) == (expected_head(), expected_head(), 0)


def test_the_seed_leaves_changes_of_the_operator(empty_database: str) -> None:
    migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute("UPDATE catalog SET unit_price = 1 WHERE sku = 'STR-PAP-250'")
    migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        row = connection.execute("SELECT unit_price FROM catalog WHERE sku = 'STR-PAP-250'").fetchone()
    assert row is not None and row[0] == 1


def test_migrations_and_tables_agree(empty_database: str) -> None:
    migrate(empty_database)
    engine = create_engine(driver_url(empty_database))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_applications_role_can_do_its_work_and_nothing_else(empty_database: str, role: str) -> None:
    url = application_url(empty_database, role)
    migrate(empty_database, url)
    with psycopg.connect(url, autocommit=True) as connection:
        (row,) = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles "
            "WHERE rolname = current_user"
        )
        assert row == (False,) * 5
        connection.execute("INSERT INTO users (id, username, demo) VALUES (gen_random_uuid(), 'x', true)")
        connection.execute("DELETE FROM users")
        for forbidden in ("CREATE TABLE x (y int)", "DROP TABLE users", "ALTER TABLE users ADD z int", "TRUNCATE users",
                          "UPDATE catalog SET unit_price = 0", "DELETE FROM alembic_version", "CREATE ROLE other",
                          "SELECT rolpassword FROM pg_authid", "COPY users TO PROGRAM 'id'", "CREATE SCHEMA other"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)


def test_a_changed_password_and_a_superuser_are_put_right(empty_database: str, role: str) -> None:
    first, second = application_url(empty_database, role), application_url(empty_database, role)
    migrate(empty_database, first)
    with psycopg.connect(empty_database, autocommit=True) as owner:
        owner.execute(f"ALTER ROLE {role} SUPERUSER")
    migrate(empty_database, second)
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT current_setting('is_superuser')").fetchone() == ("off",)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(first)


def test_a_url_that_is_not_the_applications_is_refused(empty_database: str, role: str) -> None:
    url = application_url(empty_database, role)
    cases = [(empty_database, "must name another user"), (url.rsplit("/", 1)[0] + "/x", "must name the same database"),
             (url.replace(urlsplit(url).netloc, f"{role}@127.0.0.1"), "must have the form")]
    for wrong, reason in cases:
        with pytest.raises(RoleInvalid, match=reason):
            migrate(empty_database, wrong)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('users')").fetchone() == (None,)


def test_two_at_once_do_not_meet(empty_database: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        results = sorted(pool.map(lambda _: run(empty_database).returncode, range(3)))
    assert results == [0, 0, 0]


def run(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url}
    return subprocess.run([sys.executable, "-m", "migrate", *arguments], cwd=BACKEND / "src", env=environment, timeout=60,
                          check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_the_one_shot_says_what_it_did(empty_database: str) -> None:
    done = run(empty_database)
    assert done.returncode == 0
    assert done.stdout.endswith(
        f"schema at migration {expected_head()} (was empty), {len(PRODUCTS)} catalog rows seeded\n"
    )


def test_failures_end_with_one_line_and_no_secret(empty_database: str) -> None:
    password = secrets.token_hex(12)
    wrong = empty_database.replace(f":{urlsplit(empty_database).password}@", f":{password}@")
    away = f"postgresql://tria:{password}@127.0.0.1:{free_port()}/tria"
    cases = ((wrong, "password authentication failed"), (away, "efused"), ("mysql://x", "DATABASE_URL must"))
    for url, reason in cases:
        done = run(url)
        assert done.returncode == EXIT_MIGRATION
        assert "migration failed: reason=" in done.stdout.splitlines()[-1]
        assert reason in done.stdout.splitlines()[-1]
        assert password not in done.stdout
