# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A throwaway PostgreSQL in a container, `pg_backup` and `pg_restore` as processes of their own against it."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pathlib
import subprocess
import sys
import time
import types
import typing as t
import uuid

import docker

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._backup import spec

BACKUP = "ansible_collections.tria.production.plugins.modules.pg_backup"
RESTORE = "ansible_collections.tria.production.plugins.modules.pg_restore"
USER = "tria_admin"
PASSWORD = 'pa\'ss "wo$rd" C4nary-7f1d'
DBNAME = "tria 'ai\"bpo=1 ü"  # everything that a careless command line would stumble over
PROJECT = "backuptest"
DEFAULTS = {name: each.get("default") for name, each in spec.MAKING.items() if name not in ("dest", "container")}
OPTIONS = types.MappingProxyType(
    {**DEFAULTS, "dbname": DBNAME, "login_user": USER, "login_password": PASSWORD, "timeout": 120.0}
)
SAMPLE_SQL = """
CREATE SCHEMA "odd schema";
CREATE TABLE catalog (id serial PRIMARY KEY, name text NOT NULL, price numeric(10, 2), attributes jsonb);
INSERT INTO catalog (name, price, attributes)
  SELECT E'item\\t' || g || E'\\n ü "quoted"', g / 7.0, jsonb_build_object('g', g, 'h', md5(g::text))
  FROM generate_series(1, 5000) g;
CREATE TABLE "odd schema"."odd -- table" (v bytea);
INSERT INTO "odd schema"."odd -- table" SELECT decode(md5(g::text), 'hex') FROM generate_series(1, 500) g;
CREATE VIEW cheap AS SELECT * FROM catalog WHERE price < 10;
CREATE ROLE reporting;
"""
BULK_SQL = """
CREATE TABLE bulk AS SELECT g, md5(g::text) AS a, repeat(md5((g * 7)::text), 4) AS b FROM generate_series(1, 600000) g
"""
TABLES = ["catalog", '"odd schema"."odd -- table"']


class Postgres:
    """A throwaway server; everything in it goes with it."""

    def __init__(self, client: docker.DockerClient, image: str, service: str = "postgres", **options: t.Any) -> None:
        self.container = client.containers.run(
            image,
            detach=True,
            name=f"backup-{uuid.uuid4().hex[:8]}",
            labels={_docker.PROJECT: PROJECT, _docker.SERVICE: service, _docker.ONE_OFF: "False"},
            environment={"POSTGRES_USER": USER, "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": DBNAME},
            **options,
        )
        self.name = self.container.name
        self.wait()

    def wait(self) -> None:
        end = time.monotonic() + 60
        while self.psql("SELECT 1", check=False).returncode:
            assert time.monotonic() < end, self.container.logs().decode()
            time.sleep(0.1)

    def tool(self, *argv: str, dbname: str = DBNAME, **kwargs: t.Any) -> subprocess.Popen[bytes]:
        env = {**os.environ, "PGPASSWORD": PASSWORD, "PGUSER": USER, "PGDATABASE": dbname}
        prefix = ["docker", "exec", "-i", "-e", "PGPASSWORD", "-e", "PGUSER", "-e", "PGDATABASE", self.name]
        return subprocess.Popen(prefix + list(argv), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def psql(self, sql: str, check: bool = True, dbname: str = DBNAME) -> subprocess.CompletedProcess[bytes]:
        argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]
        with self.tool(*argv, dbname=dbname, stdin=subprocess.DEVNULL) as process:
            out, err = process.communicate(timeout=120)
        assert not (check and process.returncode), err.decode()
        return subprocess.CompletedProcess([], process.returncode, out, err)

    def value(self, sql: str, dbname: str = DBNAME) -> str:
        return self.psql(sql, dbname=dbname).stdout.decode().strip()

    def contents(self, dbname: str = DBNAME) -> dict[str, str]:
        """Count and content hash of every table."""
        sql = "SET TimeZone = 'UTC'; SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {} t"
        return {table: self.value(sql.format(table), dbname) for table in TABLES}

    def databases(self) -> dict[str, str]:
        """OID of every database by name."""
        return json.loads(self.value("SELECT json_object_agg(datname, oid::text) FROM pg_database", "template1"))

    def dumping(self) -> int:
        return int(self.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pg_backup-%'"))

    @contextlib.contextmanager
    def session(self, name: str, sql: str, dbname: str = DBNAME) -> t.Iterator[subprocess.Popen[bytes]]:
        """A session that stays open, as `application_name` name, once `sql`, which prints one line, is done."""
        with self.tool("psql", "-XAtq", dbname=dbname, stdin=subprocess.PIPE) as session:
            session.stdin.write(f"SET application_name = '{name}'; {sql}\n".encode())
            session.stdin.flush()
            assert session.stdout.readline()
            yield session
            session.communicate(timeout=30)

    def pid_of(self, program: str) -> int:
        """The only process of that name in the container, as this host numbers it."""
        [pid] = [int(pid) for pid, name in self.container.top(ps_args="-o pid,comm")["Processes"] if name == program]
        return pid

    @property
    def address(self) -> str:
        self.container.reload()
        return next(iter(self.container.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]

    def remove(self) -> None:
        self.container.remove(force=True, v=True)


def locked_table(server: Postgres, dbname: str = DBNAME) -> t.ContextManager[t.Any]:
    """A session that keeps a table locked exclusively, as a migration does."""
    statements = "BEGIN; ALTER TABLE catalog ADD COLUMN later int; SELECT 'locked';"
    return server.session("migration", statements, dbname)


def start(tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path, **options: t.Any) -> subprocess.Popen[bytes]:
    """`pg_backup` as a process of its own, as Ansible runs it."""
    arguments = {"dest": str(dest), "container": {"name": server.name}, **OPTIONS, **options}
    return _start(BACKUP, tmp_path, arguments)


def start_restore(
    tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path, **options: t.Any
) -> subprocess.Popen[bytes]:
    """As `start`, but `pg_restore`."""
    usual = {name: value for name, value in OPTIONS.items() if name in spec.COMMON}
    return _start(RESTORE, tmp_path, {"dest": str(dest), "container": {"name": server.name}, **usual, **options})


def _start(module: str, tmp_path: pathlib.Path, arguments: dict[str, t.Any]) -> subprocess.Popen[bytes]:
    arguments = {key: value for key, value in arguments.items() if value is not None}
    file = tmp_path / f"args-{uuid.uuid4().hex}.json"
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    return subprocess.Popen(
        [sys.executable, "-m", module, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def result_of(process: subprocess.Popen[bytes]) -> dict[str, t.Any]:
    with process:
        out, err = process.communicate(timeout=120)
    assert PASSWORD not in out.decode() + err.decode()
    assert out, err.decode()
    return json.loads(out)


def children(pid: int) -> list[int]:
    """The processes that a process has started and that have not ended."""
    threads = glob.glob(f"/proc/{pid}/task/*/children")
    return [int(child) for thread in threads for child in pathlib.Path(thread).read_text().split()]


def partials(dest: pathlib.Path) -> list[str]:
    return glob.glob(str(dest / ".partial-*"))


def manifests(dest: pathlib.Path) -> list[str]:
    return sorted(glob.glob(str(dest / "*.json")))


def until(condition: t.Callable[[], t.Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the awaited state was not reached"
        time.sleep(0.005)


def growing(dest: pathlib.Path) -> bool:
    return any(os.path.getsize(path) for path in partials(dest))
