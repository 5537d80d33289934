# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind backup: an age that is too high, a schedule that fails, one that has not begun; and what is none of these."""

from __future__ import annotations

import datetime
import os
import pathlib

import pytest
from probe_peers import look
from test_backup_folder import record as manifest_of

from ansible_collections.tria.production.plugins.module_utils._backup import manifest, record
from ansible_collections.tria.production.plugins.module_utils._backup.folder import Draft

ERROR = {"culprit": "database shop", "cause": "pg_dump ended with status 1.", "remedy": "See the server's log."}


def ago(hours: float) -> str:
    moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=hours)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"


def publish(dest: pathlib.Path, hours: float, **changes: object) -> manifest.Manifest:
    """A backup of that age."""
    made = manifest_of(f"shop-{hours:g}", created_at=ago(hours), globals=None, **changes)
    with Draft(str(dest)) as draft:
        with draft.create(made.dump.file) as file:
            file.write(b"dump")
        draft.publish(made)
    return made


def schedule(dest: pathlib.Path, since: float, error: dict[str, str] | None = None, failures: int = 0) -> None:
    runs = record.Runs("shop", "shop", ago(since), ago(1.1), ago(1), None, error, failures)
    runs.write(str(dest))


def test_a_young_backup(tmp_path):
    made = publish(tmp_path, 3)
    publish(tmp_path, 30)
    seen = look("backup", dest=str(tmp_path), dbname="shop")
    assert seen.status == "pass" and "3.0 hours old" in seen.message
    assert seen.data["path"] == str(tmp_path / made.dump.file) and seen.data["verified"] == "archive"
    assert (seen.data["age_hours"], seen.data["max_age_hours"], seen.data["size_bytes"]) == (3.0, 26.0, 4)


def test_one_that_is_too_old(tmp_path):
    publish(tmp_path, 30)
    seen = look("backup", dest=str(tmp_path), dbname="shop")
    assert seen.status == "fail" and "30.0 hours old; 26.0 hours are allowed; nothing is scheduled" in seen.message
    assert "tria.production.pg_backup_schedule" in seen.remedy
    assert look("backup", dest=str(tmp_path), dbname="shop", max_age=31).status == "pass"


def test_one_that_is_too_old_since_the_schedule_fails(tmp_path):
    publish(tmp_path, 30)
    schedule(tmp_path, 100, ERROR, failures=2)
    seen = look("backup", dest=str(tmp_path), dbname="shop")
    assert seen.status == "fail" and "schedule shop failed (2 in a row): database shop: pg_dump ended" in seen.message
    assert seen.remedy == ERROR["remedy"] and seen.data["failures"] == 2


def test_one_that_is_too_old_since_the_schedule_does_not_run(tmp_path):
    publish(tmp_path, 30)
    schedule(tmp_path, 100)
    seen = look("backup", dest=str(tmp_path), dbname="shop")
    assert seen.status == "fail" and "schedule shop last ran at" in seen.message and "list-timers" in seen.remedy


def test_a_failed_run_is_a_warning_while_there_is_a_young_backup(tmp_path):
    publish(tmp_path, 3)
    schedule(tmp_path, 100, ERROR, failures=1)
    seen = look("backup", dest=str(tmp_path), dbname="shop")
    assert seen.status == "warn" and "pg_dump ended with status 1" in seen.message


def test_a_run_that_was_killed_is_a_warning(tmp_path):
    publish(tmp_path, 3)
    gone = {"pid": 4194304, "started": "1", "process_space": record._lock.process_space()}
    record.Runs("shop", "shop", ago(100), ago(2), None, gone).write(str(tmp_path))
    assert "did not come to its end" in look("backup", dest=str(tmp_path), dbname="shop").message
    rebooted = {**gone, "pid": os.getpid(), "process_space": "another-boot pid:[1]"}
    record.Runs("shop", "shop", ago(100), ago(2), None, rebooted).write(str(tmp_path))
    assert look("backup", dest=str(tmp_path), dbname="shop").status == "warn"
    here = record._lock.process(os.getpid())
    record.Runs("shop", "shop", ago(100), ago(2), None, here).write(str(tmp_path))
    assert look("backup", dest=str(tmp_path), dbname="shop").status == "pass", "it is at work"


@pytest.mark.parametrize("changes", [{"verified": "none"}, {"dbname": "other"}])
def test_what_is_no_verified_backup_of_the_database(tmp_path, changes):
    publish(tmp_path, 3, **changes)
    seen = look("backup", dest=str(tmp_path), dbname="shop")
    assert seen.status == "fail" and "holds no verified backup of shop" in seen.message and seen.remedy


def test_a_dump_without_a_manifest_is_none(tmp_path):
    os.unlink(tmp_path / f"{publish(tmp_path, 3).dump.file}{manifest.SUFFIX}")
    assert look("backup", dest=str(tmp_path), dbname="shop").status == "fail"


def test_a_schedule_that_has_not_begun(tmp_path):
    record.Runs("shop", "shop", ago(5)).write(str(tmp_path))
    seen = look("backup", dest=str(tmp_path), dbname="shop")
    assert seen.status == "skip" and "5.0 hours old, no backup was due yet" in seen.message
    assert look("backup", dest=str(tmp_path), dbname="shop", max_age=4).status == "fail"
    schedule(tmp_path, 5, ERROR, failures=1)
    seen = look("backup", dest=str(tmp_path), dbname="shop")
    assert seen.status == "fail" and "pg_dump ended" in seen.message


def test_a_folder_that_does_not_exist_or_is_none(tmp_path):
    assert look("backup", dest=str(tmp_path / "gone"), dbname="shop").status == "fail"
    (tmp_path / "file").write_text("")
    seen = look("backup", dest=str(tmp_path / "file"), dbname="shop")
    assert seen.status == "error" and "Not a directory" in seen.message


def test_a_clock_that_was_set_back(tmp_path):
    publish(tmp_path, -5)
    seen = look("backup", dest=str(tmp_path), dbname="shop")
    assert seen.status == "warn" and "in the future" in seen.message


def test_the_schedule_of_another_database(tmp_path):
    publish(tmp_path, 3)
    record.Runs("other", "other", ago(100), ago(1.1), ago(1), None, ERROR, 1).write(str(tmp_path))
    assert look("backup", dest=str(tmp_path), dbname="shop").status == "pass"
    assert record.read(str(tmp_path), "other", "shop") is None
