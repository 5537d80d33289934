# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One-shot: schema to the newest migration, catalog seeded, the application's role (`python -m migrate`).

DATABASE_URL is the owner's connection. APP_DATABASE_URL is the application's; its role is made here.

    --plan           changes nothing; the last line is JSON: {"current", "head", "pending": [{"id", "reversible"}]}
    --check          changes nothing; fails when the schema is behind this version
    --to REVISION    undoes all migrations above it (`base`: all there are), or none when one of them cannot be undone

Exit status 0 when that is done, 20 otherwise; the last line says why.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from config.logs import OneLineFormatter, configure_logging
from database.engine import alembic_config, driver_url, known_migrations, require_migrated
from database.roles import ensure_application_role
from database.seed import seed_catalog

EXIT_MIGRATION = 20
# Any constant will do, as long as all versions of this application take the same one.
_LOCK = 0x74726961
# While a migration waits for a table, every request that needs the table waits behind it: better it fails.
_TABLE_LOCK_MILLISECONDS = 5000
_log = logging.getLogger("migrate")


class CannotUndo(Exception):
    """The schema cannot be brought back to the migration that was asked for."""


def migrate(database_url: str, application_url: str = "") -> tuple[str | None, str | None, int]:
    """Upgrade, seed and grant in one transaction, one process at a time; returns (head before, after, rows seeded).

    A schema that a newer version has migrated keeps that migration, its rows and what its version may do with it.
    """
    with _transaction(database_url) as connection:
        before = _head(connection)
        newer = before is not None and before not in known_migrations()
        if not newer:
            command.upgrade(_config(connection), "head")
        seeded = 0 if newer else seed_catalog(connection)
        if application_url:
            ensure_application_role(connection, database_url, application_url, others=newer)
        return before, _head(connection), seeded


def plan(database_url: str) -> dict[str, Any]:
    """{current, head, pending: [{id, reversible}]}: what `migrate` would run. Changes nothing."""
    with _transaction(database_url, read_only=True) as connection:
        current = _head(connection)
    known = known_migrations()
    pending = [{"id": name, "reversible": reversible} for name, reversible in known.items()]
    if current is not None:
        # of a migration that is not known nothing follows
        pending = pending[list(known).index(current) + 1 :] if current in known else []
    return {"current": current, "head": list(known)[-1], "pending": pending}


def undo(database_url: str, target: str) -> list[str]:
    """Undo the migrations above `target` in one transaction; returns them, newest first. Raises CannotUndo."""
    with _transaction(database_url) as connection:
        current, known = _head(connection), known_migrations()
        order = ["base", *known]
        for name in (target, current or "base"):
            if name not in order:
                raise CannotUndo(f"this version does not know migration {name}")
        above = order[order.index(target) + 1 : order.index(current or "base") + 1]
        if not above and target != (current or "base"):
            raise CannotUndo(f"schema is at migration {current or 'none'}, below {target}")
        final = [name for name in above if not known[name]]
        if final:
            raise CannotUndo(f"migration {', '.join(final)} cannot be undone: restore a backup, or go on from here")
        command.downgrade(_config(connection), target)
        return above[::-1]


def check(database_url: str) -> str | None:
    """The migration that the schema is at; raises SchemaInvalid when it is behind this version."""
    with _transaction(database_url, read_only=True) as connection:
        head = _head(connection)
    require_migrated(head)
    return head


@contextmanager
def _transaction(database_url: str, read_only: bool = False) -> Iterator[Connection]:
    """A transaction that nobody else who changes the schema is in at the same time."""
    engine = create_engine(driver_url(database_url), connect_args={"connect_timeout": 5}, hide_parameters=True)
    try:
        with engine.begin() as connection:
            if read_only:
                connection.execute(text("SET TRANSACTION READ ONLY"))
            else:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                connection.execute(text(f"SET LOCAL lock_timeout = {_TABLE_LOCK_MILLISECONDS}"))
            yield connection
    finally:
        engine.dispose()


def _head(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection) -> Config:
    config = alembic_config()
    config.attributes["connection"] = connection
    return config


def main() -> int:
    """Run as a one-shot container; returns the exit status."""
    parser = argparse.ArgumentParser(prog="migrate", description="Bring the schema to the newest migration.")
    wish = parser.add_mutually_exclusive_group()
    wish.add_argument("--plan", action="store_true", help="say as JSON which migrations are pending, change nothing")
    wish.add_argument("--check", action="store_true", help="fail when the schema is behind, change nothing")
    wish.add_argument("--to", metavar="REVISION", help="undo all migrations above it; base: all there are")
    arguments = parser.parse_args()
    logs = configure_logging()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    database_url = os.environ.get("DATABASE_URL", "")
    if not database_url.startswith("postgresql://"):
        _log.error("migration failed: reason=DATABASE_URL must have the form postgresql://user:password@host:port/db")
        return EXIT_MIGRATION
    try:
        _do(arguments, logs, database_url, os.environ.get("APP_DATABASE_URL", ""))
    # What goes wrong in a migration is open-ended; whatever it is, this one line is what the operator reads.
    except Exception as error:
        reason = getattr(error, "orig", error) if isinstance(error, SQLAlchemyError) else error
        _log.error("migration failed: reason=%s", reason)
        return EXIT_MIGRATION
    return 0


def _do(arguments: argparse.Namespace, logs: OneLineFormatter, database_url: str, application_url: str) -> None:
    urls = [url for url in (database_url, application_url) if url]
    logs.hide([*urls, *(make_url(url).password or "" for url in urls)])
    if arguments.plan:
        print(json.dumps(plan(database_url)))
    elif arguments.check:
        _log.info("schema at migration %s", check(database_url))
    elif arguments.to is not None:
        undone = undo(database_url, arguments.to)
        _log.info("schema at migration %s, undone: %s", arguments.to, ", ".join(undone) or "none")
    else:
        before, after, seeded = migrate(database_url, application_url)
        _log.info("schema at migration %s (was %s), %d catalog rows seeded", after, before or "empty", seeded)


if __name__ == "__main__":
    sys.exit(main())
