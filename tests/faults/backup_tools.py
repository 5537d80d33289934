# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who makes backups and restores them: `pg_backup` and `pg_restore`; `postgresql_db` of community.postgresql."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

from integration import backup_server
from integration.backup_server import PASSWORD, USER, Postgres, children
from integration.full_database import quoted

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_POSTGRESQL_DB = "ansible_collections.community.postgresql.plugins.modules.postgresql_db"
_PATIENCE = 20.0  # s, then who is still at work counts as hung
_LOCK_TIMEOUT = 2.0


@dataclasses.dataclass
class Place:
    """A database at an address, as `user`, and the folder of its backups; `scratch` is for what is no backup."""

    postgres: Postgres
    dbname: str
    folder: pathlib.Path
    scratch: pathlib.Path
    host: str = "127.0.0.1"
    port: int = 5432
    user: str = USER
    password: str = PASSWORD

    @property
    def login(self) -> dict[str, t.Any]:
        return {
            "login_host": self.host, "login_port": self.port, "login_user": self.user, "login_password": self.password
        }


@dataclasses.dataclass(frozen=True)
class Said:
    """What a module said at its end; `ok` is None when it never ended."""

    ok: t.Optional[bool]
    seconds: float
    message: str


class Run:
    """A module at work, as a process of its own with a session of its own."""

    def __init__(self, name: str, arguments: dict[str, t.Any], scratch: pathlib.Path) -> None:
        file = scratch / f"arguments-{time.monotonic_ns()}.json"
        file.touch(0o600)
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_remote_tmp": str(scratch)}}))
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", name, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_ROOT / ".build")}, start_new_session=True,
        )
        self.pid = self._process.pid

    def finish(self) -> Said:
        try:
            out, err = self._process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            out, err = self._process.communicate()
            return Said(None, time.monotonic() - self._begun, "it did not end")
        seconds = time.monotonic() - self._begun
        try:
            result = json.loads(out)
        except ValueError:
            return Said(False, seconds, f"it broke: {err.decode()[-500:]}")
        return Said(not result.get("failed"), seconds, str(result.get("msg", "")))

    def process(self, *names: str) -> int:
        """The process of one of these names that the module has started, or 0."""
        family = [self.pid]
        for pid in family:
            family += children(pid)
        named = [pid for pid in family if _name(pid) in names]
        return named[0] if named else 0


class Ours:
    """pg_backup and pg_restore, with the host's own client."""

    name = "ours"
    compressors: tuple[str, ...] = ()  # it compresses by itself: to kill the compressor is to kill it

    def dump(self, place: Place, _number: int, **options: t.Any) -> Run:
        return self._run(backup_server.BACKUP, place, lock_timeout=_LOCK_TIMEOUT, **options)

    def restore(self, place: Place, file: pathlib.Path, **options: t.Any) -> Run:
        return self._run(backup_server.RESTORE, place, backup=str(file), foreign=True, **options)

    def judged(self, place: Place, file: pathlib.Path) -> bool:
        """Whether the backup restores into the database of `place`, which is new."""
        return bool(self.restore(place, file).finish().ok)

    @staticmethod
    def _run(module: str, place: Place, **options: t.Any) -> Run:
        arguments = {"dest": str(place.folder), "dbname": place.dbname, **place.login, **options}
        return Run(module, arguments, place.scratch)

    @staticmethod
    def backups(folder: pathlib.Path) -> list[pathlib.Path]:
        """The dumps that look like backups, oldest first; what has no manifest says so by that."""
        manifests = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [path.with_suffix("") for path in manifests]


class PostgresqlDb:
    """postgresql_db as its documentation shows it, to a compressed script that replaces what is there."""

    name = "peer"
    compressors = ("gzip", "pigz")

    def dump(self, place: Place, number: int) -> Run:
        target = str(place.folder / f"dump-{number}.sql.gz")
        return self._run(place, state="dump", target=target, dump_extra_args="--clean --if-exists")

    def restore(self, place: Place, file: pathlib.Path) -> Run:
        return self._run(place, state="restore", target=str(file))

    def judged(self, place: Place, file: pathlib.Path) -> bool:
        """By psql itself, which is told to stop at the first error, unlike in state=restore."""
        unpacked = subprocess.run(["gzip", "-dc", str(file)], check=False, capture_output=True)
        if unpacked.returncode or not unpacked.stdout:
            return False
        place.postgres.psql(f"CREATE DATABASE {quoted(place.dbname)}", dbname="postgres")
        argv = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        with place.postgres.tool(*argv, dbname=place.dbname, stdin=subprocess.PIPE) as process:
            process.communicate(unpacked.stdout, timeout=_PATIENCE)
        return process.returncode == 0

    @staticmethod
    def _run(place: Place, **options: t.Any) -> Run:
        return Run(_POSTGRESQL_DB, {"name": place.dbname, **place.login, **options}, place.scratch)

    @staticmethod
    def backups(folder: pathlib.Path) -> list[pathlib.Path]:
        return sorted(folder.glob("*.sql.gz"))


def _name(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
