# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells the module who deploys: only the controller knows its own process."""

from __future__ import annotations

import getpass
import os
import socket
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tria.production.plugins.module_utils._lock import process_space, process_started


class ActionModule(ActionBase):
    """Runs the module with the owner filled in."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        pid = os.getppid()  # a task runs in a worker, whose parent is ansible-playbook
        owner = {
            "user": getpass.getuser(),
            "host": socket.gethostname(),
            "pid": pid,
            "started": process_started(pid),
            "process_space": process_space(),
        }
        result.update(self._execute_module(module_args={**self._task.args, "owner": owner}, task_vars=task_vars))
        return result
