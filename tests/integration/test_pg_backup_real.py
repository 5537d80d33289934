# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_backup against a real PostgreSQL in a real container: what it makes, and what that restores to."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import pathlib
import subprocess
import threading
import typing as t
import uuid

import docker
import pytest
import zstandard
from ansible_collections.tria.production.plugins.module_utils import _docker
from backup_server import PASSWORD, PROJECT, Postgres, manifests, partials, result_of, start


def test_what_it_makes_restores_to_the_same_rows(
    backup: t.Any, server: Postgres, engine_client: docker.DockerClient, base_images: dict[str, str]
) -> None:
    made = backup(label="release-1")["backup"]
    dump = pathlib.Path(made["path"])
    assert hashlib.sha256(dump.read_bytes()).hexdigest() == made["sha256"]
    assert (made["tables"], made["verified"], made["label"]) == (3, "archive", "release-1")
    assert {oct(path.stat().st_mode & 0o777) for path in dump.parent.iterdir()} == {"0o600"}
    record = pathlib.Path(made["manifest"]).read_text()
    assert json.loads(record)["dump"]["sha256"] == made["sha256"]
    assert PASSWORD not in record and "C4nary" not in record
    assert "CREATE ROLE reporting" in pathlib.Path(made["globals"]).read_text()
    assert "C4nary" not in pathlib.Path(made["globals"]).read_text()
    throwaway = Postgres(engine_client, base_images["postgres"], service="restored")
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


def test_retention_keeps_the_newest_of_each_day(backup: t.Any, dest: pathlib.Path) -> None:
    def dated(made: dict[str, t.Any], created_at: str) -> str:
        path = pathlib.Path(made["backup"]["manifest"])
        path.write_text(json.dumps({**json.loads(path.read_text()), "created_at": created_at}))
        return made["backup"]["path"]

    rules = {"dbname": "postgres", "keep_last": 0, "keep_daily": 2}
    days = ("2025-01-01T03:00:00.0Z", "2025-01-07T03:00:00.0Z", "2025-01-07T04:00:00.0Z")
    old, earlier, later = (dated(backup(dbname="postgres"), day) for day in days)
    preview = backup(_ansible_check_mode=True, **rules)
    assert preview["deleted"] == [old, earlier] and os.path.exists(old)
    result = backup(**rules)
    assert result["deleted"] == [old, earlier] and os.path.exists(later)
    assert not partials(dest) and len(manifests(dest)) == 2


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
