# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin says who deploys: the `ansible-playbook` process, whatever the task says."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
import types

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.tria.production.plugins.action.stack_lock import ActionModule
from ansible_collections.tria.production.plugins.module_utils import _lock


@pytest.fixture
def executed(monkeypatch):
    """Run the plugin for a task with the given arguments; gives what the module got, and the result.

    The module answers with `answers`, then that it took the lock.
    """
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    seen, answers = [], []

    def module(self, module_args, task_vars):
        seen.append((module_args, task_vars))
        return answers.pop(0) if answers else {"changed": False, "note": "taken over"}

    monkeypatch.setattr(ActionBase, "_execute_module", module)

    def run(*results, **args):
        answers.extend(results)
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
    assert seen == [({"path": "/opt/tria/lock", "lease": 60, "owner": owner, "dead": None}, {"a": 1})]
    assert owner["started"] and owner["process_space"]
    assert abs(result.pop("renewed_at") - time.time()) < 10 and result == {"changed": False, "note": "taken over"}


def test_a_task_cannot_pose_as_somebody_else(executed):
    seen, _result = executed(path="/opt/tria/lock", owner={"user": "somebody else"})
    assert seen[0][0]["owner"]["pid"] == os.getppid()
    seen, _result = executed(path="/opt/tria/lock", dead={"user": "somebody else"})
    assert seen[-1][0]["dead"] is None


def refused(process):
    """What the module says when that process holds the lock."""
    return {"failed": True, "owner": {"user": "anna", "host": "here", **process}}


def test_a_deploy_of_this_controller_that_is_gone(executed):
    """Only the controller can see that; the host may be another machine."""
    with subprocess.Popen(["true"]) as process:
        gone = refused(_lock.process(process.pid))
    seen, result = executed(gone, path="/opt/tria/lock")
    assert [arguments["dead"] for arguments, _vars in seen] == [None, gone["owner"]] and "failed" not in result


@pytest.mark.parametrize(
    "answer",
    [
        refused(_lock.process(os.getpid())),
        refused({**_lock.process(os.getpid()), "started": "1", "process_space": "another controller"}),
        {**refused({**_lock.process(os.getpid()), "started": "1"}), "lock_lost": True},
        {"failed": True},
    ],
)
def test_a_refusal_that_stands(executed, answer):
    seen, result = executed(answer, path="/opt/tria/lock")
    assert len(seen) == 1 and result["failed"]
