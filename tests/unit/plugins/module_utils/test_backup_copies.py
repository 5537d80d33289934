# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is copied, retained and told; the programs are small scripts, the real ones have tests of their own."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.tria.production.plugins.module_utils._backup import copies, manifest, process, retention
from ansible_collections.tria.production.plugins.module_utils._backup.folder import Draft
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

NOTHING = dict.fromkeys(("restic", "config", "password_file", "env", "secret_env"))
PLACE = {**NOTHING, "name": "nas", "rclone": "nas:b"}
# What of rclone is needed, with the folder $REMOTE as every remote
RCLONE = """
echo "$*" >> "$REMOTE.asked"; env >> "$REMOTE.asked"
case "$1" in
  copy) mkdir -p "$REMOTE"; while read -r name; do cp "$3/$name" "$REMOTE/$name"; done;;
  cat) cat "$REMOTE/${2##*[:/]}";;
  delete) while read -r name; do rm "$REMOTE/$name"; done;;
  lsjson) [ -d "$REMOTE" ] || exit 3
    cd "$REMOTE" && for name in *; do
      [ -e "$name" ] && echo "{\\"Path\\": \\"$name\\", \\"Size\\": $(stat -c %s "$name")}"
    done | paste -sd, | sed 's/^/[/; s/$/]/';;
esac
"""


def publish(folder: pathlib.Path, number: int, **changes: t.Any) -> manifest.Manifest:
    """A backup of day `number`; the files of it are what they are called."""
    stem = f"shop-202501{number:02}T030405Z-00000{number}"
    fields = dict.fromkeys(manifest.Manifest.__dataclass_fields__, 1)
    record = manifest.Manifest(**{**fields, "created_at": f"2025-01-{number:02}T03:04:05Z", "dbname": "shop"})
    record = dataclasses.replace(record, source={"host": "db"}, verified="archive", label=None, pinned=False)
    with Draft(str(folder)) as draft:
        files = []
        for name in (f"{stem}.dump.zst", f"{stem}.globals.sql"):
            with draft.create(name) as file:
                file.write(name.encode())
            files.append(manifest.File(name, *copies.archive.digest(draft.path(name))))
        record = dataclasses.replace(record, dump=files[0], globals=files[1], age_recipients=[], parts=None, **changes)
        draft.publish(record)
    return record


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


@pytest.fixture(name="remote")
def remote_fixture(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    install(tmp_path, RCLONE)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("REMOTE", str(tmp_path / "remote"))
    monkeypatch.setenv("RCLONE_DRY_RUN", "never to be used")
    return tmp_path / "remote"


def install(tmp_path: pathlib.Path, script: str, program: str = "rclone") -> None:
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin" / program).write_text(f"#!/bin/sh\n{script}")
    (tmp_path / "bin" / program).chmod(0o755)


def make(
    folder: pathlib.Path, keep_last: int = 7, *places: dict[str, t.Any], check_mode: bool = False, seconds: float = 30
) -> t.Any:
    known = manifest.published(str(folder))

    def expired(others: list[manifest.Manifest]) -> list[manifest.Manifest]:
        return retention.expired([*others, known[-1]], retention.Rules(keep_last), known[-1].dump.file)

    wanted = [{**PLACE, **each} for each in places or ({},)]
    run = copies.preview if check_mode else functools.partial(copies.make, folder=str(folder))
    arguments = {"known": known, "expired": expired, "deadline": Deadline(seconds)}
    return run(wanted, **arguments)


def names(folder: pathlib.Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_a_copy_has_all_files_and_its_own_retention(folder: pathlib.Path, remote: pathlib.Path) -> None:
    first = publish(folder, 1)
    (said,), failed = make(folder)
    assert (said["name"], said["backups"], said["deleted"], failed) == ("nas", 1, [], []) and said["duration_s"] > 0
    assert {name: (remote / name).read_bytes() for name in names(remote)} == {
        name: (folder / name).read_bytes() for name in names(folder)
    }
    second = publish(folder, 2)
    for each in folder.glob(f"{first.dump.file.split('.')[0]}*"):
        each.unlink()  # what is not here any more is asked for there
    (said,), failed = make(folder, 1, check_mode=True), []
    assert (said["backups"], said["deleted"]) == (1, [first.dump.file]) and second.dump.file not in names(remote)
    (said,), failed = make(folder, 1)
    assert (said["backups"], said["deleted"], failed) == (1, [first.dump.file], [])
    assert names(remote) == names(folder)


def test_what_is_somebody_elses_stays(folder: pathlib.Path, remote: pathlib.Path) -> None:
    publish(folder, 1, dbname="other")
    make(folder)
    publish(folder, 2, source={"host": "db2"})
    make(folder)
    publish(folder, 3, pinned=True)
    make(folder)
    for name in ("notes.json", "notes", "shop-20250101T000000Z-0000aa.dump.zst.txt.json"):
        (remote / name).write_text("{}")
    before = names(remote)
    publish(folder, 4)
    (said,), failed = make(folder, 1)
    assert (said["backups"], said["deleted"], failed) == (2, [], [])
    assert len(names(remote)) == len(before) + 3


def test_what_killed_uploads_left_is_removed_when_it_is_old(folder: pathlib.Path, remote: pathlib.Path) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    young = f"shop-{now:%Y%m%dT%H%M%SZ}-0000aa.dump.zst"
    old = f"shop-{now - datetime.timedelta(days=2):%Y%m%dT%H%M%SZ}-0000aa"
    remote.mkdir()
    for name in (young, f"{old}.dump.zst.age", f"{old}.globals.sql.age", f"{old}.else"):
        (remote / name).touch()
    publish(folder, 1)
    assert make(folder)[1] == []
    assert names(remote) == sorted([*names(folder), young, f"{old}.else"])


def test_one_that_is_not_whole_there_does_not_count(folder: pathlib.Path, remote: pathlib.Path) -> None:
    first = publish(folder, 1)
    make(folder)
    (remote / first.dump.file).write_text("cut")
    publish(folder, 2)
    (said,), _failed = make(folder, 1)
    assert (said["backups"], said["deleted"]) == (1, [])


@pytest.mark.parametrize("spoilt", ["*.dump.zst", "*.globals.sql", "*.json"])
@pytest.mark.parametrize("how", ['echo x >> "$each"', ': > "$each"', 'rm "$each"'])
def test_what_comes_back_otherwise_is_taken_back(
    folder: pathlib.Path, remote: pathlib.Path, tmp_path: pathlib.Path, spoilt: str, how: str
) -> None:
    record = publish(folder, 1)
    spoil = f'case "$1" in copy) for each in "$REMOTE"/{spoilt}; do [ -e "$each" ] && {how}; done; exit 0;; esac'
    install(tmp_path, f"{RCLONE}\n{spoil}")
    (said,), (failed,) = make(folder)
    assert "error" in said and "backups" not in said and failed.culprit == "copy nas" and failed.remedy
    assert names(remote) == []
    result = {"backup": {"path": "/b/x"}, "copies": [said]}
    told = copies.failure([failed], result)
    assert told.details == result and told.cause.endswith(" The backup on this host is complete: /b/x")
    assert record.dump.file in names(folder)


def test_one_failing_copy_does_not_keep_the_others_from_being_made(
    folder: pathlib.Path, remote: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    publish(folder, 1)
    gone = str(tmp_path / "gone.conf")
    places: list[dict[str, t.Any]] = [{"name": "a", "config": gone}, {"name": "b"}, {"name": "c", "config": gone}]
    said, failed = make(folder, 7, *places)
    assert ["error" in each for each in said] == [True, False, True] and names(remote) == names(folder)
    told = str(copies.failure(failed, {"backup": {"path": "/b/x"}}))
    assert told.startswith(f"copy a: config {gone} cannot be read. copy c: config {gone} cannot be read. The backup on")


def test_a_failed_program(folder: pathlib.Path, remote: pathlib.Path, tmp_path: pathlib.Path) -> None:
    publish(folder, 1)
    install(tmp_path, "echo 'no hunter2, https://u:pw@host is Unauthorized' >&2; exit 5")
    (said,), (failed,) = make(folder, 7, {"secret_env": {"RCLONE_X": "hunter2"}, "env": {"RCLONE_Y": "status"}})
    assert failed.cause == (
        "rclone copy ended with status 5: no ********, https://u:********@host is Unauthorized;"
        " what was uploaded may be left there."
    )
    assert failed.remedy == "Check the credentials." and said["error"] == failed.cause


def test_too_slow(folder: pathlib.Path, remote: pathlib.Path, tmp_path: pathlib.Path) -> None:
    publish(folder, 1)
    install(tmp_path, f"{RCLONE}\ncase $1 in cat) exec sleep 20;; esac")
    (_said, other), (failed, _other) = make(folder, 7, {}, {"name": "other"}, seconds=0.3)
    assert (failed.culprit, failed.cause) == ("copy nas", "not finished after 0.3 seconds.")
    assert failed.remedy.startswith("Raise timeout")
    assert "error" in other and names(remote) == []


def test_a_signal_ends_it(folder: pathlib.Path, remote: pathlib.Path, tmp_path: pathlib.Path) -> None:
    publish(folder, 1)
    install(tmp_path, f'{RCLONE}\ncase $1 in cat) kill -TERM "$PPID"; exec sleep 20;; esac')
    with process.stop_signals():
        (said,), (failed,) = make(folder, 7, {}, {"name": "other"})
    assert failed.remedy == "Run it again."
    assert "stopped by SIGTERM" in failed.cause and said["error"] == failed.cause and names(remote) == []


def test_environment_and_command_lines(folder: pathlib.Path, remote: pathlib.Path, tmp_path: pathlib.Path) -> None:
    publish(folder, 1)
    (tmp_path / "conf").touch()
    make(folder, 7, {"config": str(tmp_path / "conf"), "env": {"NUMBER": 7}, "secret_env": {"X_PASS": "hunter2"}})
    asked = (tmp_path / "remote.asked").read_text().splitlines()
    assert {"X_PASS=hunter2", "NUMBER=7", f"RCLONE_CONFIG={tmp_path / 'conf'}"} <= set(asked)
    assert not [line for line in asked if "never to be used" in line]
    assert f"cat nas:b/{names(folder)[-1]}" in asked


def test_restic_gets_its_secrets_in_the_environment(
    folder: pathlib.Path, remote: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    publish(folder, 1)
    (tmp_path / "pw").touch()
    snapshot = json.dumps([{"id": "abc", "tags": [names(folder)[0]], "paths": [str(folder / names(folder)[1])]}])
    install(
        tmp_path,
        f"""echo "$*" >> "$REMOTE.asked"; env >> "$REMOTE.asked"
        case "$2" in snapshots) echo '{snapshot}';; dump) tar -C / -c "${{4#/}}";; esac""",
        "restic",
    )
    place = {"rclone": None, "restic": "rest:http://u:hunter2@host/", "password_file": str(tmp_path / "pw")}
    (said,), failed = make(folder, 7, place)
    asked = (tmp_path / "remote.asked").read_text().splitlines()
    assert failed == [] and said["backups"] == 1
    assert {"RESTIC_REPOSITORY=rest:http://u:hunter2@host/", f"RESTIC_PASSWORD_FILE={tmp_path / 'pw'}"} <= set(asked)
    assert not [line for line in asked if line.startswith("--no-cache") and "hunter2" in line]


@pytest.mark.parametrize("how", ["head -c 1000", "tail -c +700", "cat /dev/null", "tr a b", "cat; head -c 9999999 $Z"])
def test_what_restic_gives_otherwise_is_no_copy(
    folder: pathlib.Path, remote: pathlib.Path, tmp_path: pathlib.Path, how: str
) -> None:
    publish(folder, 1)
    snapshot = json.dumps([{"id": "abc", "tags": [names(folder)[0]], "paths": [str(folder / names(folder)[1])]}])
    script = f"""Z=/dev/zero; echo "$*" >> "$REMOTE.asked"; case "$2" in snapshots) echo '{snapshot}';;
        dump) tar -C / -c "${{4#/}}" | ({how});; esac"""
    install(tmp_path, script, "restic")
    (_said,), failed = make(folder, 7, {"rclone": None, "restic": "/r"})
    if how.startswith("cat;"):  # what follows the end is not part of it
        assert failed == []
    else:
        asked = (tmp_path / "remote.asked").read_text()
        assert "came back as" in failed[0].cause and "forget --quiet --prune abc" in asked


@pytest.mark.parametrize(
    "remote", [":webdav,pass=x:b", "nas,pass=x:b", ":sftp:b", "folder", "-x", "--config=x:b", "nas:b\nc", ""]
)
def test_remotes_that_are_refused(remote: str) -> None:
    with pytest.raises(ProductionError, match="is not <remote>:<path>") as caught:
        copies.Rclone({**PLACE, "rclone": remote}, Deadline(1))
    assert "pass=" not in str(caught.value)


@pytest.mark.parametrize(
    ("remote", "path"), [("nas:", "nas:f"), ("nas:b", "nas:b/f"), ("nas:/b/", "nas:/b/f"), ("/mnt/nas", "/mnt/nas/f")]
)
def test_remotes_and_files(remote: str, path: str) -> None:
    assert copies.Rclone({**PLACE, "rclone": remote}, Deadline(1))._path("f") == path


def test_a_program_that_is_not_there(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(folder, 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    _said, failed = make(folder, 7, {}, {"rclone": None, "restic": "/r"})
    assert [each.remedy for each in failed] == ["Install the package rclone.", "Install the package restic."]
