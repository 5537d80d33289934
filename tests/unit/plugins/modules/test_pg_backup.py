# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module's own part: arguments in, result or failure out."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.modules import pg_backup

ARGUMENTS = {"dest": "/backups", "dbname": "shop", "login_password": "s3cret-pw"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, t.Any], bool]]:
    seen: list[tuple[dict[str, t.Any], bool]] = []

    def create(options: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
        seen.append((options, check_mode))
        return {"changed": True, "msg": "made", "backup": {}, "deleted": []}

    monkeypatch.setattr(pg_backup.engine, "create", create)
    return seen


def run(capsys: pytest.CaptureFixture[str], **arguments: t.Any) -> dict[str, t.Any]:
    with patch_module_args({**ARGUMENTS, **arguments}), pytest.raises(SystemExit):
        pg_backup.main()
    out = capsys.readouterr().out
    assert "s3cret-pw" not in out
    return json.loads(out)


def test_defaults(capsys: pytest.CaptureFixture[str], calls: list[t.Any]) -> None:
    result = run(capsys)
    options, check_mode = calls[0]
    assert result["changed"] and not check_mode
    assert options["container"] is None and options["when_absent"] == "fail"
    assert (options["compression"], options["verify"], options["globals"], options["keep_last"]) == (
        "zstd",
        "archive",
        True,
        7,
    )
    assert (options["timeout"], options["lock_timeout"], options["min_size_ratio"]) == (3600, 30, 0.5)


def test_check_mode_reaches_the_engine(capsys: pytest.CaptureFixture[str], calls: list[t.Any]) -> None:
    run(capsys, _ansible_check_mode=True)
    assert calls[0][1]


def test_the_service_is_postgres_unless_said_otherwise(capsys: pytest.CaptureFixture[str], calls: list[t.Any]) -> None:
    run(capsys, container={"project": "tria"})
    assert calls[0][0]["container"] == {"project": "tria", "service": "postgres", "name": None, "scratch": "/tmp"}


def test_a_restore(capsys: pytest.CaptureFixture[str], calls: list[t.Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[t.Any] = []
    monkeypatch.setattr(
        pg_backup.restore, "restore", lambda *args: seen.append(args) or {"changed": True, "restored": {}}
    )
    assert run(capsys, state="restored", backup="shop-1", _ansible_check_mode=True)["changed"] and not calls
    options, check_mode = seen[0]
    assert (options["backup"], options["foreign"], check_mode) == ("shop-1", False, True)


@pytest.mark.parametrize(("state", "function"), [("scheduled", "ensure"), ("unscheduled", "remove")])
def test_a_schedule(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, state: str, function: str
) -> None:
    seen: list[t.Any] = []
    monkeypatch.setattr(pg_backup.schedule, function, lambda *args: seen.append(args) or {"changed": True})
    assert run(capsys, state=state, schedule={"name": "shop"}, _ansible_check_mode=True)["changed"]
    options, check_mode = seen[0]
    expected = {"name": "shop", "calendar": None, "cron": None, "delay": 300, "metrics": None}
    assert options["schedule"] == expected and check_mode


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"state": "scheduled"}, "state is scheduled but all of the following are missing: schedule"),
        ({"container": {"service": "db"}}, "one of the following is required"),
        ({"container": {"project": "tria", "name": "x"}}, "mutually exclusive"),
        ({"state": "absent"}, "value of state"),
        ({"when_absent": "ignore"}, "value of when_absent"),
        ({"verify": "full"}, "value of verify"),
        ({"compression": "lzma"}, "value of compression"),
    ],
)
def test_arguments_that_are_refused(
    capsys: pytest.CaptureFixture[str], calls: list[t.Any], arguments: dict[str, t.Any], words: str
) -> None:
    result = run(capsys, **arguments)
    assert result["failed"] and words in result["msg"] and not calls


def test_a_failure_names_culprit_cause_and_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(*_args: t.Any) -> None:
        raise ProductionError("/backups", "is full.", "Free space.", free_bytes=1)

    monkeypatch.setattr(pg_backup.engine, "create", create)
    result = run(capsys)
    assert result["failed"] and result["free_bytes"] == 1
    assert (result["culprit"], result["cause"], result["remedy"]) == ("/backups", "is full.", "Free space.")


def test_a_missing_library_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*_args: t.Any) -> None:
        raise MissingLibrary("zstandard")

    monkeypatch.setattr(pg_backup.engine, "create", create)
    result = run(capsys)
    assert result["failed"] and "zstandard" in result["msg"] and "python3-zstandard" in result["msg"]
