# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection pool, and what the schema must look like before the application may run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import func, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from database.tables import catalog, metadata

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
_CONNECT_SECONDS = 5
_STATEMENT_MILLISECONDS = 10_000


class SchemaInvalid(Exception):
    """The database answers, but its schema or its data are not what this version needs."""


def driver_url(database_url: str) -> URL:
    """The operator's `postgresql://` URL with the driver that this application uses."""
    return make_url(database_url).set(drivername="postgresql+psycopg")


def create_pool(database_url: str, size: int) -> AsyncEngine:
    """A pool of at most `size` connections; every wait in it is bounded."""
    return create_async_engine(
        driver_url(database_url),
        pool_size=size,
        max_overflow=0,
        pool_timeout=_CONNECT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "tria-backend",
            "options": f"-c statement_timeout={_STATEMENT_MILLISECONDS}",
        },
    )


def alembic_config() -> Config:
    """Alembic's configuration, with the migrations found wherever the application is installed."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def known_migrations() -> dict[str, bool]:
    """The migrations that this version of the application brings, oldest first, and whether each can be undone."""
    scripts = list(ScriptDirectory.from_config(alembic_config()).walk_revisions())
    return {script.revision: getattr(script.module, "reversible", False) is True for script in reversed(scripts)}


def expected_head() -> str:
    """The newest migration that this version of the application brings."""
    return list(known_migrations())[-1]


def require_migrated(head: str | None) -> None:
    """Raise SchemaInvalid for a schema that is behind this version.

    A migration that this version does not know is one of the next version: a rollout runs it while this version serves,
    and a rollback leaves it in place. Each version's migrations keep what the version before it needs.
    """
    *older, wanted = known_migrations()
    if head is None or head in older:
        raise SchemaInvalid(f"schema is at migration {head or 'none'}, this version needs {wanted}: run the migrations")


async def current_head(engine: AsyncEngine) -> str | None:
    """The migration that the database is at, None when no migration ever ran."""
    async with engine.connect() as connection:
        if not (await connection.execute(text("SELECT to_regclass('alembic_version')"))).scalar():
            return None
        return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()


async def verify_schema(engine: AsyncEngine) -> dict[str, Any]:
    """Hold the database against this version: migration head, tables with their columns, a loaded catalog.

    Returns {head, tables, catalog_rows}; raises SchemaInvalid with the remedy.
    """
    head = await current_head(engine)
    require_migrated(head)
    async with engine.connect() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_multi_columns())
        present = {name: {column["name"] for column in columns} for (_schema, name), columns in found.items()}
        missing = sorted(set(metadata.tables) - set(present))
        if missing:
            raise SchemaInvalid(f"tables are missing: {', '.join(missing)}")
        wanted = {f"{table.name}.{column.name}": column for table in metadata.sorted_tables for column in table.columns}
        missing = [name for name, column in wanted.items() if column.name not in present[column.table.name]]
        if missing:
            raise SchemaInvalid(f"columns are missing: {', '.join(missing)}")
        rows = (await connection.execute(select(func.count()).select_from(catalog))).scalar_one()
    if not rows:
        raise SchemaInvalid("the catalog is empty: run the seeding step")
    return {"head": head, "tables": sorted(metadata.tables), "catalog_rows": rows}


def pool_status(engine: AsyncEngine) -> dict[str, int]:
    """{size, checked_in, checked_out} of the connection pool."""
    pool: Any = engine.pool
    return {"size": pool.size(), "checked_in": pool.checkedin(), "checked_out": pool.checkedout()}
