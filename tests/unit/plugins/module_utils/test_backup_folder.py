# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lock, partial files, publication and manifests, without a database."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.tria.production.plugins.module_utils._backup import manifest
from ansible_collections.tria.production.plugins.module_utils._backup.folder import (
    Draft,
    Lock,
    free_bytes,
    remove,
    sweep,
)
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def record(stem: str = "shop-1", **changes: object) -> manifest.Manifest:
    made = manifest.Manifest(
        created_at=f"2025-01-02T03:04:05.{stem}Z",
        dbname="shop",
        source={"project": "tria", "service": "postgres"},
        dump=manifest.File(f"{stem}.dump.zst", 4, "0" * 64),
        globals=manifest.File(f"{stem}.globals.sql", 2, "1" * 64),
        compression="zstd",
        archive_bytes=10,
        database_size_bytes=100,
        server_version="15.1",
        pg_dump_version="15.1",
        entries=5,
        tables=1,
        verified="archive",
        duration_s=0.1,
    )
    return dataclasses.replace(made, **changes)


def publish(folder: pathlib.Path, stem: str) -> manifest.Manifest:
    made = record(stem)
    with Draft(str(folder)) as draft:
        for each, content in ((made.dump, b"dump"), (made.globals, b"gl")):
            with draft.create(each.file) as file:
                file.write(content)
        draft.publish(made)
    return made


def names(folder: pathlib.Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_publication(tmp_path: pathlib.Path) -> None:
    made = publish(tmp_path, "shop-1")
    assert names(tmp_path) == ["shop-1.dump.zst", "shop-1.dump.zst.json", "shop-1.globals.sql"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert manifest.published(str(tmp_path)) == [made]


def test_the_manifest_is_named_last(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda old, new: (order.append(os.path.basename(new)), rename(old, new)))
    publish(tmp_path, "shop-1")
    assert order == ["shop-1.dump.zst", "shop-1.globals.sql", "shop-1.dump.zst.json"]


def test_what_is_not_published_is_removed(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="planted"), Draft(str(tmp_path)) as draft:
        with draft.create("shop-1.dump.zst") as file:
            file.write(b"x")
            assert names(tmp_path) == [".partial-shop-1.dump.zst"]
            raise OSError("planted")
    assert names(tmp_path) == []


def test_a_partial_of_the_same_name_is_never_overwritten(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".partial-shop-1.dump").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError), Draft(str(tmp_path)) as draft, draft.create("shop-1.dump"):
        pass
    assert not (tmp_path / "elsewhere").exists() and (tmp_path / ".partial-shop-1.dump").is_symlink()


def test_sweep_takes_what_a_killed_owner_left_and_nothing_else(tmp_path: pathlib.Path) -> None:
    publish(tmp_path, "shop-1")
    for name in (".partial-shop-2.dump.zst.json", "shop-2.dump.zst", "shop-2.globals.sql", "shop-3.dump.zst"):
        (tmp_path / name).touch()
    kept = ["shop-1.dump.zst", "shop-1.dump.zst.json", "shop-1.globals.sql", "shop-3.dump.zst"]
    swept = sweep(str(tmp_path), "shop-2")
    assert swept == [".partial-shop-2.dump.zst.json", "shop-2.dump.zst", "shop-2.globals.sql"]
    assert names(tmp_path) == kept
    assert sweep(str(tmp_path), "shop-1") == sweep(str(tmp_path), None) == []  # that one reached its manifest
    assert names(tmp_path) == kept


def test_one_owner_at_a_time(tmp_path: pathlib.Path) -> None:
    folder = str(tmp_path / "new")
    with Lock(folder) as lock:
        lock.record({"pid": 4711, "stem": "shop-1"})
        with pytest.raises(ProductionError, match="process 4711") as caught, Lock(folder):
            pass
        assert caught.value.details["holder"]["stem"] == "shop-1"
    assert os.stat(folder).st_mode & 0o777 == 0o700
    with Lock(folder) as lock:
        assert lock.unfinished == {}


def test_a_killed_owner_leaves_its_record_but_not_the_lock(tmp_path: pathlib.Path) -> None:
    code = (
        "import os, sys\n"
        "from ansible_collections.tria.production.plugins.module_utils._backup.folder import Lock\n"
        "with Lock(sys.argv[1]) as lock:\n    lock.record({'stem': 'shop-9'})\n    os.kill(os.getpid(), 9)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=env, check=False).returncode == -9
    with Lock(str(tmp_path)) as lock:
        assert lock.unfinished == {"stem": "shop-9"}


def test_after_a_failure_the_record_stays_for_the_next_owner(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="planted"), Lock(str(tmp_path)) as lock:
        lock.record({"stem": "shop-9"})
        raise ValueError("planted")
    with Lock(str(tmp_path)) as lock:
        assert lock.unfinished == {"stem": "shop-9"}


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_lock_file_without_a_record(tmp_path: pathlib.Path, content: str) -> None:
    (tmp_path / ".pg_backup.lock").write_text(content)
    with Lock(str(tmp_path)) as lock:
        assert lock.unfinished == {}


def test_remove(tmp_path: pathlib.Path) -> None:
    made, kept = publish(tmp_path, "shop-1"), publish(tmp_path, "shop-2")
    remove(str(tmp_path), made)
    assert manifest.published(str(tmp_path)) == [kept]
    assert names(tmp_path) == ["shop-2.dump.zst", "shop-2.dump.zst.json", "shop-2.globals.sql"]


@pytest.mark.parametrize("step", range(5))
def test_a_crash_while_removing_leaves_no_half_backup(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    made = publish(tmp_path, "shop-1")
    left = [step]

    def crashing(call: t.Callable[..., None]) -> t.Callable[..., None]:
        def maybe(*args: str) -> None:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            call(*args)

        return maybe

    monkeypatch.setattr(os, "rename", crashing(os.rename))
    monkeypatch.setattr(os, "unlink", crashing(os.unlink))
    with pytest.raises(KeyboardInterrupt):
        remove(str(tmp_path), made)
    monkeypatch.undo()
    assert manifest.published(str(tmp_path)) == ([made] if step == 0 else [])
    dumps = [name for name in names(tmp_path) if name.endswith(".dump.zst") and not name.startswith(".")]
    assert bool(dumps) == (step == 0)


def test_only_complete_backups_count(tmp_path: pathlib.Path) -> None:
    made = publish(tmp_path, "shop-1")
    publish(tmp_path, "shop-2")
    (tmp_path / "shop-2.dump.zst").write_bytes(b"cut")
    publish(tmp_path, "shop-3")
    (tmp_path / "shop-3.globals.sql").unlink()
    publish(tmp_path, "shop-4")
    (tmp_path / "shop-4.dump.zst.json").rename(tmp_path / "renamed.json")
    for name, content in (
        ("a.json", "[]"),
        ("b.json", "{}"),
        ("c.json", "{"),
        ("d.json", '{"format": 1, "version": 1}'),
    ):
        (tmp_path / name).write_text(content)
    assert manifest.published(str(tmp_path)) == [made]
    assert manifest.published(str(tmp_path / "missing")) == []


def test_a_manifest_of_a_later_version_is_left_alone() -> None:
    later = {**json.loads(record().as_json()), "version": manifest.VERSION + 1}
    with pytest.raises(manifest.NoManifest, match="another format"):
        manifest.parse(json.dumps(later).encode())


def test_a_manifest_without_globals() -> None:
    made = record(globals=None)
    assert manifest.parse(made.as_json()) == made


def test_free_space_of_a_folder_that_does_not_exist_yet(tmp_path: pathlib.Path) -> None:
    assert free_bytes(str(tmp_path / "not" / "yet")) > 0


def test_a_link_of_that_name_is_not_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "precious").mkdir()
    (tmp_path / "backups" / ".partial-x.dump.d").symlink_to(tmp_path / "precious")
    assert sweep(str(tmp_path / "backups"), None) and (tmp_path / "precious").is_dir()


def test_an_unfinished_folder_is_removed(tmp_path: pathlib.Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    with pytest.raises(OSError, match="planted"), Draft(str(backups)) as draft:
        pathlib.Path(draft.folder("shop-1.dump.d"), "toc.dat").touch()
        assert os.listdir(backups) == [".partial-shop-1.dump.d"]
        raise OSError("planted")
    assert os.listdir(backups) == []
