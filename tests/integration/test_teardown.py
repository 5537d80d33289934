# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stack that other tests share is removed, once nobody needs it any more (see conftest.py)."""

from __future__ import annotations

import os
import re

import docker
import pytest
from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._backup import schedule
from deployed_stack import snapshot

YEARLY = {"database_backup_schedule": "yearly", "database_backup_schedule_cron": "@yearly"}


def scheduled(stack):
    """What is there of a schedule."""
    return {os.path.basename(path) for path in schedule.Places(stack.name).all if os.path.lexists(path)}


def kept(stack):
    """The files of the backups, without what belongs to the schedule."""
    folder = stack.root / "backups"
    return {path: seen for path, seen in snapshot(folder).items() if path != str(folder) and ".schedule-" not in path}


@pytest.mark.slow
def test_a_schedule_comes_and_goes_with_its_variable(stack):
    assert not scheduled(stack)
    comes, goes = "Have the backups made on a schedule", "Have no schedule"
    for given, changes in ((YEARLY, [comes]), (YEARLY, []), ({}, [goes]), ({}, [])):
        run = stack.deploy(**given)
        assert run.status == 0 and re.findall("~ localhost: (.* schedule)", run.output) == changes, run.output
        assert bool(scheduled(stack)) == bool(given)


def test_teardown_removes_all_but_the_backups(stack):
    made = stack.deploy(**YEARLY)
    assert made.status == 0 and len(scheduled(stack)) >= 4, made.output
    made = stack.playbook("backup")
    assert made.status == 0 and stack.backups(), made.output
    backups = kept(stack)
    run = stack.playbook("teardown", teardown_confirm=stack.name)
    assert run.status == 0, run.output
    assert not scheduled(stack)
    assert stack.containers() == {} and not stack.facts.exists()
    client = docker.from_env()
    try:
        assert client.volumes.list(filters={"label": f"{_docker.PROJECT}={stack.name}"}) == []
    finally:
        client.close()
    assert [path.name for path in stack.root.iterdir()] == ["backups"]
    assert backups and kept(stack) == backups
