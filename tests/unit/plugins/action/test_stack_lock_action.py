# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin says who deploys: the `ansible-playbook` process, whatever the task says."""

from __future__ import annotations

import getpass
import os
import socket
import types

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.tria.production.plugins.action.stack_lock import ActionModule
from ansible_collections.tria.production.plugins.module_utils import _lock


@pytest.fixture
def executed(monkeypatch):
    """Run the plugin for a task with the given arguments; gives what the module got, and the result."""
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    seen = []

    def module(self, module_args, task_vars):
        seen.append((module_args, task_vars))
        return {"changed": False, "note": "taken over"}

    monkeypatch.setattr(ActionBase, "_execute_module", module)

    def run(**args):
        action = ActionModule.__new__(ActionModule)
        action._task = types.SimpleNamespace(args=args)
        return seen, action.run(task_vars={"a": 1})

    return run


def test_the_owner_is_filled_in(executed):
    seen, result = executed(path="/opt/tria/lock", lease=60)
    parent = os.getppid()
    owner = {
        "user": getpass.getuser(),
        "host": socket.gethostname(),
        "pid": parent,
        "started": _lock.process_started(parent),
        "process_space": _lock.process_space(),
    }
    assert seen == [({"path": "/opt/tria/lock", "lease": 60, "owner": owner}, {"a": 1})]
    assert owner["started"] and owner["process_space"] and result == {"changed": False, "note": "taken over"}


def test_a_task_cannot_pose_as_somebody_else(executed):
    seen, _result = executed(path="/opt/tria/lock", owner={"user": "somebody else"})
    assert seen[0][0]["owner"]["pid"] == os.getppid()
