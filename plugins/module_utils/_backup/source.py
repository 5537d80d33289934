# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where PostgreSQL's own tools run: on this host, or inside the server's container. Private to the collection.

Whatever the tools need to know about the connection travels in their environment, never on a command line: libpq reads
it from there, and unusual database names need no quoting.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._backup import process
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._redact import redact

_CONNECT_SECONDS = "10"
_CLEANUP_SECONDS = 15.0
_POLL_SQL_SECONDS = 0.2
PSQL = ["psql", "--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1"]
# What PostgreSQL tells of rows in its errors: they may be anybody's, and errors go into logs.
_ROWS = re.compile(r"((?:Failing row contains|Key) \().*|(\bCOPY .+, line \d+).*")

# Databases whose names begin as those do that the restores of a database have replaced.
BEFORE_SQL = """(
    SELECT coalesce(json_object_agg(datname, json_build_object(
        'ours', pg_has_role(datdba, 'USAGE'),
        'sessions', (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = b.oid))), json_build_object())
    FROM pg_database b WHERE left(datname, length({name}) + 8) = {name} || '_before_')"""

# User tables as pg_dump sees them: not the system's, not temporary ones, not those that an extension owns.
# Nothing here waits for a lock on a table, as pg_table_size() would.
_FACTS_SQL = f"""
SELECT json_build_object(
    'server_version', current_setting('server_version'),
    'database_size_bytes', pg_database_size(current_database()),
    'tables', count(*),
    'before', {BEFORE_SQL.format(name='current_database()')})
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""

_TERMINATE_SQL = """
SELECT json_build_object('left', count(pg_terminate_backend(pid)))
FROM pg_stat_activity WHERE application_name = {name}
"""

_BLOCKERS_SQL = """
SELECT coalesce(json_agg(DISTINCT format(
    '%s (pid %s, user %s, application %s, %s%s)', l.relation::regclass, a.pid, a.usename,
    coalesce(nullif(a.application_name, ''), '-'), a.state,
    CASE WHEN NOT l.granted THEN ', waits itself for pid ' || array_to_string(pg_blocking_pids(a.pid), ', ') END
)), '[]')
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclasses.dataclass
class Connection:
    """How to reach the database from where the tools run; `None` leaves a value to libpq's defaults."""

    dbname: str
    user: str | None = None
    password: str | None = None
    host: str | None = None
    port: int | None = None

    def environment(self, application_name: str) -> dict[str, str]:
        values = {
            "PGDATABASE": self.dbname,
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGHOST": self.host,
            "PGPORT": None if self.port is None else str(self.port),
            "PGAPPNAME": application_name,
            "PGCONNECT_TIMEOUT": _CONNECT_SECONDS,
            "LC_ALL": "C",  # messages and lists are parsed
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclasses.dataclass
class Facts:
    """The database as it is now; its size includes indexes and the system catalogue.

    `before` are the databases named as those that its restores have replaced: by name, whether they are `ours` to drop
    and how many `sessions` they have.
    """

    server_version: str
    database_size_bytes: int
    tables: int
    before: dict[str, dict[str, t.Any]]


class Server:
    """A server that this host's own PostgreSQL client reaches."""

    def __init__(self, connection: Connection, application_name: str) -> None:
        self.connection = connection
        self.application_name = application_name
        self.on_abort: t.Callable[[], t.Any] | None = None  # called when a tool has to be ended before its time
        self.scratch: str | None = None  # a folder for files, where the tools do not see those of this host

    @property
    def name(self) -> str:
        return f"database {self.connection.dbname} on {self.connection.host or 'the local socket'}"

    @property
    def identity(self) -> dict[str, t.Any]:
        """What tells the backups of this source from others in the same folder; goes into the manifest."""
        return {"host": self.connection.host, "port": self.connection.port}

    def command(self, argv: list[str], names: list[str], interactive: bool) -> list[str]:
        return argv

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**inherited, **self.connection.environment(self.application_name)}

    def run(
        self,
        argv: list[str],
        deadline: Deadline,
        feed: t.Iterable[bytes] | None = None,
        sink: t.Callable[[bytes], t.Any] | None = None,
        tool: str | None = None,
    ) -> str:
        """Runs one of PostgreSQL's tools; returns its last words, raises `ProductionError` with them when it fails.

        `tool` is its name in the error, when it is not what `argv` begins with.
        """
        names = sorted(self.connection.environment(self.application_name))
        command = self.command(argv, names, feed is not None)
        try:
            status, stderr = process.run(command, self.environment(), deadline, feed, sink, self.on_abort)
        except FileNotFoundError as exc:
            raise ProductionError(command[0], "is not installed on this host.", "Install it, on the PATH.") from exc
        if status != 0:
            raise self.failure(tool or argv[0], status, stderr)
        return stderr

    def failure(self, tool: str, status: int, stderr: str) -> ProductionError:
        said = redact(_ROWS.sub(lambda match: f"{match[1] or match[2]}…", stderr), [self.connection.password or ""])
        return ProductionError(
            self.name,
            f"{tool} ended with status {status}: {' '.join(said.split()) or 'it said nothing'}",
            _remedy(said, status),
            rc=status,
            stderr=said,
        )

    def at(self, dbname: str) -> t.Any:
        """The same server, another database of it."""
        other = copy.copy(self)
        other.connection = dataclasses.replace(self.connection, dbname=dbname)
        return other

    def query(self, sql: str, deadline: Deadline) -> t.Any:
        """The one JSON value that `sql` yields."""
        output: list[bytes] = []
        argv = PSQL + ["--tuples-only", "--no-align", f"--command={sql}"]
        self.run(argv, deadline, sink=output.append)
        return json.loads(b"".join(output))

    def script(self, sql: str, deadline: Deadline) -> None:
        """Runs statements one after the other, up to the first that fails; what they print is dropped."""
        self.run(PSQL, deadline, feed=[sql.encode("utf-8")])

    def free_bytes(self, folder: str, deadline: Deadline) -> int | None:
        """What the file system of a folder of the server has left, None where that cannot be told from here."""
        return None

    def facts(self, deadline: Deadline) -> Facts:
        return Facts(**self.query(_FACTS_SQL, deadline))

    def blockers(self, deadline: Deadline) -> list[str]:
        """Who keeps a dump waiting; one line each, without their statements.

        A lock that is still waited for keeps out whoever comes after it, just as one that is held.
        """
        return self.query(_BLOCKERS_SQL, deadline)

    def terminate(self, application_name: str) -> None:
        """Ends every backend of that application name, and returns when they are gone; raises `ProductionError`.

        Killing the client is not enough: `docker exec` leaves its child alive, and such a dump holds its locks.
        """
        deadline = Deadline(_CLEANUP_SECONDS)
        sql = _TERMINATE_SQL.format(name=literal(application_name))
        cleaner = copy.copy(self)
        cleaner.application_name = f"{self.application_name}-cleanup"  # not to be found by its own query
        cleaner.on_abort = None
        try:
            while cleaner.query(sql, deadline)["left"]:
                process.pause(_POLL_SQL_SECONDS, deadline)
        except process.TimedOut as exc:
            raise ProductionError(
                self.name,
                f"the backend {application_name} is still there {_CLEANUP_SECONDS:g} seconds after it was told to end.",
                "SELECT * FROM pg_stat_activity shows it; it holds locks until it is gone.",
            ) from exc


class Container(Server):
    """A server in a container of this host's Docker Engine; its own tools are used, so that versions always fit."""

    def __init__(
        self, connection: Connection, application_name: str, container: dict[str, t.Any], scratch: str = "/tmp"
    ) -> None:
        super().__init__(connection, application_name)
        self.scratch = os.path.join(scratch, application_name)
        self.container_id = container["Id"]
        self.container_name = container["Name"].lstrip("/")
        labels = container["Config"]["Labels"] or {}
        self.project, self.service = labels.get(_docker.PROJECT), labels.get(_docker.SERVICE)

    @property
    def name(self) -> str:
        return f"database {self.connection.dbname} in container {self.container_name}"

    @property
    def identity(self) -> dict[str, t.Any]:
        if self.project:
            return {"project": self.project, "service": self.service}
        return {"container": self.container_name}

    def command(self, argv: list[str], names: list[str], interactive: bool) -> list[str]:
        """`docker exec` with the names of the variables only: their values are taken from our environment."""
        command = ["docker", "exec"] + (["--interactive"] if interactive else [])
        for name in names:
            command += ["--env", name]
        return command + [self.container_id] + argv

    def free_bytes(self, folder: str, deadline: Deadline) -> int | None:
        output: list[bytes] = []
        self.run(["df", "-P", "-k", folder], deadline, sink=output.append)
        return int(b"".join(output).splitlines()[-1].split()[-3]) * 1024

    def environment(self) -> dict[str, str]:
        # the Engine that answered the API is the one to use, whatever context the user selected for the client
        return {**super().environment(), "DOCKER_CONTEXT": "default"}


def conninfo(dbname: str) -> str:
    """For tools that take a database's name as an argument only, and any text in it as more than a name."""
    escaped = dbname.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def literal(text: str) -> str:
    """As a string in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _remedy(stderr: str, status: int) -> str:
    known = {
        "No space left on device": "Free disk space where the server keeps its files.",
        "password authentication failed": (
            "Check login_user and login_password. The image's environment counts once only: a database keeps the"
            " passwords that its volume was made with."
        ),
        "no password supplied": "Set login_password.",
        "ERROR:  role": "Create the role, or restore a backup that was made with globals.",
        "is not available": "Install that extension where the server runs.",
        "to create database": "Restore as a superuser, or give login_user CREATEDB.",
        "to terminate": "Restore as a superuser, or end the sessions of other users first.",
        "being accessed by other users": "End what is connected to that database; pg_stat_activity shows it.",
        "does not exist": "Check dbname and login_user.",
        "row-level security": "Connect as a superuser, or give login_user BYPASSRLS.",
        "permission denied": "Give login_user the right to read every table (role pg_read_all_data).",
        "server version mismatch": "Use a pg_dump that is at least as new as the server.",
        "the database system is": "Wait until the server accepts connections, then run again.",
        "connection to server": "Check that the server runs and accepts connections.",
        "executable file not found": "The image must contain PostgreSQL's client tools.",
    }
    for words, remedy in known.items():
        if words in stderr:
            return remedy
    return (
        "The container or the server has stopped meanwhile; see its log." if status >= 128 else "See the server's log."
    )
