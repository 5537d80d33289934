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
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from database.engine import alembic_config, driver_url, expected_head
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


def test_every_migration_can_be_taken_back(empty_database: str) -> None:
    migrate(empty_database)
    engine = create_engine(driver_url(empty_database))
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    assert migrate(empty_database)[1] == expected_head()


def test_two_at_once_do_not_meet(empty_database: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        results = sorted(pool.map(lambda _: run(empty_database).returncode, range(3)))
    assert results == [0, 0, 0]


def run(database_url: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url}
    return subprocess.run([sys.executable, "-m", "migrate"], cwd=BACKEND / "src", env=environment, timeout=60,
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
