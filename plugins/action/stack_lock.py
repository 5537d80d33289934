# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells the module who deploys, and which deploys of this controller are gone: only it knows its own processes."""

from __future__ import annotations

import getpass
import os
import socket
import time
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tria.production.plugins.module_utils import _lock


class ActionModule(ActionBase):
    """Runs the module with the owner filled in; once more when who holds the lock turns out to be gone."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        ansible_playbook = _lock.process(os.getppid())  # a task runs in a worker of it
        arguments = {
            **self._task.args,
            "owner": {"user": getpass.getuser(), "host": socket.gethostname(), **ansible_playbook},
            "dead": None,
        }
        found = self._execute_module(module_args=arguments, task_vars=task_vars)
        holder = found.get("owner") if found.get("failed") and not found.get("lock_lost") else None
        if holder and _lock.ended(holder):
            found = self._execute_module(module_args={**arguments, "dead": holder}, task_vars=task_vars)
        result.update(found)
        result["renewed_at"] = time.time()
        return result
