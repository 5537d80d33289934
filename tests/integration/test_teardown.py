# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stack that other tests share is removed, once nobody needs it any more (see conftest.py)."""

from __future__ import annotations

import docker
from ansible_collections.tria.production.plugins.module_utils import _docker
from deployed_stack import snapshot


def test_teardown_removes_all_but_the_backups(stack):
    made = stack.playbook("backup")
    assert made.status == 0 and stack.backups(), made.output
    backups = snapshot(stack.root / "backups")
    run = stack.playbook("teardown", teardown_confirm=stack.name)
    assert run.status == 0, run.output
    assert stack.containers() == {} and not stack.facts.exists()
    client = docker.from_env()
    try:
        assert client.volumes.list(filters={"label": f"{_docker.PROJECT}={stack.name}"}) == []
    finally:
        client.close()
    assert [path.name for path in stack.root.iterdir()] == ["backups"]
    assert snapshot(stack.root / "backups") == backups
