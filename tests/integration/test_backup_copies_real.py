# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of backups on real servers: what gets there, what comes back, and faults that must not pass for a copy."""

from __future__ import annotations

import dataclasses
import functools
import glob
import json
import os
import pathlib
import random
import subprocess
import threading
import typing as t

import pytest
from ansible_collections.tria.production.plugins.module_utils._backup import archive, copies, manifest, retention
from ansible_collections.tria.production.plugins.module_utils._backup.folder import Draft
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from copy_server import PASSWORD, REPOSITORY_PASSWORD, CopyServer

NOTHING = dict.fromkeys(("rclone", "restic", "config", "password_file", "env", "secret_env"))
PLACE = {**NOTHING, "name": "nas"}


def publish(folder: pathlib.Path, number: int) -> manifest.Manifest:
    """A backup of a day, of bytes that do not compress."""
    stem = f"shop-202501{number:02}T030405Z-00000{number}"
    fields = dict.fromkeys(manifest.Manifest.__dataclass_fields__, 1)
    record = manifest.Manifest(**{**fields, "created_at": f"2025-01-{number:02}T03:04:05Z", "dbname": "shop"})
    record = dataclasses.replace(record, source={"host": "db"}, verified="archive", label=None, pinned=False)
    with Draft(str(folder)) as draft:
        files = []
        for name, size in ((f"{stem}.dump.zst", 3_000_000), (f"{stem}.globals.sql", 1000)):
            with draft.create(name) as file:
                file.write(random.Random(number).randbytes(size))
            files.append(manifest.File(name, *archive.digest(draft.path(name))))
        record = dataclasses.replace(record, dump=files[0], globals=files[1], age_recipients=[], parts=None)
        draft.publish(record)
    return record


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


@pytest.fixture(name="remote")
def remote_fixture(tmp_path: pathlib.Path) -> pathlib.Path:
    """The folder of the server."""
    (tmp_path / "remote").mkdir()
    return tmp_path / "remote"


@pytest.fixture(name="start")
def start_fixture(remote: pathlib.Path) -> t.Iterator[t.Callable[..., CopyServer]]:
    servers: list[CopyServer] = []

    def start(protocol: str, spoil: t.Any = None, folder: pathlib.Path = remote) -> CopyServer:
        servers.append(CopyServer(protocol, folder, spoil))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def rclone(tmp_path: pathlib.Path, server: CopyServer, **changes: t.Any) -> dict[str, t.Any]:
    return {**PLACE, "rclone": "nas:tria", "config": server.config(tmp_path / "rclone.conf"), **changes}


def restic(tmp_path: pathlib.Path, server: CopyServer, init: bool = True) -> dict[str, t.Any]:
    file = tmp_path / "restic.password"
    file.write_text(REPOSITORY_PASSWORD)
    place = {**PLACE, "restic": server.rest, "password_file": str(file)}
    if init:
        tool(place, "init")
    return place


def tool(place: dict[str, t.Any], *argv: str) -> str:
    env = {"RESTIC_REPOSITORY": place["restic"], "RESTIC_PASSWORD_FILE": place["password_file"]}
    command = ["restic", "--no-cache", *argv]
    return subprocess.run(command, env={**os.environ, **env}, check=True, capture_output=True, text=True).stdout


def make(folder: pathlib.Path, place: dict[str, t.Any], keep_last: int = 7) -> tuple[dict[str, t.Any], t.Any]:
    """(what is said of the copy, what failed)"""
    known = manifest.published(str(folder))
    expired = functools.partial(_expired, known[-1], keep_last)
    (said,), failed = copies.make([place], str(folder), known, expired, Deadline(60))
    assert "C4nary" not in json.dumps(said) + "".join(str(each) + str(each.details) for each in failed)
    return said, failed[0] if failed else None


def _expired(newest: manifest.Manifest, keep_last: int, others: list[manifest.Manifest]) -> list[manifest.Manifest]:
    return retention.expired([*others, newest], retention.Rules(keep_last), newest.dump.file)


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def flipped(needle: str) -> t.Callable[[str, str, bytes], bytes]:
    def spoil(method: str, path: str, body: bytes) -> bytes:
        if method in ("PUT", "POST") and needle in path and body:
            middle = len(body) // 2
            return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        return body

    return spoil


def cut(needle: str) -> t.Callable[[str, str, bytes], bytes]:
    return lambda method, path, body: body[: len(body) // 2] if method in ("PUT", "POST") and needle in path else body


class CommandLines:
    """All that is on command lines while the block runs."""

    def __enter__(self) -> set[bytes]:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self.seen

    def __exit__(self, *_exc: t.Any) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    self.seen.add(pathlib.Path(path).read_bytes())
                except (FileNotFoundError, ProcessLookupError):
                    continue


def test_rclone_copies_and_retains(
    tmp_path: pathlib.Path, folder: pathlib.Path, remote: pathlib.Path, start: t.Any
) -> None:
    place = rclone(tmp_path, start("webdav"))
    records = []
    for number in (1, 2, 3):
        records.append(publish(folder, number))
        said, failed = make(folder, place, keep_last=2)
        assert failed is None
    assert (said["backups"], said["deleted"]) == (2, [records[0].dump.file])
    there, gone = contents(remote / "tria"), records[0].dump.file.split(".")[0]
    assert there == {name: data for name, data in contents(folder).items() if not name.startswith(gone)}
    assert len(there) == 6


def test_a_copy_is_a_backup_again(tmp_path: pathlib.Path, folder: pathlib.Path, start: t.Any) -> None:
    place, record = rclone(tmp_path, start("webdav")), publish(folder, 1)
    assert make(folder, place)[1] is None
    again = tmp_path / "again"
    stem = record.dump.file.split(".dump")[0]
    command = ["rclone", "--config", place["config"], "copy", place["rclone"], str(again), "--include", f"{stem}.*"]
    subprocess.run(command, check=True)
    assert manifest.published(str(again)) == [record] and contents(again) == contents(folder)


def test_restic_copies_and_retains(tmp_path: pathlib.Path, folder: pathlib.Path, start: t.Any) -> None:
    place = restic(tmp_path, start("restic"))
    first = publish(folder, 1)
    with CommandLines() as seen:
        said, failed = make(folder, place, keep_last=1)
    assert failed is None and (said["backups"], said["deleted"]) == (1, [])
    second = publish(folder, 2)
    for path in folder.glob(f"{first.dump.file.split('.')[0]}.*"):
        path.unlink()  # the repository is asked for its manifest
    said, failed = make(folder, place, keep_last=1)
    assert failed is None and (said["backups"], said["deleted"]) == (1, [first.dump.file])
    assert [line for line in seen if line.startswith(b"restic\0")] and not [line for line in seen if b"C4nary" in line]
    (snapshot,) = json.loads(tool(place, "snapshots", "--json"))
    assert second.dump.file in snapshot["tags"]
    tool(place, "restore", snapshot["id"], "--target", str(tmp_path / "again"))
    assert contents(tmp_path / "again" / folder.relative_to("/")) == contents(folder)


@pytest.mark.parametrize("spoil", [flipped(".dump.zst"), flipped(".globals.sql"), flipped(".json"), cut(".dump.zst")])
def test_what_the_server_spoils_is_no_copy(
    tmp_path: pathlib.Path, folder: pathlib.Path, remote: pathlib.Path, start: t.Any, spoil: t.Any
) -> None:
    publish(folder, 1)
    before = contents(folder)
    _said, failed = make(folder, rclone(tmp_path, start("webdav", spoil)))
    assert failed.culprit == "copy nas" and ("came back as" in failed.cause or "corrupted on transfer" in failed.cause)
    assert contents(remote / "tria") == {} and contents(folder) == before


def test_what_the_server_spoils_is_no_snapshot(tmp_path: pathlib.Path, folder: pathlib.Path, start: t.Any) -> None:
    place = restic(tmp_path, start("restic"))
    publish(folder, 1)
    spoilt = {**place, "restic": start("restic", flipped("/data/")).rest}
    _said, failed = make(folder, spoilt)
    assert failed.culprit == "copy nas" and "restic dump ended with status" in failed.cause
    assert json.loads(tool(place, "snapshots", "--json")) in ([], None)


def test_servers_that_refuse(tmp_path: pathlib.Path, folder: pathlib.Path, start: t.Any) -> None:
    publish(folder, 1)
    server = start("webdav")
    place = rclone(tmp_path, server, config=server.config(tmp_path / "wrong.conf", "wrong password"))
    failed = make(folder, place)[1]
    assert "401" in failed.cause and failed.remedy == "Check the credentials."
    failed = make(folder, rclone(tmp_path, server, rclone="other:tria"))[1]
    assert "didn't find section" in failed.cause and failed.remedy == "Name a remote that the configuration has."
    place = restic(tmp_path, start("restic"), init=False)
    failed = make(folder, place)[1]
    assert "restic unlock ended with status 1" in failed.cause and "restic init" in failed.remedy
    tool(place, "init")
    pathlib.Path(place["password_file"]).write_text("another")
    failed = make(folder, place)[1]
    assert "wrong password" in failed.cause and failed.remedy == "Check password_file."


def test_a_server_that_is_gone(tmp_path: pathlib.Path, folder: pathlib.Path, start: t.Any) -> None:
    publish(folder, 1)
    server = start("webdav")
    place = rclone(tmp_path, server, env={"RCLONE_LOW_LEVEL_RETRIES": 1})
    server.stop()
    said, failed = make(folder, place)
    assert failed.remedy == "Check that the server runs and can be reached."
    assert "connection refused" in failed.cause and "may be left there" in failed.cause and "error" in said
    assert len(manifest.published(str(folder))) == 1


def test_a_full_disk_there(
    tmp_path: pathlib.Path, folder: pathlib.Path, remote: pathlib.Path, start: t.Any, small_disk: t.Any
) -> None:
    publish(folder, 1)
    small_disk(remote, "5m")
    server = start("webdav")
    place = rclone(tmp_path, server)
    assert make(folder, place)[1] is None
    before = contents(remote / "tria")
    publish(folder, 2)
    said, failed = make(folder, place)
    server.stop()
    assert failed.culprit == "copy nas" and "error" in said
    assert contents(remote / "tria") == before


def test_the_password_is_needed(tmp_path: pathlib.Path, start: t.Any) -> None:
    assert PASSWORD not in pathlib.Path(start("webdav").config(tmp_path / "conf")).read_text()
