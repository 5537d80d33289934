# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin says who deploys, unless the task does."""

from __future__ import annotations

import getpass
import socket
import types

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.tria.production.plugins.action.stack_release import ActionModule

ME = {"user": getpass.getuser(), "host": socket.gethostname()}


@pytest.mark.parametrize(("args", "by"), [({}, ME), ({"by": {"user": "anna"}}, {"user": "anna"})])
def test_who_deploys(monkeypatch, args, by):
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    monkeypatch.setattr(ActionBase, "_execute_module", lambda self, module_args, task_vars: {"args": module_args})
    action = ActionModule.__new__(ActionModule)
    action._task = types.SimpleNamespace(args={"state": "staged", **args})
    assert action.run() == {"args": {"state": "staged", "by": by}}
