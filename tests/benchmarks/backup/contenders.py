# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who dumps a database, each as a process of its own: `pg_backup`, PostgreSQL's own tools, and `postgresql_db`."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import spec
from benchmarks import peers
from benchmarks.memory import Watch
from benchmarks.process import Program
from integration import backup_server
from integration.backup_server import Postgres

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_POSTGRESQL_DB = "ansible_collections.community.postgresql.plugins.modules.postgresql_db"
_TIMEOUT = 900.0  # s


@dataclasses.dataclass(frozen=True)
class Sample:
    """One dump. `inside` is what the module itself needed, in seconds, without Python's start; of peers all of it."""

    seconds: float
    inside: float
    cpu: float
    own_mb: float
    all_mb: float
    mb: float


@dataclasses.dataclass(frozen=True)
class Place:
    """The database to be dumped, and the empty folder for the dump."""

    postgres: Postgres
    dbname: str
    folder: pathlib.Path

    @property
    def environment(self) -> dict[str, str]:
        """How libpq's programs on this host find it."""
        login = {"PGUSER": backup_server.USER, "PGPASSWORD": backup_server.PASSWORD}
        return {"PGHOST": self.postgres.address, "PGDATABASE": self.dbname, **login}


# Starts a dump into the folder of a place.
Start = t.Callable[[Place], Program]


def measure(start: Start, place: Place) -> Sample:
    """Dumps once; raises `RuntimeError` when that fails. The folder is empty again afterwards."""
    program = start(place)
    watch = Watch(program.pid)
    ended = program.finish()
    watch.stop()
    files = [path for path in place.folder.iterdir() if path.name != ".pg_backup.lock"]
    size = sum(path.stat().st_size for path in files)
    for path in place.folder.iterdir():
        path.unlink()
    if ended.code or not size:
        raise RuntimeError(f"no dump (status {ended.code}): {ended.stdout[-2000:]} {ended.stderr[-2000:]}")
    inside = json.loads(ended.stdout)["backup"]["duration_s"] if '"backup":' in ended.stdout else ended.seconds
    megabytes = [value / 1e6 for value in (watch.own_bytes, watch.all_bytes, size)]
    return Sample(ended.seconds, inside, ended.cpu, *megabytes)


def module(name: str, arguments: dict[str, t.Any], place: Place) -> Program:
    """A module as Ansible runs it on the host, without Ansible's own start."""
    file = place.folder.parent / "arguments.json"
    file.touch(0o600)
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_remote_tmp": str(place.folder.parent)}}))
    return Program([sys.executable, "-m", name, str(file)], env={"PYTHONPATH": str(_ROOT / ".build")}, timeout=_TIMEOUT)


def ours(verify: str, container: bool) -> Start:
    def start(place: Place) -> Program:
        login = {"login_user": backup_server.USER, "login_password": backup_server.PASSWORD}
        if container:
            where: dict[str, t.Any] = {"container": {"name": place.postgres.name}}
        else:
            where = {"login_host": place.postgres.address}
        options = {"dest": str(place.folder), "dbname": place.dbname, "verify": verify, "globals": False}
        return module(backup_server.BACKUP, {**options, **login, **where}, place)

    return start


def postgresql_db(place: Place) -> Program:
    login = {"login_user": backup_server.USER, "login_password": backup_server.PASSWORD}
    options = {"name": place.dbname, "state": "dump", "target": str(place.folder / "dump.sql.gz")}
    return module(_POSTGRESQL_DB, {**options, **login, "login_host": place.postgres.address}, place)


def shell(line: str) -> Start:
    """A pipeline of bash; `$0` is the file, `$1` the container."""
    def start(place: Place) -> Program:
        argv = ["bash", "-o", "pipefail", "-c", line, str(place.folder / "dump"), place.postgres.name]
        return Program(argv, env=place.environment, timeout=_TIMEOUT)

    return start


def _levels() -> list[str]:
    """Our levels of verification, the least first."""
    return sorted(spec.MAKING["verify"]["choices"], key=["none", "archive", "restore"].index)


def contenders(ours_only: bool) -> dict[str, Start]:
    """All by name. `host` is by this host's own client over TCP, `container` by the container's through the Engine."""
    places = ("host", "container")
    found = {f"{where}_{level}": ours(level, where == "container") for where in places for level in _levels()}
    if ours_only:
        return found
    zstd, pg_dump = peers.installed("zstd", "zstd"), peers.installed("pg_dump", "postgresql-client")
    inside = "docker exec -e PGUSER -e PGPASSWORD -e PGDATABASE"
    return {
        **found,
        "raw_zstd": shell(f'{pg_dump} -Fc -Z0 | {zstd} -q -1 -T0 > "$0"'),
        "raw_zstd_container": shell(f'{inside} "$1" pg_dump -Fc -Z0 | {zstd} -q -1 -T0 > "$0"'),
        "pg_dump_fc": shell(f'{pg_dump} -Fc -f "$0"'),
        "pg_dump_gzip": shell(f'{pg_dump} | gzip > "$0"'),
        "postgresql_db": postgresql_db,
    }
