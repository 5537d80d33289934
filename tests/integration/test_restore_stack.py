# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/restore.yml on the deployed stack: what was written after the backup is gone, and kept beside."""

from __future__ import annotations

import collections
import json
import pathlib
import threading
import time
import typing as t
import urllib.error
import uuid

import pytest
from deployed_stack import DeployedStack

DBNAME = "tria_aibpo"


class Visitors:
    """Somebody who looks at their profile again and again: every request reads the database.

    Slowly: the stack lets an address ask 600 times a minute, and the validation asks as well.
    """

    def __init__(self, stack: DeployedStack, count: int = 2) -> None:
        self._stack = stack
        self._over = threading.Event()
        self.answers: collections.Counter[str] = collections.Counter()
        token = account(stack)[1]
        self._threads = [threading.Thread(target=self._ask, args=(token,)) for _each in range(count)]

    def _ask(self, token: str) -> None:
        while not self._over.is_set():
            try:
                status, _body = self._stack.get("/users/profile", headers={"Authorization": f"Bearer {token}"})
            except urllib.error.HTTPError as exc:
                status = exc.code
            self.answers[str(status)] += 1
            self._over.wait(0.4)

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: t.Any) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def account(stack: DeployedStack) -> tuple[str, str]:
    """(name, token) of a new account."""
    name, password = f"restore-{uuid.uuid4().hex[:12]}", "Restore-1-password"
    body = json.dumps({"username": name, "password": password}).encode()
    stack.get("/users/register", data=body, headers={"Content-Type": "application/json"}, method="POST")
    form = f"username={name}&password={password}".encode()
    return name, json.loads(stack.get("/users/login", data=form, method="POST")[1])["access_token"]


def names(stack: DeployedStack) -> set[str]:
    return {name for (name,) in stack.sql("SELECT datname FROM pg_database")}


@pytest.fixture
def tidy(stack: DeployedStack) -> t.Iterator[DeployedStack]:
    """The stack, from which what a restore leaves beside is removed in the end."""
    before = set((stack.root / "backups").glob("*"))
    yield stack
    for name in names(stack):
        if name.startswith(f"{DBNAME}_before_"):
            stack.sql(f'DROP DATABASE "{name}"', autocommit=True)
    for path in set((stack.root / "backups").glob("*")) - before:
        path.unlink()


def test_a_restore_of_the_running_stack(tidy: DeployedStack) -> None:
    made = tidy.playbook("backup")
    assert made.status == 0, made.output
    newest = tidy.backups()[-1]["dump"]["file"]
    later, _token = account(tidy)
    ids = {name: one["Id"] for name, one in tidy.containers().items()}
    with Visitors(tidy) as visitors:
        time.sleep(2)
        run = tidy.playbook("restore", database_restore_confirm=tidy.name)
        time.sleep(1)
    assert run.status == 0, run.output
    assert run.gates == ["plan", "lock", "backup", "restore", "readiness", "validation"]
    # The account is newer than the backup: 401 from the restored database on. At the swap, each may lose one request.
    assert visitors.answers["200"] > 0 < visitors.answers["401"], visitors.answers
    assert sum(visitors.answers.values()) - visitors.answers["200"] - visitors.answers["401"] <= 2, visitors.answers
    assert tidy.sql(f"SELECT count(*) FROM users WHERE username = '{later}'") == [(0,)]
    (before,) = [name for name in names(tidy) if name.startswith(f"{DBNAME}_before_")]
    assert before in run.output and newest in run.output
    assert tidy.sql(f"SELECT count(*) FROM users WHERE username = '{later}'", before) == [(1,)]
    assert {name: one["Id"] for name, one in tidy.containers().items()} == ids
    report = json.loads((tidy.reports / "latest" / "database-restore-report.json").read_text())
    assert report["overall_status"] == "READY" and newest in json.dumps(report["categories"]["Database"])
    kept = tidy.backups()[-1]
    assert kept["pinned"] and newest in kept["label"] and not (tidy.root / "lock").exists()

    undone = tidy.playbook("restore", database_restore_confirm=DBNAME, backup=kept["dump"]["file"])
    assert undone.status == 0, undone.output
    assert tidy.sql(f"SELECT count(*) FROM users WHERE username = '{later}'") == [(1,)]


def test_nobody_confirms(tidy: DeployedStack) -> None:
    tidy.playbook("backup")
    before = names(tidy), len(tidy.backups())
    for confirm in ({}, {"database_restore_confirm": "another"}):
        run = tidy.playbook("restore", **confirm)
        assert run.status != 0 and f"pass -e database_restore_confirm={tidy.name}" in run.output
        assert "backup" not in run.gates and (names(tidy), len(tidy.backups())) == before


def test_check_mode_verifies_and_says_what_it_would_do(tidy: DeployedStack) -> None:
    tidy.playbook("backup")
    before = names(tidy), sorted((tidy.root / "backups").iterdir())
    run = tidy.playbook("restore", "--check")
    assert run.status == 0 and tidy.backups()[-1]["dump"]["file"] in run.output and "would be restored" in run.output
    assert (names(tidy), sorted((tidy.root / "backups").iterdir())) == before


def test_a_damaged_backup_stops_it_before_anything(tidy: DeployedStack) -> None:
    tidy.playbook("backup")
    dump = pathlib.Path(tidy.root / "backups" / tidy.backups()[-1]["dump"]["file"])
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    before = names(tidy), len(tidy.backups())
    run = tidy.playbook("restore", database_restore_confirm=tidy.name)
    assert run.status != 0 and "is damaged" in run.output and "backup" not in run.gates
    assert (names(tidy), len(tidy.backups())) == before
