# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A place to restore a dump into that is gone afterwards. Private to the collection.

For a server in a container that is another container of the same image, without a network; for another server a
database beside its others. Whoever is killed leaves a container that ends by itself, and what the next run removes.
"""

from __future__ import annotations

import abc
import secrets
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker
from ansible_collections.tria.production.plugins.module_utils._backup import databases, process, roles
from ansible_collections.tria.production.plugins.module_utils._backup.kept import Ended, Kept
from ansible_collections.tria.production.plugins.module_utils._backup.manifest import Manifest
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Connection, Container, Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

LABEL = "tria.production.pg_backup"  # of a container: the folder whose backup it is there for
_DBNAME = "restored_to_be_verified"
_FOLDER = "/tmp/throwaway"
_READY = b"tria: ready"
_START_SECONDS = 60.0
_CLEANUP_SECONDS = 30.0
_MARGIN = 1.1  # on the size of the database
_RESERVE_BYTES = 384 << 20  # what an empty server takes, and the most that it keeps of its log

# The server is the container's first process: it ends when our end of its standard input is closed. Nothing is written
# for good, nobody reaches it but through its socket, and no process of an extension works on what was restored.
_SCRIPT = f"""
set -e
PATH="/usr/lib/postgresql/$1/bin:/usr/pgsql-$1/bin:$PATH"
LC_ALL=C
export LC_ALL PATH
mkdir -m 0700 {_FOLDER}
initdb --pgdata={_FOLDER}/data --username="$2" --auth=trust --encoding=UTF8 --no-sync >&2
exec 3<&0
(cat <&3 > /dev/null; while kill -QUIT $$; do sleep 0.1; done) 2> /dev/null &
(until psql --no-psqlrc --host={_FOLDER} --username="$2" --dbname=postgres --quiet --command='' 2> /dev/null
do sleep 0.05; done; echo '{_READY.decode()}') &
exec postgres -D {_FOLDER}/data -c shared_preload_libraries="$3" -c max_worker_processes=0 \\
    -c listen_addresses= -c unix_socket_directories={_FOLDER} -c port=5432 -c ssl=off \\
    -c max_connections=100 -c max_locks_per_transaction=256 -c autovacuum=off -c jit=off \\
    -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c wal_level=minimal -c max_wal_senders=0 \\
    -c archive_mode=off -c max_wal_size=256MB -c checkpoint_warning=0 \\
    -c logging_collector=off -c log_destination=stderr -c log_min_messages=log 3<&- < /dev/null > /dev/null
"""
_ORIGIN_SQL = """
SELECT json_build_object(
    'major', current_setting('server_version_num')::int / 10000,
    'me', current_user,
    'superuser', (SELECT rolname FROM pg_roles WHERE oid = 10),
    'preload',
        CASE WHEN pg_has_role('pg_read_all_settings', 'MEMBER') THEN current_setting('shared_preload_libraries') END)
"""
_OLDEST = 11  # of PostgreSQL: has hashtextextended()


class Place(abc.ABC):
    """An empty database of the same kind as the one that was dumped: `with` starts it, `ready` gives it, then it goes.

    `record` is for the lock of the folder: what the next run has to remove.
    """

    record: t.Mapping[str, t.Any] = {}

    def __init__(self, source: Server, deadline: Deadline) -> None:
        self.source = source
        self.deadline = deadline
        self.origin = source.query(_ORIGIN_SQL, deadline)
        self.options = ["--no-tablespaces", "--no-subscriptions"]  # for pg_restore
        if self.origin["major"] < _OLDEST:
            raise ProductionError(
                source.name, f"is PostgreSQL {self.origin['major']}, which cannot hash rows.", "Use verify=archive."
            )

    def __enter__(self) -> Place:
        return self

    @abc.abstractmethod
    def __exit__(self, *_exc: t.Any) -> None:
        """The place is gone, whatever happened in it."""

    @abc.abstractmethod
    def ready(self, globals_script: str, record: Manifest) -> Server:
        """The database, with the roles of `globals_script`; there is room for what `record` is about."""


class Beside(Place):
    """A database of the same server."""

    def __init__(self, source: Server, deadline: Deadline) -> None:
        super().__init__(source, deadline)
        self._server = databases.maintenance_of(source)
        self._name = databases.beside(source.connection.dbname, f"_verifying_{secrets.token_hex(4)}")
        self.record = {"source": source.identity, "restoring": self._name}

    def ready(self, globals_script: str, record: Manifest) -> Server:
        state = databases.state(self._server, self.source.connection.dbname, self.deadline)
        live = {**(state.live or {}), "location": ""}
        if not state.superuser:  # nobody else can make what belongs to others
            live["owner"] = self.origin["me"]
            self.options += ["--no-owner", "--no-privileges"]
        self._server.script(databases.create_statement(self._name, live) + ";\n", self.deadline)
        return self.source.at(self._name)

    def __exit__(self, *_exc: t.Any) -> None:
        databases.drop(self._server, self._name, Deadline(_CLEANUP_SECONDS), ours=True)


class Apart(Place):
    """A database of another container of the same image."""

    def __init__(self, source: Container, deadline: Deadline, dest: str) -> None:
        super().__init__(source, deadline)
        self._dest = dest
        self._name = f"{source.application_name}-throwaway"

    def __enter__(self) -> Place:
        client = _docker.connect()
        try:
            container = client.inspect_container(self.source.container_id)
            image = client.inspect_image(container["Image"])
        finally:
            client.close()
        argv = self._argv(image, container["Config"].get("User") or "")
        self._child = Kept(argv, self.source.environment())
        return self

    def _argv(self, image: dict[str, t.Any], user: str) -> list[str]:
        argv = ["docker", "run", "--rm", "--interactive", "--pull=never", f"--name={self._name}"]
        # The labels of an image that Compose has built would make it a container of the project.
        labels = {name: "" for name in image["Config"]["Labels"] or {} if name.startswith("com.docker.")}
        argv += [f"--label={name}={value}" for name, value in {**labels, LABEL: self._dest}.items()]
        argv += ["--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--log-driver=none"]
        argv += ["--no-healthcheck", "--oom-score-adj=1000", "--cpu-shares=256"]  # the others come first
        argv += [
            f"--user={'postgres' if user.partition(':')[0] in ('', '0', 'root') else user}",
            "--entrypoint=sh",
            image["Id"],
        ]
        origin = self.origin
        return argv + ["-c", _SCRIPT, "sh", str(origin["major"]), origin["superuser"], origin["preload"] or ""]

    def ready(self, globals_script: str, record: Manifest) -> Server:
        try:
            for _line in self._child.lines(_READY, Deadline(min(_START_SECONDS, self.deadline.remaining()))):
                continue
        except (Ended, process.TimedOut) as exc:
            raise ProductionError(
                f"the throwaway container of {self.source.name}",
                f"does not start: {' '.join(self._child.said().split()) or exc}",
                "Its image must be able to run as another server (sh, initdb, postgres); or use verify=archive.",
            ) from exc
        connection = Connection("postgres", self.origin["superuser"], host=_FOLDER)
        container = {"Id": self._name, "Name": self._name, "Config": {"Labels": None}}
        server = Container(connection, self.source.application_name, container)
        self._require_room(server, record)
        state = databases.state(server, "postgres", self.deadline)
        _names, statements = roles.missing(globals_script, state.roles)
        live = databases.state(self.source, self.source.connection.dbname, self.deadline).live
        statements.append(databases.create_statement(_DBNAME, {**(live or {}), "location": ""}) + ";")
        server.script("\n".join(statements) + "\n", self.deadline)
        return server.at(_DBNAME)

    def _require_room(self, server: Server, record: Manifest) -> None:
        need = int(record.database_size_bytes * _MARGIN) + _RESERVE_BYTES
        if record.parts:
            need += record.dump.size_bytes  # which is copied there
        free = server.free_bytes(_FOLDER, self.deadline)
        if free is not None and free < need:
            raise ProductionError(
                "the Docker Engine's folder",
                f"has {free / (1 << 20):.1f} MiB free, to restore the dump into a throwaway container is expected to"
                f" take {need / (1 << 20):.1f} MiB.",
                "Free disk space there, lower verify_restore_up_to, or use verify=archive.",
                free_bytes=free,
                needed_bytes=need,
            )

    def __exit__(self, *_exc: t.Any) -> None:
        try:
            sweep(self._dest)
        finally:
            self._child.close()
        sweep(self._dest)  # had it not been made yet, it was made now


def of(source: Server, dest: str, deadline: Deadline) -> Place:
    """The place for dumps of `source`."""
    return Apart(source, deadline, dest) if isinstance(source, Container) else Beside(source, deadline)


def sweep(dest: str) -> None:
    """Removes every container that is there for a backup in `dest`, with its volumes; returns when they are gone.

    Only for the holder of the folder's lock. Raises `ProductionError` when one does not go.
    """
    errors = _deps.load("docker").errors
    client, end = _docker.connect(), time.monotonic() + _CLEANUP_SECONDS
    try:
        while True:
            left = client.containers(all=True, quiet=True, filters={"label": f"{LABEL}={dest}"})
            for each in left:
                try:
                    client.remove_container(each["Id"], v=True, force=True)
                except errors.NotFound:
                    continue
                except errors.APIError as exc:
                    if time.monotonic() > end or exc.status_code != 409:  # 409: it is being removed already
                        raise
            if not left:
                return
            time.sleep(0.05)
    except (errors.DockerException, OSError) as exc:
        raise ProductionError(
            "Docker Engine",
            f"does not remove a throwaway container: {exc}",
            f"docker ps --filter label={LABEL} shows it.",
        ) from exc
    finally:
        client.close()
