# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_backup against a real PostgreSQL in a real container: what it restores to, and every fault it must survive."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import types
import typing as t
import uuid

import docker
import pytest
import zstandard

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._backup import engine
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

MODULE = "ansible_collections.tria.production.plugins.modules.pg_backup"
USER = "tria_admin"
PASSWORD = 'pa\'ss "wo$rd" C4nary-7f1d'
DBNAME = "tria 'ai\"bpo=1 ü"  # everything that a careless command line would stumble over
PROJECT = "backuptest"
OPTIONS = types.MappingProxyType(
    {
        "state": "present",
        "dbname": DBNAME,
        "login_user": USER,
        "login_password": PASSWORD,
        "login_host": None,
        "login_port": None,
        "when_absent": "fail",
        "compression": "zstd",
        "compression_level": None,
        "globals": True,
        "verify": "archive",
        "keep_last": 7,
        "pin": False,
        "label": None,
        "timeout": 120.0,
        "lock_timeout": 30.0,
    }
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

    def __init__(self, client: docker.DockerClient, image: str, service: str = "postgres") -> None:
        self.container = client.containers.run(
            image,
            detach=True,
            name=f"backup-{uuid.uuid4().hex[:8]}",
            labels={_docker.PROJECT: PROJECT, _docker.SERVICE: service, _docker.ONE_OFF: "False"},
            environment={"POSTGRES_USER": USER, "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": DBNAME},
        )
        self.name = self.container.name
        self.wait()

    def wait(self) -> None:
        end = time.monotonic() + 60
        while self.psql("SELECT 1", check=False).returncode:
            assert time.monotonic() < end, self.container.logs().decode()
            time.sleep(0.1)

    def tool(self, *argv: str, **kwargs: t.Any) -> subprocess.Popen[bytes]:
        env = {**os.environ, "PGPASSWORD": PASSWORD, "PGUSER": USER, "PGDATABASE": DBNAME}
        prefix = ["docker", "exec", "-i", "-e", "PGPASSWORD", "-e", "PGUSER", "-e", "PGDATABASE", self.name]
        return subprocess.Popen(prefix + list(argv), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def psql(self, sql: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        with self.tool("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, stdin=subprocess.DEVNULL) as process:
            out, err = process.communicate(timeout=120)
        assert not (check and process.returncode), err.decode()
        return subprocess.CompletedProcess([], process.returncode, out, err)

    def value(self, sql: str) -> str:
        return self.psql(sql).stdout.decode().strip()

    def contents(self) -> dict[str, str]:
        """Count and content hash of every table."""
        sql = "SET TimeZone = 'UTC'; SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {} t"
        return {table: self.value(sql.format(table)) for table in TABLES}

    def dumping(self) -> int:
        return int(self.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pg_backup-%'"))

    def remove(self) -> None:
        self.container.remove(force=True, v=True)


class LockedTable:
    """A session that keeps a table locked exclusively, as a migration would."""

    def __init__(self, server: Postgres) -> None:
        self.server = server

    def __enter__(self) -> None:
        self.session = self.server.tool("psql", "-XAtq", stdin=subprocess.PIPE)
        self.session.stdin.write(b"SET application_name = 'migration'; BEGIN; LOCK TABLE catalog; SELECT 'locked';\n")
        self.session.stdin.flush()
        assert self.session.stdout.readline() == b"locked\n"

    def __exit__(self, *_exc: t.Any) -> None:
        with self.session:
            self.session.communicate(b"ROLLBACK;\n", timeout=30)


@pytest.fixture(scope="module")
def engine_client() -> t.Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def image(engine_client: docker.DockerClient) -> str:
    named = [os.environ.get("TRIA_TEST_POSTGRES_IMAGE", ""), "tria-base/postgres:latest", "tmp-base/postgres:latest"]
    tags = {tag for each in engine_client.images.list() for tag in each.tags}
    present = [name for name in named if name in tags]
    assert present, f"none of {named} is on this Engine; the role base_images makes them"
    return present[0]


@pytest.fixture(scope="module")
def server(engine_client: docker.DockerClient, image: str) -> t.Iterator[Postgres]:
    postgres = Postgres(engine_client, image)
    try:
        postgres.psql(SAMPLE_SQL)
        postgres.psql(BULK_SQL)
        yield postgres
    finally:
        postgres.remove()


@pytest.fixture
def dest(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "backups"


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=0700", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def start(tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path, **options: t.Any) -> subprocess.Popen[bytes]:
    """The module as a process of its own, as Ansible runs it."""
    arguments = {"dest": str(dest), "container": {"name": server.name}, **OPTIONS, **options}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    file = tmp_path / f"args-{uuid.uuid4().hex}.json"
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, str(file)],
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


@pytest.fixture
def backup(tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path) -> t.Callable[..., dict[str, t.Any]]:
    def make(**options: t.Any) -> dict[str, t.Any]:
        return result_of(start(tmp_path, server, options.pop("dest", dest), **options))

    return make


def test_what_it_makes_restores_to_the_same_rows(
    backup: t.Any, server: Postgres, dest: pathlib.Path, engine_client: docker.DockerClient, image: str
) -> None:
    made = backup(label="release-1")["backup"]
    dump = pathlib.Path(made["path"])
    assert hashlib.sha256(dump.read_bytes()).hexdigest() == made["sha256"]
    assert (made["tables"], made["verified"], made["label"]) == (3, "archive", "release-1")
    assert {oct(path.stat().st_mode & 0o777) for path in dest.iterdir()} == {"0o600"}
    record = pathlib.Path(made["manifest"]).read_text()
    assert json.loads(record)["dump"]["sha256"] == made["sha256"]
    assert PASSWORD not in record and "C4nary" not in record
    assert "CREATE ROLE reporting" in pathlib.Path(made["globals"]).read_text()
    assert "C4nary" not in pathlib.Path(made["globals"]).read_text()
    throwaway = Postgres(engine_client, image, service="restored")
    try:
        with throwaway.tool(
            "pg_restore", "--exit-on-error", "--no-owner", "-d", "dbname='tria \\'ai\"bpo=1 ü'", stdin=subprocess.PIPE
        ) as restore:
            archive = zstandard.ZstdDecompressor().stream_reader(dump.read_bytes()).read()
            _out, err = restore.communicate(archive, timeout=120)
        assert restore.returncode == 0, err.decode()
        assert throwaway.contents() == server.contents()
        assert throwaway.value("SELECT count(*) FROM cheap") == server.value("SELECT count(*) FROM cheap")
    finally:
        throwaway.remove()


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_other_compressions(backup: t.Any, compression: str) -> None:
    made = backup(compression=compression, timeout=120)["backup"]
    assert made["size_bytes"] == os.path.getsize(made["path"])
    assert (made["size_bytes"] == made["archive_bytes"]) == (compression == "none")


def test_no_secret_is_on_any_command_line(tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path) -> None:
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    seen.add(pathlib.Path(path).read_bytes())
                except (FileNotFoundError, ProcessLookupError):
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert result_of(start(tmp_path, server, dest))["changed"]
    finally:
        over.set()
        watcher.join()
    assert any(line.startswith(b"pg_dump\0") for line in seen)  # the watcher did look into the container
    assert not [line for line in seen if b"C4nary" in line]


def test_check_mode_writes_nothing(backup: t.Any, dest: pathlib.Path) -> None:
    result = backup(_ansible_check_mode=True)
    assert result["changed"] and result["backup"]["tables"] == 3
    assert not dest.exists()


def test_retention_keeps_the_newest_and_the_pinned(backup: t.Any, dest: pathlib.Path) -> None:
    pinned = backup(dbname="postgres", pin=True)["backup"]["path"]
    first, second, third = (backup(dbname="postgres", keep_last=2) for _round in range(3))
    assert first["deleted"] == second["deleted"] == []
    assert third["deleted"] == [first["backup"]["path"]]
    kept = {pinned, second["backup"]["path"], third["backup"]["path"]}
    assert {path[: -len(".json")] for path in manifests(dest)} == kept
    assert not partials(dest) and not os.path.exists(first["backup"]["globals"])


def test_a_full_disk_leaves_older_backups_alone(backup: t.Any, server: Postgres, small_disk: pathlib.Path) -> None:
    dest = small_disk / "backups"
    # Random bytes do not compress: the next dump is larger than the last one lets expect.
    made = backup(dest=dest, globals=False)["backup"]
    subprocess.run(["mount", "-o", f"remount,size={made['size_bytes'] + (44 << 20)}", str(small_disk)], check=True)
    server.psql(
        "CREATE TABLE incompressible AS"
        " SELECT sha512((g || random()::text)::bytea) AS v FROM generate_series(1, 500000) g"
    )
    before = {path.name: path.read_bytes() for path in dest.iterdir() if path.name.startswith("tria")}
    try:
        result = backup(dest=dest, keep_last=1)
    finally:
        server.psql("DROP TABLE incompressible")
    assert result["failed"] and "No space left on device" in result["cause"] and "Free disk space" in result["remedy"]
    assert {path.name: path.read_bytes() for path in dest.iterdir() if path.name.startswith("tria")} == before
    assert os.path.exists(made["path"]) and not partials(dest)
    assert server.dumping() == 0


def test_too_little_space_is_noticed_before(backup: t.Any, small_disk: pathlib.Path) -> None:
    (small_disk / "filler").write_bytes(b"x" * (198 << 20))
    result = backup(dest=small_disk / "backups")
    assert result["failed"] and "2.0 MiB free" in result["cause"]
    assert not manifests(small_disk / "backups") and not partials(small_disk / "backups")


def test_a_killed_run_leaves_no_backup_and_the_next_one_cleans_up(
    tmp_path: pathlib.Path, backup: t.Any, server: Postgres, dest: pathlib.Path
) -> None:
    process = start(tmp_path, server, dest)
    until(lambda: growing(dest))
    process.kill()
    process.communicate()
    assert partials(dest) and not manifests(dest)
    assert backup()["changed"]
    assert not partials(dest) and len(manifests(dest)) == 1
    assert server.dumping() == 0


def test_a_killed_run_that_waits_for_a_lock_is_ended_by_the_next_one(
    tmp_path: pathlib.Path, backup: t.Any, server: Postgres, dest: pathlib.Path
) -> None:
    with LockedTable(server):
        process = start(tmp_path, server, dest)
        until(lambda: server.dumping() == 1 and partials(dest))
        process.kill()
        process.communicate()
        assert server.dumping() == 1  # docker exec leaves its child alive
        assert backup(lock_timeout=1)["failed"]
        assert server.dumping() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_cleans_up_at_once(tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path, number: int) -> None:
    process = start(tmp_path, server, dest)
    until(lambda: growing(dest))
    process.send_signal(number)
    result = result_of(process)
    assert result["failed"] and signal.Signals(number).name in result["cause"]
    assert not partials(dest) and not manifests(dest)
    assert server.dumping() == 0


def test_a_timeout_ends_the_backend_too(backup: t.Any, server: Postgres, dest: pathlib.Path) -> None:
    with LockedTable(server):
        result = backup(timeout=2)
        assert server.dumping() == 0
    assert result["failed"] and "not finished after 2 seconds" in result["cause"]
    assert not partials(dest) and not manifests(dest)


def test_a_locked_table_is_named_with_its_holder(backup: t.Any, server: Postgres) -> None:
    with LockedTable(server):
        result = backup(lock_timeout=0.5)
    assert result["failed"] and "catalog" in result["cause"] and "application migration" in result["cause"]


def test_a_server_that_stops_meanwhile(
    tmp_path: pathlib.Path, engine_client: docker.DockerClient, image: str, dest: pathlib.Path
) -> None:
    victim = Postgres(engine_client, image, service="victim")
    try:
        victim.psql(BULK_SQL)
        process = start(tmp_path, victim, dest)
        until(lambda: growing(dest))
        victim.container.kill()
        result = result_of(process)
        assert result["failed"] and victim.name in result["culprit"]
        assert not partials(dest) and not manifests(dest)
        stopped = result_of(start(tmp_path, victim, dest))
        assert stopped["failed"] and "exited" in stopped["cause"] and f"docker start {victim.name}" in stopped["remedy"]
    finally:
        victim.remove()


def test_two_at_once(tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path) -> None:
    first = start(tmp_path, server, dest)
    until(lambda: growing(dest))
    second = result_of(start(tmp_path, server, dest))
    assert second["failed"] and f"process {first.pid}" in second["cause"]
    assert result_of(first)["changed"]


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_a_damaged_dump_is_never_published(
    server: Postgres, dest: pathlib.Path, monkeypatch: pytest.MonkeyPatch, compression: str, damage: str
) -> None:
    dump = engine.Job._dump

    def spoil(job: engine.Job, draft: t.Any, plan: t.Any) -> None:
        dump(job, draft, plan)
        with open(draft.path(plan.dump.file), "r+b") as file:
            if damage == "truncate":
                file.truncate(int(plan.dump.size_bytes * 0.6))
                return
            file.seek(plan.dump.size_bytes // 2)
            byte = file.read(1)
            file.seek(plan.dump.size_bytes // 2)
            file.write(bytes([byte[0] ^ 1]))

    monkeypatch.setattr(engine.Job, "_dump", spoil)
    options = {**OPTIONS, "dest": str(dest), "container": {"name": server.name}, "compression": compression}
    with pytest.raises(ProductionError, match="damaged"):
        engine.create(options)
    assert not partials(dest) and not manifests(dest)


def test_a_dump_that_lost_bytes_on_its_way_is_noticed_by_pg_restore(
    server: Postgres, dest: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = engine.archive.Writer.write
    lost = []

    def lose(writer: t.Any, data: bytes) -> None:
        if writer.archive_bytes > 1_000_000 and not lost:
            lost.append(data[:4096])
            data = data[4096:]
        write(writer, data)

    monkeypatch.setattr(engine.archive.Writer, "write", lose)
    with pytest.raises(ProductionError, match="cannot be read back"):
        engine.create({**OPTIONS, "dest": str(dest), "container": {"name": server.name}})
    assert lost and not partials(dest) and not manifests(dest)


def test_a_wrong_password_leaves_nothing(backup: t.Any, dest: pathlib.Path) -> None:
    result = backup(login_password="wrong-C4nary")
    assert (
        result["failed"]
        and "password authentication failed" in result["cause"]
        and "login_password" in result["remedy"]
    )
    assert "wrong-C4nary" not in json.dumps({key: result[key] for key in result if key != "invocation"})
    assert not dest.exists()


def test_a_table_without_rights(backup: t.Any, server: Postgres, dest: pathlib.Path) -> None:
    server.psql("CREATE ROLE limited LOGIN PASSWORD 'limited-pw'; GRANT SELECT ON catalog TO limited")
    try:
        result = backup(login_user="limited", login_password="limited-pw")
    finally:
        server.psql("REVOKE ALL ON catalog FROM limited; DROP ROLE limited")
    assert result["failed"] and "permission denied" in result["cause"] and "pg_read_all_data" in result["remedy"]
    assert not manifests(dest)


def test_by_compose_project_and_service(backup: t.Any, server: Postgres) -> None:
    result = backup(dbname="postgres", container={"project": PROJECT, "service": "postgres"})
    assert result["changed"] and json.loads(pathlib.Path(result["backup"]["manifest"]).read_text())["source"] == {
        "project": PROJECT,
        "service": "postgres",
    }


def test_first_deploy(backup: t.Any, dest: pathlib.Path, engine_client: docker.DockerClient) -> None:
    project = f"backup-{uuid.uuid4().hex[:8]}"
    container = {"project": project, "service": "postgres"}
    skipped = backup(container=container, when_absent="skip_if_no_data")
    assert not skipped["changed"] and "First deploy" in skipped["skipped_reason"]
    assert "does not exist" in backup(container=container)["cause"]
    volume = engine_client.volumes.create(f"{project}_data", labels={_docker.PROJECT: project})
    try:
        refused = backup(container=container, when_absent="skip_if_no_data")
        assert refused["failed"] and volume.name in refused["cause"] and "when_absent" in refused["remedy"]
        skipped = backup(container=container, when_absent="skip")
        assert not skipped["changed"] and volume.name in skipped["msg"]
    finally:
        volume.remove()
    assert not dest.exists()


def test_a_server_through_the_clients_on_the_path(
    backup: t.Any, server: Postgres, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The host needs no PostgreSQL for this test: its "own" tools are those of the container, reached over TCP.
    shims = tmp_path / "bin"
    shims.mkdir()
    for tool in ("psql", "pg_dump", "pg_dumpall", "pg_restore"):
        shim = shims / tool
        names = " ".join(f"-e {name}" for name in "PGDATABASE PGUSER PGPASSWORD PGHOST PGPORT PGAPPNAME LC_ALL".split())
        shim.write_text(f'#!/bin/sh\nexec docker exec -i {names} {server.name} {tool} "$@"\n')
        shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PGDATABASE", "never_to_be_used")
    result = backup(container=None, login_host="127.0.0.1", login_port=5432)
    assert result["changed"] and result["backup"]["tables"] == 3
