# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of the steps, and what a failure of each leaves; PostgreSQL's tools are small scripts."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from backup_tools import LIST, TOOLS, create, names

from ansible_collections.tria.production.plugins.module_utils._backup import engine, reading
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def test_a_backup(tools: t.Any, dest: pathlib.Path) -> None:
    result = create(dest, label="r1")
    made = result["backup"]
    assert result["changed"] and result["deleted"] == []
    assert (made["tables"], made["entries"], made["server_version"], made["pg_dump_version"]) == (1, 5, "15.1", "15.2")
    assert (made["archive_bytes"], made["verified"], made["label"], made["pinned"]) == (100_000, "archive", "r1", False)
    assert names(dest) == sorted(os.path.basename(made[key]) for key in ("path", "manifest", "globals"))
    assert "s3cret-pw" not in json.dumps(result) + pathlib.Path(made["manifest"]).read_text()
    assert (dest / ".pg_backup.lock").read_text() == "{}"


def test_check_mode_decides_and_writes_nothing(tools: t.Any, dest: pathlib.Path) -> None:
    assert create(dest, check_mode=True)["changed"] and not dest.exists()
    first = create(dest)["backup"]["path"]
    before = names(dest)
    assert create(dest, check_mode=True, keep_last=1)["deleted"] == [first]
    assert names(dest) == before


def test_retention_only_knows_its_own_database(tools: t.Any, dest: pathlib.Path) -> None:
    other, elsewhere = create(dest, dbname="other"), create(dest, login_host="db2")
    first, second = create(dest, keep_last=1), create(dest, keep_last=1)
    assert (first["deleted"], second["deleted"]) == ([], [first["backup"]["path"]])
    assert all(os.path.exists(each["backup"]["path"]) for each in (other, elsewhere, second))


def test_what_was_dumped_before_a_release_stays_as_long_as_the_release(
    tools: t.Any, dest: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    release = tmp_path / "releases" / "20250101T000000Z-a"
    release.mkdir(parents=True)
    rules = {"keep_last": 1, "keep_labels_in": str(release.parent)}
    before = create(dest, label=release.name, **rules)["backup"]["path"]
    night = create(dest, **rules)["backup"]["path"]
    assert create(dest, **rules)["deleted"] == [night] and os.path.exists(before)
    release.rmdir()
    assert before in create(dest, **rules)["deleted"] and not os.path.exists(before)


def test_an_unusual_name_makes_a_usual_file(tools: t.Any, dest: pathlib.Path) -> None:
    made = create(dest, dbname="../ü '--\"/x", globals=False)["backup"]
    assert os.path.dirname(made["path"]) == str(dest) and made["globals"] is None
    assert os.path.basename(made["path"]).startswith("_x-")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (
            {"pg_dump": "head -c 5000 /dev/zero; echo 'could not read' >&2; exit 1"},
            "pg_dump ended with status 1: could not read",
        ),
        ({"pg_dumpall": "echo 'must be superuser' >&2; exit 1"}, "must be superuser"),
        ({"pg_dumpall": "echo 'CREATE ROLE a;'"}, "pg_dumpall's output has no end"),
        (
            {"pg_restore": f"case \"$*\" in *--list*) printf '{LIST}';; *) echo 'unexpected end' >&2; exit 1;; esac"},
            "unexpected end",
        ),
        ({"pg_restore": "exit 0"}, "the dump is damaged: its table of contents has no"),
        ({"pg_restore": f"printf '{LIST.replace(' 1259 ', ' 0 ')}'; cat > /dev/null"}, "the dump is empty"),
    ],
)
def test_a_failed_step_leaves_nothing(tools: t.Any, dest: pathlib.Path, broken: dict[str, str], words: str) -> None:
    kept = create(dest)["backup"]["path"]
    before = names(dest)
    tools(**broken)
    with pytest.raises(ProductionError) as caught:
        create(dest, keep_last=1)
    assert words in str(caught.value)
    assert names(dest) == before and os.path.exists(kept)


def test_an_empty_database_may_have_an_empty_dump(tools: t.Any, dest: pathlib.Path) -> None:
    tools(
        psql=TOOLS["psql"].replace('"tables": 1', '"tables": 0'),
        pg_restore=f"printf '{LIST.replace(' 1259 ', ' 0 ')}'; cat > /dev/null",
    )
    assert create(dest)["backup"]["tables"] == 0


def test_too_little_space(tools: t.Any, dest: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "free_bytes", lambda _folder: 1_000_000)
    for check_mode in (True, False):
        with pytest.raises(ProductionError, match="has 1.0 MiB free") as caught:
            create(dest, check_mode=check_mode)
        assert caught.value.details == {"free_bytes": 1_000_000, "needed_bytes": 1000 + (1 << 20)}
    assert names(dest) == []


def test_the_last_backup_says_how_much_space_is_needed(
    tools: t.Any, dest: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = create(dest, compression="none")["backup"]["size_bytes"]
    monkeypatch.setattr(engine, "free_bytes", lambda _folder: 0)
    with pytest.raises(ProductionError) as caught:
        create(dest, compression="none")
    assert caught.value.details["needed_bytes"] == int(size * 1.25) + (1 << 20)
    with pytest.raises(ProductionError) as caught:
        create(dest, compression="gzip")
    assert caught.value.details["needed_bytes"] == 1000 + (1 << 20)


def test_a_lock_names_its_holder(tools: t.Any, dest: pathlib.Path) -> None:
    tools(
        pg_dump="echo 'canceling statement due to statement timeout: query was: LOCK TABLE public.catalog' >&2; exit 1"
    )
    with pytest.raises(ProductionError, match=r"locked for 5 seconds.*catalog \(pid 7\)"):
        create(dest)


def test_a_timeout_says_what_may_live_on(tools: t.Any, dest: pathlib.Path) -> None:
    tools(
        pg_dump="exec sleep 30", psql=TOOLS["psql"].replace("echo '{\"left\": 0}'", "echo 'server is gone' >&2; exit 2")
    )
    with pytest.raises(ProductionError, match="not finished after 1 seconds.*may live on.*server is gone") as caught:
        create(dest, timeout=1.0)
    assert "timeout" in caught.value.remedy and names(dest) == []
    assert json.loads((dest / ".pg_backup.lock").read_text())["application_name"].startswith("pg_backup-")


def test_what_a_killed_run_left_is_cleaned_up_first(tools: t.Any, dest: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dest.mkdir()
    (dest / ".pg_backup.lock").write_text('{"pid": 1, "stem": "shop-0", "application_name": "pg_backup-dead"}')
    for name in (".partial-shop-0.dump.zst.json", "shop-0.dump.zst"):
        (dest / name).touch()
    tools(psql=f'echo "$*" >> {tmp_path}/asked\n{TOOLS["psql"]}')
    assert len(names(dest)) == 2 and create(dest)["changed"]
    assert "'pg_backup-dead'" in (tmp_path / "asked").read_text()
    assert not [name for name in names(dest) if "shop-0" in name]


def test_an_old_backup_that_cannot_be_removed(
    tools: t.Any, dest: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = create(dest)["backup"]["path"]

    def refuse(*_args: t.Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(engine, "remove", refuse)
    with pytest.raises(ProductionError, match="The new backup is complete") as caught:
        create(dest, keep_last=1)
    assert caught.value.culprit == old and os.path.exists(caught.value.details["backup"]["manifest"])


def test_a_dump_that_has_shrunk_is_not_published(tools: t.Any, dest: pathlib.Path) -> None:
    old = create(dest)["backup"]["path"]
    create(dest, verify="none", compression="none", min_size_ratio=0.0)  # proves nothing, so nothing is compared with it
    before = names(dest)
    tools(pg_dump="head -c 49999 /dev/zero")
    with pytest.raises(ProductionError, match="only 50% of what the last backup has") as caught:
        create(dest)
    assert os.path.basename(old) in caught.value.cause and "min_size_ratio=0" in caught.value.remedy
    assert names(dest) == before
    assert create(dest, min_size_ratio=0.49)["changed"]
    tools(pg_dump="head -c 25000 /dev/zero")
    assert create(dest, compression="none", min_size_ratio=0.5)["changed"]  # exactly half is half
    tools(pg_dump="head -c 1 /dev/zero")
    assert create(dest, min_size_ratio=0.0)["changed"]


def test_a_folder_that_cannot_be_made(tools: t.Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProductionError, match="Not a directory") as caught:
        create(tmp_path / "file" / "backups")
    assert str(tmp_path / "file") in caught.value.culprit


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"keep_last": 0}, "keep_last"),
        ({"timeout": 0.0}, "timeout"),
        ({"lock_timeout": -1.0}, "lock_timeout"),
        ({"dbname": ""}, "dbname"),
        ({"min_size_ratio": 1.5}, "min_size_ratio"),
        ({"compression_level": 20}, "compression_level"),
        ({"compression": "none", "compression_level": 1}, "compression_level"),
    ],
)
def test_senseless_options(dest: pathlib.Path, changes: dict[str, t.Any], culprit: str) -> None:
    with pytest.raises(ProductionError) as caught:
        create(dest, **changes)
    assert caught.value.culprit == culprit and caught.value.remedy and not dest.exists()


def test_an_encrypted_backup(tools: t.Any, dest: pathlib.Path) -> None:
    tools(**{"age-keygen": "echo '# public key: age1own'", "age": "tr '\\000-\\377' '\\200-\\377\\000-\\177'"})
    assert create(dest, check_mode=True, age_recipients=["age1theirs"])["changed"] and not dest.exists()
    made = create(dest, age_recipients=["age1theirs"], compression="none")["backup"]
    assert made["path"].endswith(".dump.age") and made["globals"].endswith(".globals.sql.age")
    assert set(pathlib.Path(made["path"]).read_bytes()) == {0x80} and made["plain_sha256"] != made["sha256"]
    assert b"CREATE ROLE" not in pathlib.Path(made["globals"]).read_bytes()
    assert json.loads(pathlib.Path(made["manifest"]).read_text())["age_recipients"] == ["age1theirs"]
    before = names(dest)
    tools(age="case $* in *--decrypt*) head -c 10;; *) cat;; esac")
    with pytest.raises(ProductionError, match="the dump is damaged"):
        create(dest, age_recipients=["age1theirs"])
    assert names(dest) == before


def test_a_copy_that_fails_leaves_a_complete_backup(tools: t.Any, dest: pathlib.Path) -> None:
    old = create(dest)["backup"]["path"]
    nothing = dict.fromkeys(("restic", "config", "password_file", "env", "secret_env"))
    place = {**nothing, "name": "nas", "rclone": "nas:b"}
    tools(rclone="echo 'connection refused' >&2; exit 1")
    with pytest.raises(ProductionError, match="connection refused"):
        create(dest, check_mode=True, copies=[place])
    with pytest.raises(ProductionError, match="copy nas: .*connection refused.*on this host is complete: ") as caught:
        create(dest, copies=[place], keep_last=1)
    details = caught.value.details
    assert os.path.exists(details["backup"]["manifest"]) and details["copies"][0]["name"] == "nas"
    assert details["deleted"] == [old] and not os.path.exists(old)


def test_output_without_end_is_refused() -> None:
    collector = reading.Collector(10)
    collector.write(b"1234567890")
    with pytest.raises(ProductionError, match="more than 10 bytes"):
        collector.write(b"1")
