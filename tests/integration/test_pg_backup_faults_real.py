# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_backup against a real PostgreSQL: every fault it must survive without a trace of a backup that is none."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import typing as t

import docker
import pytest
from ansible_collections.tria.production.plugins.module_utils._backup import engine
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from backup_server import (
    BULK_SQL,
    OPTIONS,
    Postgres,
    children,
    growing,
    locked_table,
    manifests,
    partials,
    result_of,
    start,
    until,
)
from older_client import newer_server


@pytest.fixture
def disk(tmp_path: pathlib.Path, small_disk: t.Callable[[pathlib.Path, str], pathlib.Path]) -> pathlib.Path:
    (tmp_path / "small").mkdir()
    return small_disk(tmp_path / "small", "200m")


def test_a_full_disk_leaves_older_backups_alone(backup: t.Any, server: Postgres, disk: pathlib.Path) -> None:
    dest = disk / "backups"
    # Random bytes do not compress: the next dump is larger than the last one lets expect.
    made = backup(dest=dest, globals=False)["backup"]
    subprocess.run(["mount", "-o", f"remount,size={made['size_bytes'] + (44 << 20)}", str(disk)], check=True)
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


def test_too_little_space_is_noticed_before(backup: t.Any, disk: pathlib.Path) -> None:
    (disk / "filler").write_bytes(b"x" * (198 << 20))
    result = backup(dest=disk / "backups")
    assert result["failed"] and "2.0 MiB free" in result["cause"]
    assert not manifests(disk / "backups") and not partials(disk / "backups")


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
    with locked_table(server):
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
    with locked_table(server):
        result = backup(timeout=2)
        assert server.dumping() == 0
    assert result["failed"] and "not finished after 2 seconds" in result["cause"]
    assert not partials(dest) and not manifests(dest)


def test_a_killed_pg_dump(tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path) -> None:
    process = start(tmp_path, server, dest)
    until(lambda: growing(dest))
    os.kill(server.pid_of("pg_dump"), signal.SIGKILL)
    result = result_of(process)
    assert result["failed"] and "pg_dump ended with status 137" in result["cause"]
    assert not partials(dest) and not manifests(dest)
    until(lambda: server.dumping() == 0)


def test_a_killed_client_of_the_engine(tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path) -> None:
    """It is the only child: compression and hash are the module's own, so that no other end can go unnoticed."""
    process = start(tmp_path, server, dest)
    until(lambda: growing(dest))
    [child] = children(process.pid)
    assert pathlib.Path(f"/proc/{child}/comm").read_text() == "docker\n"
    os.kill(child, signal.SIGKILL)
    result = result_of(process)
    assert result["failed"] and "pg_dump ended with status -9" in result["cause"]
    assert server.dumping() == 0  # though the Engine goes on with what its client has started
    assert not partials(dest) and not manifests(dest)


def test_no_room_for_the_manifest(backup: t.Any, server: Postgres, disk: pathlib.Path) -> None:
    dest = disk / "backups"
    made = backup(dest=dest, dbname="postgres")["backup"]
    before = {path.name: path.read_bytes() for path in dest.iterdir() if path.name.startswith("postgres")}
    used = os.statvfs(disk)
    # a dump and its globals are two files more, the manifest is the third
    subprocess.run(["mount", "-o", f"remount,nr_inodes={used.f_files - used.f_ffree + 2}", str(disk)], check=True)
    result = backup(dest=dest, dbname="postgres", keep_last=1)
    assert result["failed"] and "No space left on device" in result["cause"]
    assert result["culprit"].endswith(".json") and ".partial-" in result["culprit"]
    assert {path.name: path.read_bytes() for path in dest.iterdir() if path.name.startswith("postgres")} == before
    assert os.path.exists(made["path"]) and not partials(dest)


def test_an_alter_table_that_waits_itself_is_named_with_whom_it_waits_for(backup: t.Any, server: Postgres) -> None:
    with server.session("reader", "BEGIN; SELECT count(*) > 0 FROM catalog;") as reader:
        with server.tool("psql", "-XAtq", stdin=subprocess.PIPE) as changing:
            changing.stdin.write(b"SET application_name = 'migration'; ALTER TABLE catalog ADD COLUMN more int;\n")
            changing.stdin.flush()
            until(lambda: server.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1")
            result = backup(lock_timeout=0.5)
            reader.stdin.write(b"ROLLBACK;\n")
            reader.stdin.flush()
            _out, err = changing.communicate(timeout=30)
    server.psql("ALTER TABLE catalog DROP COLUMN more")
    assert result["failed"] and "application migration, active, waits itself for pid " in result["cause"], result
    assert err == b"" and server.dumping() == 0


def test_a_locked_table_is_named_with_its_holder(backup: t.Any, server: Postgres) -> None:
    with locked_table(server):
        result = backup(lock_timeout=0.5)
    assert result["failed"] and "catalog" in result["cause"] and "application migration" in result["cause"]


def test_a_server_that_stops_meanwhile(
    tmp_path: pathlib.Path, engine_client: docker.DockerClient, base_images: dict[str, str], dest: pathlib.Path
) -> None:
    victim = Postgres(engine_client, base_images["postgres"], service="victim")
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

    def spoil(job: engine.Job, draft: t.Any, plan: t.Any) -> t.Any:
        made = dump(job, draft, plan)
        with open(draft.path(plan.dump.file), "r+b") as file:
            if damage == "truncate":
                file.truncate(int(plan.dump.size_bytes * 0.6))
                return made
            file.seek(plan.dump.size_bytes // 2)
            byte = file.read(1)
            file.seek(plan.dump.size_bytes // 2)
            file.write(bytes([byte[0] ^ 1]))
        return made

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


def test_rows_that_row_level_security_hides(backup: t.Any, server: Postgres, dest: pathlib.Path) -> None:
    """Who may read a table but not all of its rows would make a dump without them."""
    server.psql(
        "CREATE ROLE limited LOGIN PASSWORD 'limited-pw' IN ROLE pg_read_all_data;"
        " CREATE TABLE secrets AS SELECT 1 AS n; ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;"
    )
    try:
        result = backup(login_user="limited", login_password="limited-pw", globals=False)
    finally:
        server.psql("DROP TABLE secrets; DROP ROLE limited")
    assert result["failed"] and "row-level security" in result["cause"] and "BYPASSRLS" in result["remedy"]
    assert not manifests(dest) and not partials(dest)


def test_a_dump_that_has_suddenly_shrunk(backup: t.Any, server: Postgres, dest: pathlib.Path) -> None:
    server.psql("CREATE DATABASE shrinking", dbname="postgres")
    server.psql("CREATE TABLE list AS SELECT g, md5(g::text) FROM generate_series(1, 20000) g", dbname="shrinking")
    try:
        old = backup(dbname="shrinking")["backup"]
        server.psql("TRUNCATE list", dbname="shrinking")
        result = backup(dbname="shrinking", keep_last=1)
        assert result["failed"] and os.path.basename(old["path"]) in result["cause"]
        assert manifests(dest) == [old["manifest"]] and not partials(dest)
        assert backup(dbname="shrinking", min_size_ratio=0)["changed"]  # on purpose
        assert backup(dbname="shrinking")["changed"]  # and that is what the next ones are compared with
    finally:
        server.psql("DROP DATABASE shrinking", dbname="postgres")


def test_a_pg_dump_that_is_older_than_the_server(backup: t.Any, server: Postgres, dest: pathlib.Path) -> None:
    """The real client of this host; a proxy has the server say that it is newer."""
    with newer_server(server.address) as (host, port):
        result = backup(container=None, login_host=host, login_port=port)
    assert result["failed"] and "server version mismatch" in result["cause"]
    assert "at least as new as the server" in result["remedy"]
    assert not manifests(dest) and not partials(dest) and server.dumping() == 0
