# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The own part of pg_backup, pg_restore and pg_backup_schedule: arguments in, result or failure out."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.module_utils._backup import spec
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.modules import pg_backup, pg_backup_schedule, pg_restore

ARGUMENTS = {"dest": "/backups", "dbname": "shop", "login_password": "s3cret-pw"}
SCHEDULE = {**ARGUMENTS, "name": "shop"}
MODULES = {"pg_backup": pg_backup, "pg_restore": pg_restore, "pg_backup_schedule": pg_backup_schedule}
# What a module calls.
CALLED = [
    ("pg_backup", ARGUMENTS, pg_backup.engine, "create"),
    ("pg_restore", ARGUMENTS, pg_restore.restore, "restore"),
    ("pg_backup_schedule", SCHEDULE, pg_backup_schedule.schedule, "ensure"),
    ("pg_backup_schedule", {"name": "shop", "state": "absent"}, pg_backup_schedule.schedule, "remove"),
]


class Calls(list):
    """(function, options, check_mode) of each call; `errors` is what they raise instead of an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    seen = Calls()

    def called(name: str) -> t.Callable[..., dict[str, t.Any]]:
        def call(options: t.Any, check_mode: bool) -> dict[str, t.Any]:
            seen.append((name, options, check_mode))
            for error in seen.errors:
                raise error
            return {"changed": True, "msg": "done"}

        return call

    for _module, _arguments, place, name in CALLED:
        monkeypatch.setattr(place, name, called(name))
    return seen


def run(capsys: pytest.CaptureFixture[str], module: str, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        MODULES[module].main()
    out = capsys.readouterr().out
    assert "s3cret-pw" not in out
    return json.loads(out)


@pytest.mark.parametrize(("module", "arguments", "_place", "name"), CALLED)
@pytest.mark.parametrize("check_mode", [False, True])
def test_what_a_module_calls(
    capsys: pytest.CaptureFixture[str], calls: Calls, module: str, arguments: t.Any, _place: t.Any, name: str,
    check_mode: bool,
) -> None:  # fmt: skip
    assert run(capsys, module, {**arguments, "_ansible_check_mode": check_mode})["changed"]
    assert [(called, checked) for called, _options, checked in calls] == [(name, check_mode)]


def test_defaults_of_a_backup(capsys: pytest.CaptureFixture[str], calls: Calls) -> None:
    run(capsys, "pg_backup", ARGUMENTS)
    options = calls[0][1]
    assert options["container"] is None and options["when_absent"] == "fail"
    assert (options["compression"], options["verify"], options["globals"], options["keep_last"]) == (
        "zstd",
        "archive",
        True,
        7,
    )
    assert (options["timeout"], options["lock_timeout"], options["min_size_ratio"]) == (3600, 30, 0.5)


def test_defaults_of_a_restore(capsys: pytest.CaptureFixture[str], calls: Calls) -> None:
    run(capsys, "pg_restore", {**ARGUMENTS, "backup": "shop-1"})
    assert calls[0][1] == {
        **dict.fromkeys(("container", "login_host", "login_port", "login_user", "jobs", "age_identity_file")),
        **ARGUMENTS,
        "backup": "shop-1",
        "foreign": False,
        "keep_before": 7,
        "timeout": 3600,
    }


def test_defaults_of_a_schedule(capsys: pytest.CaptureFixture[str], calls: Calls) -> None:
    """Whatever makes a backup is as that of `pg_backup`."""
    run(capsys, "pg_backup", ARGUMENTS)
    run(capsys, "pg_backup_schedule", SCHEDULE)
    (_create, made_by, _checked), (_ensure, options, _checked) = calls
    own = {"state": "present", "name": "shop", "calendar": None, "cron": None, "delay": 300, "metrics": None}
    assert options == {**made_by, **own} and set(made_by) == set(spec.MAKING)


def test_no_schedule_needs_its_name_alone(capsys: pytest.CaptureFixture[str], calls: Calls) -> None:
    run(capsys, "pg_backup_schedule", {"name": "shop", "state": "absent"})
    assert calls[0][:2] == ("remove", "shop")


@pytest.mark.parametrize("module", ["pg_backup", "pg_restore"])
def test_the_service_is_postgres_unless_said_otherwise(
    capsys: pytest.CaptureFixture[str], calls: Calls, module: str
) -> None:
    run(capsys, module, {**ARGUMENTS, "container": {"project": "tria"}})
    assert calls[0][1]["container"] == {"project": "tria", "service": "postgres", "name": None, "scratch": "/tmp"}


@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        ("pg_backup", {"dest": "/backups"}, "missing required arguments: dbname"),
        ("pg_backup", {**ARGUMENTS, "container": {"service": "db"}}, "one of the following is required"),
        ("pg_backup", {**ARGUMENTS, "container": {"project": "tria", "name": "x"}}, "mutually exclusive"),
        ("pg_backup", {**ARGUMENTS, "state": "present"}, "Unsupported parameters"),
        ("pg_backup", {**ARGUMENTS, "when_absent": "ignore"}, "value of when_absent"),
        ("pg_backup", {**ARGUMENTS, "verify": "full"}, "value of verify"),
        ("pg_backup", {**ARGUMENTS, "compression": "lzma"}, "value of compression"),
        ("pg_backup", {**ARGUMENTS, "copies": [{"name": "nas"}]}, "one of the following is required: rclone, restic"),
        ("pg_restore", {"dbname": "shop"}, "missing required arguments: dest"),
        ("pg_restore", {**ARGUMENTS, "container": {"service": "db"}}, "one of the following is required"),
        ("pg_restore", {**ARGUMENTS, "verify": "archive"}, "Unsupported parameters"),
        ("pg_backup_schedule", ARGUMENTS, "missing required arguments: name"),
        ("pg_backup_schedule", {"name": "shop"}, "state is present but all of the following are missing: dest, dbname"),
        ("pg_backup_schedule", {**SCHEDULE, "state": "scheduled"}, "value of state"),
        ("pg_backup_schedule", {**SCHEDULE, "backup": "shop-1"}, "Unsupported parameters"),
    ],
)
def test_arguments_that_are_refused(
    capsys: pytest.CaptureFixture[str], calls: Calls, module: str, arguments: dict[str, t.Any], words: str
) -> None:
    result = run(capsys, module, arguments)
    assert result["failed"] and words in result["msg"] and not calls


@pytest.mark.parametrize(("module", "arguments", "_place", "_name"), CALLED)
def test_a_failure_names_culprit_cause_and_remedy(
    capsys: pytest.CaptureFixture[str], calls: Calls, module: str, arguments: t.Any, _place: t.Any, _name: str
) -> None:
    calls.errors.append(ProductionError("/backups", "is full.", "Free space.", free_bytes=1))
    result = run(capsys, module, arguments)
    assert result["failed"] and result["free_bytes"] == 1
    assert (result["culprit"], result["cause"], result["remedy"]) == ("/backups", "is full.", "Free space.")


@pytest.mark.parametrize("module", ["pg_backup", "pg_restore"])
def test_a_missing_library_is_named(capsys: pytest.CaptureFixture[str], calls: Calls, module: str) -> None:
    calls.errors.append(MissingLibrary("zstandard"))
    result = run(capsys, module, ARGUMENTS)
    assert result["failed"] and "zstandard" in result["msg"] and "python3-zstandard" in result["msg"]
