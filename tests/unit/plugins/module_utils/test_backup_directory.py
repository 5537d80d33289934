# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps in directory format: the order of the steps, publication and damage; PostgreSQL's tools are small scripts."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest
from backup_tools import LIST, create, names

from ansible_collections.tria.production.plugins.module_utils._backup import archive, directory, engine, manifest
from ansible_collections.tria.production.plugins.module_utils._backup.folder import Draft, remove, sweep
from ansible_collections.tria.production.plugins.module_utils._backup.manifest import File
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Connection, Container, Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

PG_DUMP = """
for word; do case "$word" in
    --version) echo "pg_dump (PostgreSQL) %s"; exit;;
    --file=*) folder="${word#--file=}";;
esac; done
echo "$*" > {seen}
umask 022
printf 'toc' > "$folder/toc.dat"; head -c 5000 /dev/zero > "$folder/1.dat.gz"
"""


@pytest.fixture
def seen(tmp_path: pathlib.Path) -> pathlib.Path:
    """What pg_dump was called with."""
    return tmp_path / "seen"


@pytest.fixture(autouse=True)
def directory_tools(tools: t.Any, seen: pathlib.Path) -> None:
    tools(pg_dump=PG_DUMP.replace("{seen}", str(seen)) % "15.1 (Debian)")


def back_up(dest: pathlib.Path, **changes: t.Any) -> dict[str, t.Any]:
    return create(dest, format="directory", **changes)


def test_a_backup(dest: pathlib.Path, seen: pathlib.Path) -> None:
    made = back_up(dest, jobs=3, lock_timeout=2.0)["backup"]
    argv = seen.read_text().split()
    assert "--format=directory" in argv and "--jobs=3" in argv and "--compress=1" in argv
    assert "--lock-wait-timeout=2000" in argv
    path = pathlib.Path(made["path"])
    assert path.name.endswith(".dump.d") and sorted(os.listdir(path)) == ["1.dat.gz", "toc.dat"]
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o600}
    told = {key: made[key] for key in ("format", "size_bytes", "archive_bytes", "compression", "verified", "tables")}
    assert told == {
        "format": "directory",
        "size_bytes": 5003,
        "archive_bytes": None,
        "compression": "gzip",  # pg_dump is too old for zstd
        "verified": "archive",
        "tables": 1,
    }
    assert "parts" not in made
    printed = subprocess.run(
        "LC_ALL=C sha256sum * | sha256sum", shell=True, cwd=path, stdout=subprocess.PIPE, check=True
    )
    assert printed.stdout.split()[0].decode() == made["sha256"]
    assert len(names(dest)) == 3 and (dest / ".pg_backup.lock").read_text() == "{}"


@pytest.mark.parametrize(
    ("version", "wanted", "word"),
    [
        ("15.1", "zstd", "1"),
        ("16.0", "zstd", "zstd:1"),
        ("17beta1", "zstd", "zstd:1"),
        ("17.2", "gzip", "1"),
        ("17.2", "none", "0"),
        ("15.1", "none", "0"),
    ],
)
def test_compression(
    tools: t.Any, dest: pathlib.Path, seen: pathlib.Path, version: str, wanted: str, word: str
) -> None:
    tools(pg_dump=PG_DUMP.replace("{seen}", str(seen)) % version)
    made = back_up(dest, compression=wanted)["backup"]
    assert f"--compress={word}" in seen.read_text().split()
    assert made["compression"] == ("gzip" if (version, wanted) == ("15.1", "zstd") else wanted)


def test_a_level_that_the_older_pg_dump_has_not(dest: pathlib.Path) -> None:
    with pytest.raises(ProductionError, match="15 is not a level of gzip"):
        back_up(dest, compression_level=15)
    assert not dest.exists()


def test_jobs_of_a_custom_dump(dest: pathlib.Path) -> None:
    for jobs, words in ((2, "Only format=directory"), (0, "more than zero")):
        with pytest.raises(ProductionError, match=words) as caught:
            create(dest, jobs=jobs)
        assert caught.value.culprit == "jobs"
    assert create(dest, jobs=1)["changed"]


def test_it_cannot_be_encrypted(dest: pathlib.Path) -> None:
    with pytest.raises(ProductionError, match="cannot be used with format=directory"):
        back_up(dest, check_mode=True, age_recipients=["age1theirs"])


def test_jobs() -> None:
    assert directory.jobs(9) == 9 and 1 <= directory.jobs(None) <= 4


def test_retention_removes_the_folder(dest: pathlib.Path) -> None:
    first = back_up(dest, keep_last=1)["backup"]["path"]
    second = back_up(dest, keep_last=1)
    assert second["deleted"] == [first] and not os.path.exists(first) and len(names(dest)) == 3


def test_both_formats_in_one_folder(dest: pathlib.Path) -> None:
    first = back_up(dest, keep_last=2)["backup"]["path"]
    second = create(dest, keep_last=2)["backup"]["path"]
    assert back_up(dest, keep_last=2)["deleted"] == [first] and not os.path.exists(first)
    assert create(dest, keep_last=2)["deleted"] == [second] and len(names(dest)) == 6


def test_the_last_one_of_its_kind_says_how_much_space_is_needed(
    dest: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = back_up(dest)["backup"]["size_bytes"]
    create(dest, compression="gzip")
    monkeypatch.setattr(engine, "free_bytes", lambda _folder: 0)
    with pytest.raises(ProductionError) as caught:
        back_up(dest)
    assert caught.value.details["needed_bytes"] == int(size * 1.25) + (1 << 20)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"pg_dump": "case $1 in --version) exit;; esac; echo 'could not write' >&2; exit 1"}, "could not write"),
        (
            {"pg_restore": f"""case "$*" in *--list*) printf '{LIST}';; *) echo 'no file' >&2; exit 1;; esac"""},
            "the dump cannot be read back: pg_restore ended with status 1: no file",
        ),
        ({"pg_restore": "exit 0"}, "the dump is damaged: its table of contents has no"),
        ({"pg_restore": f"printf '{LIST.replace(' 1259 ', ' 0 ')}'"}, "the dump is empty"),
        ({"pg_dumpall": "exit 3"}, "pg_dumpall ended with status 3"),
    ],
)
def test_a_failed_step_leaves_nothing(tools: t.Any, dest: pathlib.Path, broken: dict[str, str], words: str) -> None:
    kept = back_up(dest)["backup"]["path"]
    before = names(dest)
    tools(**broken)
    with pytest.raises(ProductionError) as caught:
        back_up(dest, keep_last=1)
    assert words in str(caught.value)
    assert names(dest) == before and os.path.exists(kept)


def test_a_lock_that_a_job_did_not_get_names_its_holder(tools: t.Any, dest: pathlib.Path) -> None:
    said = 'could not obtain lock on relation "public.catalog"'
    tools(pg_dump=f"case $1 in --version) exit;; esac; echo '{said}' >&2; exit 1")
    with pytest.raises(ProductionError, match=r"catalog \(pid 7\)"):
        back_up(dest)


def test_verification_can_be_left_out(tools: t.Any, dest: pathlib.Path) -> None:
    tools(pg_restore=f"""case "$*" in *--list*) printf '{LIST}';; *) exit 1;; esac""")
    assert back_up(dest, verify="none")["backup"]["verified"] == "none"


def test_what_a_killed_run_left_is_swept(dest: pathlib.Path) -> None:
    (dest / ".partial-shop-0.dump.d").mkdir(parents=True)
    (dest / ".partial-shop-0.dump.d" / "toc.dat").touch()
    (dest / "shop-0.dump.d").mkdir()  # it had its name already, but no manifest
    (dest / ".pg_backup.lock").write_text('{"pid": 1, "stem": "shop-0"}')
    assert back_up(dest)["changed"] and not [name for name in names(dest) if "shop-0" in name]


RECORD = manifest.Manifest(
    created_at="2025-01-02T03:04:05.0Z",
    dbname="shop",
    source={},
    dump=File("", 0, ""),
    globals=None,
    compression="gzip",
    archive_bytes=None,
    database_size_bytes=100,
    server_version="15.1",
    pg_dump_version="15.1",
    entries=5,
    tables=1,
    verified="archive",
    duration_s=0.1,
)


def published(folder: pathlib.Path) -> manifest.Manifest:
    contents = {"toc.dat": b"toc", "1.dat.gz": b"data"}
    with Draft(str(folder)) as draft:
        path = draft.folder("shop-1.dump.d")
        for name, content in contents.items():
            pathlib.Path(path, name).write_bytes(content)
        parts = [directory._hashed(path, name) for name in sorted(contents)]
        made = dataclasses.replace(RECORD, dump=File("shop-1.dump.d", 7, directory.digest(parts)), parts=parts)
        draft.publish(made)
    return made


def dumped(folder: pathlib.Path, record: manifest.Manifest) -> directory.Dump:
    return directory.Dump(str(folder), record, Deadline(9), 1, [])


def test_a_manifest_names_every_file(tmp_path: pathlib.Path) -> None:
    made = published(tmp_path)
    assert manifest.published(str(tmp_path)) == [made]
    assert [each.file for each in made.files] == ["shop-1.dump.d/1.dat.gz", "shop-1.dump.d/toc.dat"]
    assert [each["file"] for each in json.loads(made.as_json())["parts"]] == ["1.dat.gz", "toc.dat"]


@pytest.mark.parametrize("damage", ["cut", "gone", "folder"])
def test_one_that_is_not_complete_does_not_count(tmp_path: pathlib.Path, damage: str) -> None:
    published(tmp_path)
    folder = tmp_path / "shop-1.dump.d"
    if damage == "cut":
        (folder / "1.dat.gz").write_bytes(b"dat")
    elif damage == "gone":
        (folder / "1.dat.gz").unlink()
    else:
        folder.rename(tmp_path / "elsewhere")
    assert manifest.published(str(tmp_path)) == []


@pytest.mark.parametrize("step", [0, 1])
def test_a_crash_while_one_is_removed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    made = published(tmp_path)
    rename, calls = os.rename, []

    def crash(old: str, new: str) -> None:
        calls.append(old)
        if step:
            rename(old, new)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        remove(str(tmp_path), made)
    monkeypatch.undo()
    assert calls and manifest.published(str(tmp_path)) == ([] if step else [made])
    sweep(str(tmp_path), None)
    assert (tmp_path / "shop-1.dump.d").exists() != bool(step)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "1.dat.gz").write_bytes(b"dats"), "1.dat.gz: SHA-256 "),
        (lambda folder: (folder / "1.dat.gz").write_bytes(b"da"), "1.dat.gz: SHA-256 .* over 2 bytes was read"),
        (lambda folder: (folder / "1.dat.gz").unlink(), "not those that were written: 1.dat.gz"),
        (lambda folder: (folder / "2.dat.gz").touch(), "not those that were written: 2.dat.gz"),
    ],
)
def test_damage_names_the_file(tmp_path: pathlib.Path, damage: t.Any, words: str) -> None:
    made = published(tmp_path)
    folder = tmp_path / "shop-1.dump.d"
    dumped(folder, made).check()
    damage(folder)
    here = Server(Connection("shop"), "pg_backup-1-a")
    with pytest.raises(archive.Damaged, match=words):
        dumped(folder, made).check()
    with pytest.raises(archive.Damaged, match=words), dumped(folder, made).lent(here):
        pytest.fail("it was lent")


def test_where_the_tools_see_it(tmp_path: pathlib.Path) -> None:
    made = published(tmp_path)
    here = Server(Connection("shop"), "pg_backup-1-a")
    folder = tmp_path / "shop-1.dump.d"
    dump = dumped(folder, made)
    with dump.lent(here):
        assert dump.contents(here).entries == 5
    container = {"Id": "1", "Name": "/pg", "Config": {"Labels": None}}
    assert (
        Container(Connection("shop"), "pg_backup-1-a", container, "/var/scratch").scratch
        == "/var/scratch/pg_backup-1-a"
    )


class InContainer(Server):
    """Tools that see another folder than we do: a container without an Engine."""

    def __init__(self, scratch: pathlib.Path) -> None:
        super().__init__(Connection("shop"), "pg_backup-1-a")
        self.scratch = str(scratch / self.application_name)

    def free_bytes(self, folder: str, deadline: Deadline) -> int:
        return 1 << 20


@pytest.fixture
def inside(tmp_path: pathlib.Path) -> InContainer:
    (tmp_path / "scratch").mkdir()
    return InContainer(tmp_path / "scratch")


def planned() -> manifest.Manifest:
    return dataclasses.replace(RECORD, dump=File("shop-2.dump.d", 0, ""), parts=None)


def make(server: Server, folder: pathlib.Path, left_behind: list[str]) -> directory.Dump:
    """A dump that was made but not published."""
    folder.mkdir()
    draft, record = Draft(str(folder)), planned()
    dump = directory.Dump(draft.path(record.dump.file), record, Deadline(9), 1, left_behind)
    dump.make(draft, server, [], 1)
    return dump


def test_a_dump_is_copied_out_of_the_container(tmp_path: pathlib.Path, inside: InContainer) -> None:
    dump = make(inside, tmp_path / "out", [])
    parts = dump.record.parts
    assert [(each.file, each.size_bytes) for each in parts or []] == [("1.dat.gz", 5000), ("toc.dat", 3)]
    dump.check()
    assert os.listdir(os.path.dirname(inside.scratch)) == []


def test_what_was_lost_or_changed_on_the_way_is_noticed(
    tmp_path: pathlib.Path, inside: InContainer, tools: t.Any
) -> None:
    real = shutil.which("tar")
    for number, (spoilt, words) in enumerate(
        (
            (f'{real} --exclude=./1.dat.gz "$@"', "1.dat.gz: what arrived"),
            (
                f'cp -r "$4" "$4.copy"; printf x >> "$4.copy/1.dat.gz"; {real} -cf - -C "$4.copy" .',
                "1.dat.gz: what arrived",
            ),
            (f'{real} "$@" | head -c 2048', "1.dat.gz|toc.dat"),
        )
    ):
        tools(tar=spoilt)
        with pytest.raises(archive.Damaged, match=words):
            make(inside, tmp_path / str(number), [])
        assert not os.path.exists(inside.scratch)


def test_a_dump_is_copied_into_the_container(tmp_path: pathlib.Path, inside: InContainer) -> None:
    path = tmp_path / "shop-1.dump.d"
    dump = dumped(path, published(tmp_path))
    with dump.lent(inside):
        assert pathlib.Path(inside.scratch, "1.dat.gz").read_bytes() == b"data"
        assert os.stat(inside.scratch).st_mode & 0o777 == 0o700
        assert dump.contents(inside).entries == 5
        dump.read_fully(inside)
    assert not os.path.exists(inside.scratch)
    (path / "more").touch()
    with pytest.raises(archive.Damaged, match="more"), dump.lent(inside):
        pytest.fail("it was lent")
    (path / "more").unlink()
    (path / "toc.dat").write_bytes(b"tic")
    with pytest.raises(archive.Damaged, match="toc.dat: SHA"), dump.lent(inside):
        pytest.fail("it was lent")
    assert not os.path.exists(inside.scratch)


def test_a_scratch_folder_that_cannot_be_removed_hides_nothing(
    tmp_path: pathlib.Path, inside: InContainer, tools: t.Any
) -> None:
    tools(rm="echo 'no such container' >&2; exit 1")
    left_behind: list[str] = []
    with pytest.raises(ProductionError, match="rm ended with status 1"):
        make(inside, tmp_path / "out", left_behind)
    assert left_behind == []
    inside.scratch += "-2"
    tools(pg_dump="echo 'planted' >&2; exit 1")
    with pytest.raises(ProductionError, match="planted"):
        make(inside, tmp_path / "again", left_behind)
    assert len(left_behind) == 1 and inside.scratch in left_behind[0] and "no such container" in left_behind[0]


def test_too_little_room_in_the_container(inside: InContainer) -> None:
    directory.require_space(inside, 1 << 20, Deadline(9))
    directory.require_space(Server(Connection("shop"), "a"), 1 << 60, Deadline(9))
    with pytest.raises(ProductionError, match="has 1.0 MiB free in the container") as caught:
        directory.require_space(inside, (1 << 20) + 1, Deadline(9))
    assert "container.scratch" in caught.value.remedy


def test_the_next_run_knows_the_scratch_folder(inside: InContainer) -> None:
    assert directory.mark(inside) == {"scratch": inside.scratch, "source": inside.identity}
    assert directory.mark(Server(Connection("shop"), "a")) == {}
