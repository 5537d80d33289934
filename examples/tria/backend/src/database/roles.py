# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role that the application logs in with: reads and writes rows, owns nothing, changes no schema.

Migrations run as the owner of the database and bring this role into the shape that is written here, every time.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

_READ_ONLY = ("alembic_version", "catalog")
_READ_WRITE = ("conversations", "messages", "users", "contents")
_ATTRIBUTES = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT"


class RoleInvalid(Exception):
    """The application's URL does not name a role of its own on the same database."""


def ensure_application_role(connection: Connection, owner_url: str, application_url: str, others: bool = False) -> str:
    """Make the role of `application_url`, or bring it into shape; returns its name. Raises RoleInvalid.

    With `others` it keeps its rights on tables that are not known here: those of a newer version, which may be serving.
    """
    owner, own = make_url(owner_url), make_url(application_url)
    if not own.username or not own.password:
        raise RoleInvalid("APP_DATABASE_URL must have the form postgresql://user:password@host:port/database")
    if own.username == owner.username:
        raise RoleInvalid("APP_DATABASE_URL must name another user than DATABASE_URL, which owns the database")
    if own.database != owner.database:
        raise RoleInvalid("APP_DATABASE_URL must name the same database as DATABASE_URL")
    quote = connection.dialect.identifier_preparer.quote_identifier
    role, database = quote(own.username), quote(str(own.database))
    # The verifier is computed here: the password itself reaches neither the server nor its log.
    driver: Any = connection.connection.dbapi_connection
    verifier = driver.pgconn.encrypt_password(own.password.encode(), own.username.encode(), b"scram-sha-256").decode()
    known = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": own.username}).scalar()
    statements = [
        f"{'ALTER' if known else 'CREATE'} ROLE {role} {_ATTRIBUTES} PASSWORD '{verifier}'",
        f"GRANT CONNECT ON DATABASE {database} TO {role}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        *([] if others else [f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}"]),
        f"GRANT SELECT ON {', '.join(_READ_ONLY)} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(_READ_WRITE)} TO {role}",
    ]
    for statement in statements:
        connection.exec_driver_sql(statement)
    return own.username
