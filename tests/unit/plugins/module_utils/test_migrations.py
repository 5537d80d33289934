# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a one-shot says of its migrations, with real processes in the place of its containers."""

from __future__ import annotations

import json
import sys

import pytest

from ansible_collections.tria.production.plugins.module_utils import _migrations
from ansible_collections.tria.production.plugins.module_utils._compose_cli import Compose, TimedOut
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

# `docker compose … run … --name NAME SERVICE ARGV`: runs ARGV here; everything else is written down.
DOCKER = """#!/bin/sh
echo "$*" >> {log}
[ "$1" = rm ] && exit {removed}
while [ "$1" != --name ]; do shift; done
shift 3
exec "$@"
"""


def two(reversible=True, current="0003"):
    """A plan with 0004 and 0005 pending; the first can be undone."""
    pending = [{"id": "0004", "reversible": True}, {"id": "0005", "reversible": reversible}]
    return {"current": current, "head": "0005", "pending": pending}


def after(count, reversible=True):
    """The plan after the first `count` of them have run."""
    plan = two(reversible)
    return {**plan, "current": ["0003", "0004", "0005"][count], "pending": plan["pending"][count:]}


def saying(text, status=0):
    """A program that prints a text and ends."""
    return [sys.executable, "-c", f"import sys; sys.stdout.write({text!r}); sys.exit({status})"]


@pytest.fixture(name="compose")
def fixture_compose(tmp_path, monkeypatch):
    def make(removed=0):
        program = tmp_path / "docker"
        program.write_text(DOCKER.format(log=tmp_path / "log", removed=removed), encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return Compose(str(tmp_path), {"project": "shop", "compose_files": ["compose.yaml"], "profiles": []})

    return make


def asked(compose, argv, **settings):
    return _migrations.Migrations(compose, "migrate", {"plan": argv, "undo": [], **settings}).plan()


def test_the_last_line_is_the_plan(compose):
    plan = two(reversible=False)
    undo = {"undo": ["true", "{head}"]}
    assert asked(compose(), saying("INFO: connected\n" + json.dumps(plan) + "\n"), **undo) == plan
    empty = {"current": None, "head": None, "pending": []}
    assert asked(compose(), saying(json.dumps(empty))) == empty
    newer = {"current": "0009", "head": "0005", "pending": []}  # another release has been here
    assert asked(compose(), saying(json.dumps(newer))) == newer


def test_without_undo_nothing_is_reversible(compose):
    for settings in ({}, {"undo": []}, {"undo": None}):
        plan = asked(compose(), saying(json.dumps(two())), **settings)
        assert [one["reversible"] for one in plan["pending"]] == [False, False]
    with pytest.raises(ProductionError, match=r"service migrate: has no x-migrations\.undo"):
        _migrations.Migrations(compose(), "migrate", {"plan": ["true"], "undo": []}).undo("0003")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("", "it printed nothing"),
        ("\n\n", "it printed nothing"),
        ("hunter2", "its last line is not JSON"),
        (json.dumps(two()) + "\ndone hunter2", "its last line is not JSON"),
        ("[" * 20000, "its last line is not JSON"),
        ("[]", "not an object of current, head and pending"),
        ('{"current": null, "head": "hunter2"}', "not an object of current, head and pending"),
        (json.dumps({**two(), "hunter2": 1}), "not an object of current, head and pending"),
        (json.dumps({**two(), "current": 3}), "current and head must be IDs of migrations or null"),
        (json.dumps({**two(), "current": ""}), "current and head must be IDs of migrations or null"),
        (json.dumps({**two(), "current": "--hunter2"}), "current and head must be IDs"),
        (json.dumps({**two(), "current": "a\nb"}), "current and head must be IDs"),
        (json.dumps({**two(), "pending": {"0004": True}}), "pending must be a list"),
        (json.dumps({**two(), "pending": ["0005"]}), "pending must be a list"),
        (json.dumps({**two(), "pending": [{"id": "0005"}]}), "pending must be a list"),
        (json.dumps({**two(), "pending": [{"id": "0005", "reversible": "false"}]}), "pending must be a list"),
        (json.dumps({**two(), "pending": two()["pending"] * 2}), "pending twice"),
        (json.dumps(two(current="0004")), "or pending and current"),
        (json.dumps({**two(), "head": "0004"}), "head is not the last of the pending migrations"),
    ],
)
def test_anything_else_is_an_error_that_repeats_none_of_it(compose, said, fault):
    with pytest.raises(ProductionError) as raised:
        asked(compose(), [sys.executable, "-c", f"print(bytes.fromhex({said.encode().hex()!r}).decode())"])
    assert raised.value.culprit == "service migrate" and fault in raised.value.cause
    assert "(x-migrations.plan)" in raised.value.cause and "hunter2" not in str(raised.value)
    assert '"reversible"' in raised.value.remedy


def test_a_program_that_fails_is_shown_without_secrets(compose):
    with pytest.raises(ProductionError) as raised:
        asked(compose(), ["sh", "-c", "echo no route to postgresql://tria:hun:ter2@db/tria; exit 7"])
    assert raised.value.culprit == "service migrate" and "`sh -c" in raised.value.cause
    assert "ended with 7" in raised.value.cause and "no route to postgresql://tria:********@db" in raised.value.cause


def test_one_that_does_not_end_leaves_no_container(compose, tmp_path):
    migrations = _migrations.Migrations(compose(), "migrate", {"plan": ["sleep", "30"], "undo": []})
    with pytest.raises(ProductionError, match=r"service migrate: `sleep 30` did not end within 1 s"):
        migrations.plan(timeout=1)
    run, removal = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    name = run.split("--name ")[1].split()[0]
    assert removal == f"rm --force {name}" and name.startswith("shop-migrate-run-")


def test_a_container_that_stays_is_told(compose):
    with pytest.raises(TimedOut, match="did not end within 1 s. Container shop-migrate-run-[0-9a-f]{12} may still run"):
        compose(removed=1).run("migrate", ["sleep", "30"], 1)


@pytest.mark.parametrize("head", ["0003", None])
def test_undo_goes_to_the_head_and_looks_whether_it_is_there(compose, tmp_path, head):
    plan = json.dumps({**two(), "current": head})
    settings = {"plan": saying(plan), "undo": ["sh", "-c", f"echo --to=$0 > {tmp_path}/went", "{head}"]}
    migrations = _migrations.Migrations(compose(), "migrate", settings)
    migrations.undo(head)
    assert (tmp_path / "went").read_text(encoding="utf-8") == f"--to={head or 'base'}\n"
    with pytest.raises(ProductionError, match=f"ended well, but the schema is at {head or 'no migration'} instead of"):
        migrations.undo("0002")


def test_an_undo_that_fails_is_an_error(compose):
    migrations = _migrations.Migrations(compose(), "migrate", {"plan": saying("{}"), "undo": ["false", "{head}"]})
    with pytest.raises(ProductionError, match="service migrate: `false 0003` ended with 1"):
        migrations.undo("0003")


def test_what_ran_and_what_of_it_cannot_be_undone():
    before = two(reversible=False)
    assert _migrations.ran(before, after(0, False)) == [] == _migrations.irreversible(before, after(0, False))
    assert _migrations.ran(before, after(1, False)) == ["0004"]
    assert _migrations.irreversible(before, after(1, False)) == []
    assert _migrations.ran(before, after(2, False)) == ["0004", "0005"]
    assert _migrations.irreversible(before, after(2, False)) == ["0005"]
    assert _migrations.irreversible(two(), after(2)) == []


def test_the_error_that_stops_a_revert_names_both_ways_on():
    error = _migrations.stopped(["0005"], "20261122T1", "20261121T1", "/opt/shop/backups/shop-1.dump")
    assert error.culprit == "release 20261122T1" and error.as_result()["irreversible"] == ["0005"]
    assert "migration 0005 ran and cannot be undone, so nothing was reverted" in error.cause
    assert "(1) Correct what failed and deploy again" in error.remedy
    command = "ansible-playbook tria.production.rollback -e release=20261121T1 -e restore_database=true"
    assert error.remedy.endswith(command) and "since its backup /opt/shop/backups/shop-1.dump" in error.remedy


def test_without_a_backup_there_is_one_way_on():
    error = _migrations.stopped(["0004", "0005"], "20261122T1", "20261121T1")
    assert "migrations 0004, 0005 ran" in error.cause and "rollback" not in error.remedy
    assert "No backup belongs to this deploy, so 20261121T1 cannot be brought back." in error.remedy
