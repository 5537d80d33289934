# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups with format=directory against a real PostgreSQL: by several jobs, in a container and from the host."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
import signal
import subprocess
import typing as t

import docker
import pytest
from backup_server import (
    DBNAME,
    SAMPLE_SQL,
    Postgres,
    locked_table,
    manifests,
    partials,
    result_of,
    start,
    start_restore,
    until,
)

MORE_SQL = """
CREATE TABLE bulk AS SELECT g, md5(g::text) AS a, repeat(md5((g * 7)::text), 4) AS b FROM generate_series(1, 200000) g;
CREATE TABLE bulk2 AS SELECT * FROM bulk;
CREATE TABLE days (day date NOT NULL, n int, doubled int GENERATED ALWAYS AS (n * 2) STORED) PARTITION BY RANGE (day);
CREATE TABLE days_2025 PARTITION OF days FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO days SELECT '2025-01-01'::date + g, g FROM generate_series(1, 300) g;
SELECT lo_from_bytea(4711, 'a large object');
"""
ALL_SQL = """
SELECT (SELECT sum(hashtextextended(b::text, 0)::numeric) FROM bulk b), (SELECT count(*) FROM bulk2),
    (SELECT sum(doubled) FROM days), (SELECT convert_from(lo_get(4711), 'UTF8')), (SELECT count(*) FROM cheap)
"""
SMALL, READONLY = "/small", "/readonly"


@pytest.fixture(scope="module")
def target(engine_client: docker.DockerClient, base_images: dict[str, str]) -> t.Iterator[Postgres]:
    """A server of its own, with a small disk in its container."""
    postgres = Postgres(
        engine_client, base_images["postgres"], tmpfs={SMALL: "size=200m,mode=1777", READONLY: "ro,size=200m"}
    )
    try:
        postgres.psql(SAMPLE_SQL)
        postgres.psql(MORE_SQL)
        yield postgres
    finally:
        postgres.remove()


@pytest.fixture
def run(tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path) -> t.Callable[..., dict[str, t.Any]]:
    return lambda **options: result_of(start(tmp_path, target, dest, **{"format": "directory", **options}))


@pytest.fixture
def restore(tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path) -> t.Callable[..., dict[str, t.Any]]:
    return lambda **options: result_of(start_restore(tmp_path, target, dest, **options))


def inside(server: Postgres, folder: str = "/tmp") -> list[str]:
    """What is left of us in a folder of the container."""
    listed = server.container.exec_run(["find", folder, "-name", "pg_backup-*"])
    assert listed.exit_code == 0, listed.output
    return listed.output.decode().split()


def state_of(server: Postgres) -> dict[str, str]:
    """Everything of the database; what a restore left beside it goes."""
    for name in server.databases():
        if "_before_" in name:
            server.psql('DROP DATABASE "' + name.replace('"', '""') + '"', dbname="postgres")
    return {**server.contents(), "all": server.value(ALL_SQL)}


def change(server: Postgres) -> None:
    server.psql("DELETE FROM catalog WHERE id % 2 = 0; TRUNCATE bulk, days; SELECT lo_unlink(4711)")


def from_host(server: Postgres) -> dict[str, t.Any]:
    """The options for this host's own client, over TCP."""
    server.container.reload()
    network = next(iter(server.container.attrs["NetworkSettings"]["Networks"].values()))
    return {"container": None, "login_host": network["IPAddress"], "login_port": 5432}


@pytest.mark.parametrize("place", ["container", "host"])
def test_everything_is_as_it_was(
    run: t.Any, restore: t.Any, target: Postgres, dest: pathlib.Path, place: str
) -> None:
    where = from_host(target) if place == "host" else {"container": {"name": target.name}}
    before = state_of(target)
    result = run(jobs=2, verify="restore", **where)
    assert result["changed"], result
    made = result["backup"]
    contents = json.loads(pathlib.Path(made["manifest"]).read_text())["contents"]
    assert made["verified"] == "restore" and contents["public.bulk"]["rows"] == 200000
    assert f"{DBNAME}_restoring" not in target.databases() and not inside(target)
    folder = pathlib.Path(made["path"])
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"} and folder.name.endswith(".d")
    assert (made["tables"], made["compression"], made["format"]) == (6, "gzip", "directory")
    printed = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())
    )
    assert hashlib.sha256(printed.encode()).hexdigest() == made["sha256"]
    assert made["size_bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    change(target)
    preview = restore(_ansible_check_mode=True, **where)
    assert preview["changed"] and preview["restored"]["path"] == made["path"], preview
    result = restore(jobs=2, **where)
    assert result["changed"], result
    assert state_of(target) == before
    assert not inside(target) and not partials(dest) and (dest / ".pg_backup.lock").read_text() == "{}"


def test_several_jobs_are_at_work(tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path) -> None:
    with locked_table(target):  # pg_dump waits for it, and nobody has begun yet
        process = start(tmp_path, target, dest, format="directory", jobs=3)
        until(lambda: target.dumping() == 1)
    most = 0
    while process.poll() is None:
        most = max(most, target.dumping())
    assert result_of(process)["changed"] and most == 4


@pytest.fixture(scope="module")
def made(target: Postgres, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with a backup, to be copied before it is damaged."""
    folder = tmp_path_factory.mktemp("made")
    assert result_of(start(folder, target, folder / "backups", format="directory"))["changed"]
    return folder / "backups"


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "more"])
def test_a_damaged_backup_is_refused(
    restore: t.Any, target: Postgres, made: pathlib.Path, dest: pathlib.Path, damage: str
) -> None:
    shutil.copytree(made, dest)
    folder = next(dest.glob("*.dump.d"))
    part = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    if damage == "flip":
        content = bytearray(part.read_bytes())
        content[len(content) // 2] ^= 1
        part.write_bytes(content)
    elif damage == "cut":
        part.write_bytes(part.read_bytes()[:-1])
    elif damage == "gone":
        part.unlink()
    else:
        (folder / "1.dat.gz").touch()
    for check_mode in (True, False):
        result = restore(_ansible_check_mode=check_mode)
        words = "holds no verified backup" if damage in ("cut", "gone") else "is damaged"
        assert result["failed"] and words in result["cause"], result
        assert words != "is damaged" or (part.name if damage == "flip" else "1.dat.gz") in result["cause"]
    assert f"{DBNAME}_restoring" not in target.databases() and not inside(target)


def waiting(
    tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path, scratch: str = "/tmp"
) -> subprocess.Popen[bytes]:
    """A run whose pg_dump waits for a table; only while that is locked."""
    container = {"name": server.name, "scratch": scratch}
    process = start(tmp_path, server, dest, format="directory", container=container)
    until(lambda: inside(server, scratch) and server.dumping() == 1)
    return process


def test_what_a_killed_run_left_in_the_container_goes_with_the_next(
    tmp_path: pathlib.Path, run: t.Any, target: Postgres, dest: pathlib.Path
) -> None:
    with locked_table(target):
        process = waiting(tmp_path, target, dest)
        process.kill()
        process.communicate()
        assert inside(target) and partials(dest) and target.dumping() == 1
    assert run()["changed"]
    assert not inside(target) and not partials(dest) and len(manifests(dest)) == 1 and target.dumping() == 0


def test_a_restore_that_was_killed_is_cleaned_up_after(
    tmp_path: pathlib.Path, run: t.Any, restore: t.Any, target: Postgres, dest: pathlib.Path
) -> None:
    before = state_of(target)
    assert run()["changed"]
    process = start_restore(tmp_path, target, dest)
    until(lambda: f"{DBNAME}_restoring" in target.databases())
    process.kill()
    process.communicate()
    assert inside(target)
    result = restore()
    assert result["changed"] and not inside(target) and f"{DBNAME}_restoring" not in target.databases(), result
    assert state_of(target) == before and target.dumping() == 0


def test_a_signal_cleans_up_at_once(tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path) -> None:
    with locked_table(target):
        process = waiting(tmp_path, target, dest)
        process.send_signal(signal.SIGTERM)
        result = result_of(process)
    assert result["failed"] and "SIGTERM" in result["cause"] and "nothing half-made is left" in result["cause"]
    assert not inside(target) and not partials(dest) and not manifests(dest) and target.dumping() == 0


def test_a_full_disk_in_the_container(tmp_path: pathlib.Path, run: t.Any, target: Postgres, dest: pathlib.Path) -> None:
    scratch = {"container": {"name": target.name, "scratch": SMALL}}
    with locked_table(target):
        process = waiting(tmp_path, target, dest, SMALL)
        filled = target.container.exec_run(["dd", "if=/dev/zero", f"of={SMALL}/filler", "bs=1M"])
        assert b"No space left" in filled.output
    result = result_of(process)
    assert result["failed"] and "No space left on device" in result["cause"], result
    refused = run(**scratch)
    assert refused["failed"] and f"{SMALL} has 0.0 MiB free in the container" in refused["cause"]
    assert "container.scratch" in refused["remedy"] and not inside(target, SMALL)
    assert target.container.exec_run(["rm", f"{SMALL}/filler"]).exit_code == 0
    assert run(**scratch)["changed"] and not inside(target, SMALL) and len(manifests(dest)) == 1


@pytest.mark.parametrize(("folder", "words"), [(READONLY, "mkdir ended with"), ("/none", "df ended with")])
def test_a_folder_that_cannot_be_written_to(
    run: t.Any, target: Postgres, dest: pathlib.Path, folder: str, words: str
) -> None:
    result = run(container={"name": target.name, "scratch": folder})
    assert result["failed"] and words in result["cause"] and "container.scratch" in result["remedy"], result
    assert not partials(dest) and not manifests(dest)


def test_a_locked_table_is_named_with_its_holder(run: t.Any, target: Postgres) -> None:
    with locked_table(target):
        result = run(lock_timeout=0.5)
    assert result["failed"] and "catalog" in result["cause"] and "application migration" in result["cause"], result
    assert not inside(target)
