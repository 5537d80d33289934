# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `postgres`: a session, tables, rows, the migration head, room in the pool. Private to the collection.

Connects asynchronously, so that a server that never answers costs the attempt's budget and nothing more (libpq's own
`connect_timeout` counts whole seconds, two at least, and covers no query).
"""

from __future__ import annotations

import importlib
import select
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps
from ansible_collections.tria.production.plugins.module_utils._probes import _base, _net, _schema

DOCUMENTATION = (
    r"""
postgres:
  description:
    - A PostgreSQL database, looked at in a read-only transaction.
    - Connections in use are reported as C(pool).
  type: dict
  suboptions:
    host:
      description: Host name or address.
      type: str
      default: 127.0.0.1
      aliases: [login_host]
    port:
      description: Port number.
      type: int
      default: 5432
      aliases: [login_port]
    dbname:
      description: Name of the database.
      type: str
      required: true
      aliases: [login_db]
    login_user:
      description: Role to log in with.
      type: str
    login_password:
      description: Password of the role.
      type: str
    sslmode:
      description: As of C(libpq).
      type: str
      choices: [disable, allow, prefer, require, verify-ca, verify-full]
      default: prefer
    ca_path:
      description: File with the CA certificates for V(verify-ca) and V(verify-full).
      type: path
    pool_max_percent:
      description: Part of the server's C(max_connections) above which the result is a C(warn).
      type: float
      default: 90.0
"""
    + _schema.DOCUMENTATION
    + _base.COMPOSE_DOCUMENTATION
)
CATEGORY = "Database"
LIBRARIES = ("psycopg2",)
SPEC: dict[str, t.Any] = {
    "options": {
        "host": {"type": "str", "default": "127.0.0.1", "aliases": ["login_host"]},
        "port": {"type": "int", "default": 5432, "aliases": ["login_port"]},
        "dbname": {"type": "str", "required": True, "aliases": ["login_db"]},
        "login_user": {"type": "str"},
        "login_password": {"type": "str", "no_log": True},
        "sslmode": {
            "type": "str",
            "default": "prefer",
            "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        },
        "ca_path": {"type": "path"},
        "pool_max_percent": {"type": "float", "default": 90.0},
        **_schema.OPTIONS,
        **_base.COMPOSE_OPTIONS,
    },
    "required_together": _base.COMPOSE_TOGETHER,
}

_CREDENTIALS = "Correct login_user and login_password, or the role's password in the server."
_PERMANENT = {  # what the server says -> remedy; it gives no SQLSTATE before a session exists
    "password authentication failed": _CREDENTIALS,
    "no password supplied": _CREDENTIALS,
    "no pg_hba.conf entry": "Allow this client in pg_hba.conf, or use an address and sslmode that it allows.",
    "certificate verify failed": "Renew the server's certificate, or give its CA in ca_path.",
    "root certificate file": "Correct ca_path.",
    "server does not support SSL": "Enable TLS in the server, or choose another sslmode.",
    "is not permitted to log in": "Use a role with LOGIN.",
}
_MISSING = {"database": "Create the database, or correct dbname.", "role": "Create the role, or correct login_user."}
_QUESTION = " Is the server running on that host and accepting TCP/IP connections?"  # libpq's, after each refusal
_POOL = """
    SELECT count(*) FILTER (WHERE backend_type = 'client backend'), current_setting('max_connections')::int,
           current_setting('server_version') FROM pg_stat_activity
"""
# One line for each part of the schema. What an extension brought is the extension's, and changes with its version.
_DEFINITION = """
    WITH spaces AS (
      SELECT oid FROM pg_namespace WHERE left(nspname, 3) <> 'pg_' AND nspname <> 'information_schema'
    ), own AS (
      SELECT oid, relkind, relpersistence, relpartbound FROM pg_class
      WHERE relnamespace IN (SELECT oid FROM spaces)
        AND oid NOT IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'e')
    )
    SELECT 'relation', oid::regclass::text, concat_ws(' ', relkind, relpersistence, pg_get_expr(relpartbound, oid),
           CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END)
      FROM own WHERE relkind NOT IN ('i', 'I')
    UNION ALL
    SELECT 'column', concat_ws(' ', own.oid::regclass, quote_ident(attname)),
           concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, collname,
                     pg_get_expr(adbin, adrelid))
      FROM own JOIN pg_attribute ON attrelid = own.oid
      LEFT JOIN pg_collation ON pg_collation.oid = attcollation
      LEFT JOIN pg_attrdef ON adrelid = own.oid AND adnum = attnum
      WHERE relkind IN ('r', 'p', 'f', 'c') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'index', indexrelid::regclass::text, concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid)
      FROM own JOIN pg_index ON indexrelid = own.oid
    UNION ALL
    SELECT 'constraint', concat_ws(' ', own.oid::regclass, quote_ident(conname)),
           pg_get_constraintdef(pg_constraint.oid)
      FROM own JOIN pg_constraint ON conrelid = own.oid
      WHERE contype <> 'n' -- not null is told of the column; PostgreSQL 18 has it here too
    UNION ALL
    SELECT 'trigger', concat_ws(' ', own.oid::regclass, quote_ident(tgname)), pg_get_triggerdef(pg_trigger.oid)
      FROM own JOIN pg_trigger ON tgrelid = own.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT 'values', enumtypid::regtype::text, string_agg(quote_literal(enumlabel), ' ' ORDER BY enumsortorder)
      FROM pg_enum GROUP BY enumtypid
    UNION ALL
    SELECT 'domain', pg_type.oid::regtype::text,
           concat_ws(' ', format_type(typbasetype, typtypmod), typnotnull, typdefault, (
             SELECT string_agg(pg_get_constraintdef(oid), ' ' ORDER BY conname) FROM pg_constraint
             WHERE contypid = pg_type.oid AND contype <> 'n'))
      FROM pg_type WHERE typtype = 'd' AND typnamespace IN (SELECT oid FROM spaces)
"""


def endpoint(options: dict[str, t.Any]) -> tuple[str, int]:
    return options["host"], options["port"]


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Opens a read-only session and makes every check that is asked for; all shortfalls are reported at once."""
    host = attempt.host or options["host"]
    session = _Session(_parameters(options, host, attempt.budget), attempt.budget)
    try:
        used, maximum, version = session.query(_POOL)[0]
        percent = round(100.0 * used / maximum, 1)
        data = {
            "host": host,
            "port": options["port"],
            "dbname": options["dbname"],
            "server_version": version,
            "pool": {"used": used, "max": maximum, "percent": percent},
        }
        problems = _schema.shortfalls(session, options, data)
    finally:
        session.close()
    if problems:
        raise _schema.failure(problems, data)
    warnings = []
    if percent > options["pool_max_percent"]:
        warnings.append(f"{used} of {maximum} connections are in use ({percent} %)")
    return _base.Outcome(f"{host} port {options['port']} database {options['dbname']} answers", data, warnings)


class _Session:
    """One asynchronous connection inside one read-only transaction; translates errors to `ProbeFailure`."""

    def __init__(self, parameters: dict[str, t.Any], budget: _base.Budget) -> None:
        self._psycopg2 = _deps.load("psycopg2")
        self._sql = importlib.import_module("psycopg2.sql")
        self._budget = budget
        self._connection = None
        try:
            self._connection = self._psycopg2.connect(**parameters, async_=1)
            self._wait()
        except self._psycopg2.Error as exc:
            self.close()
            where = f"{parameters.get('hostaddr', parameters['host'])} port {parameters['port']}"
            raise _connect_failure(exc, where) from exc
        except BaseException:
            self.close()
            raise
        # Local to the transaction: behind a connection pooler a session setting would outlive this probe.
        self.query("BEGIN READ ONLY", rows=False)
        self.query("SELECT set_config('statement_timeout', %s, true)", (str(int(budget.remaining() * 1000) + 1),))

    def query(self, statement: t.Any, arguments: tuple[t.Any, ...] = (), rows: bool = True) -> list[tuple[t.Any, ...]]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement, arguments)
            self._wait()
            return cursor.fetchall() if rows else []
        except self._psycopg2.Error as exc:
            denied = exc.pgcode == "42501"
            remedy = "Grant the role SELECT on it." if denied else "See the server's log."
            raise _base.ProbeFailure(_one_line(exc), remedy, "query", permanent=denied) from exc

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def exists(self, table: str) -> bool:
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
        return self.query("SELECT to_regclass(%s) IS NOT NULL", (quoted,))[0][0]

    def count(self, table: str, most: int) -> int:
        statement = self._sql.SQL("SELECT count(*) FROM (SELECT 1 FROM {} LIMIT %s) AS sample")
        return self.query(statement.format(self._identifier(table)), (most,))[0][0]

    def column(self, table: str, name: str) -> list[t.Any]:
        statement = self._sql.SQL("SELECT {} FROM {}").format(self._sql.Identifier(name), self._identifier(table))
        return [row[0] for row in self.query(statement)]

    def definition(self) -> list[tuple[t.Any, ...]]:
        self.query("SELECT set_config('search_path', '', true)")  # so that every name is told with its schema
        return self.query(_DEFINITION)

    def _identifier(self, table: str) -> t.Any:
        return self._sql.Identifier(*table.split("."))

    def _wait(self) -> None:
        psycopg2 = self._psycopg2
        while True:
            state = self._connection.poll()
            if state == psycopg2.extensions.POLL_OK:
                return
            events = select.POLLIN if state == psycopg2.extensions.POLL_READ else select.POLLOUT
            self._budget.wait(self._connection.fileno(), events)


def _parameters(options: dict[str, t.Any], host: str, budget: _base.Budget) -> dict[str, t.Any]:
    # libpq would look the name up itself, and nothing could end that; a path is the folder of a Unix-domain socket
    local = host.startswith("/")
    addresses = [] if local else [address[0] for _family, address in _net.look_up(host, options["port"], budget)]
    chosen = {
        # one host for each address: the certificate is checked against the host, the connection goes to the address
        "host": host if local else ",".join([options["host"]] * len(addresses)),
        "hostaddr": ",".join(addresses) or None,
        "port": options["port"],
        "dbname": options["dbname"],
        "user": options["login_user"],
        "password": options["login_password"],
        "sslmode": options["sslmode"],
        "sslrootcert": options["ca_path"],
        "application_name": "tria.production",
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _connect_failure(exc: Exception, where: str) -> _base.ProbeFailure:
    text = _one_line(exc)
    remedies = [remedy for sign, remedy in _PERMANENT.items() if sign in text]
    if "does not exist" in text:
        remedies += [remedy for kind, remedy in _MISSING.items() if f'{kind} "' in text]
    if remedies:
        gone = 'database "' in text and "does not exist" in text
        return _base.ProbeFailure(text, remedies[0], "login", permanent=True, gone=gone)
    if "FATAL:" in text:
        return _base.ProbeFailure(text, "Wait, or see the server's log.", "login")
    reason = text.replace(_QUESTION, "")
    return _base.ProbeFailure(
        f"cannot connect to {where}: {reason}", "Start the server, or correct host and port.", _net.CONNECT,
        gone="Connection refused" in reason,
    )


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
