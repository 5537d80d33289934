# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells the module who deploys: only the controller knows."""

from __future__ import annotations

import getpass
import socket
import typing as t

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Runs the module with `by` filled in."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        by = {"user": getpass.getuser(), "host": socket.gethostname()}
        result.update(self._execute_module(module_args={"by": by, **self._task.args}, task_vars=task_vars))
        return result
