# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One-shot: schema to the newest migration, catalog seeded, the application's role (`python -m migrate`).

DATABASE_URL is the owner's connection. APP_DATABASE_URL is the application's; its role is made here.

Exit status 0 when the schema is at its head, 20 otherwise; the last line says why.
"""

from __future__ import annotations

import logging
import os
import sys

from alembic import command
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from config.logs import configure_logging
from database.engine import alembic_config, driver_url, expected_head
from database.roles import ensure_application_role
from database.seed import seed_catalog

EXIT_MIGRATION = 20
# Any constant will do, as long as all versions of this application take the same one.
_LOCK = 0x74726961
_log = logging.getLogger("migrate")


def migrate(database_url: str, application_url: str = "") -> tuple[str | None, str, int]:
    """Upgrade, seed and grant in one transaction, one process at a time; returns (head before, after, rows seeded)."""
    engine = create_engine(driver_url(database_url), connect_args={"connect_timeout": 5}, hide_parameters=True)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            before = MigrationContext.configure(connection).get_current_revision()
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            seeded = seed_catalog(connection)
            if application_url:
                ensure_application_role(connection, database_url, application_url)
            return before, expected_head(), seeded
    finally:
        engine.dispose()


def main() -> int:
    """Run as a one-shot container; returns the exit status."""
    logs = configure_logging()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    database_url = os.environ.get("DATABASE_URL", "")
    if not database_url.startswith("postgresql://"):
        _log.error("migration failed: reason=DATABASE_URL must have the form postgresql://user:password@host:port/db")
        return EXIT_MIGRATION
    try:
        application_url = os.environ.get("APP_DATABASE_URL", "")
        urls = [url for url in (database_url, application_url) if url]
        logs.hide([*urls, *(make_url(url).password or "" for url in urls)])
        before, after, seeded = migrate(database_url, application_url)
    # What goes wrong in a migration is open-ended; whatever it is, this one line is what the operator reads.
    except Exception as error:
        reason = getattr(error, "orig", error) if isinstance(error, SQLAlchemyError) else error
        _log.error("migration failed: reason=%s", reason)
        return EXIT_MIGRATION
    _log.info("schema at migration %s (was %s), %d catalog rows seeded", after, before or "empty", seeded)
    return 0


if __name__ == "__main__":
    sys.exit(main())
