# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries the archive between host and controller: whole files through the connection, not through memory."""

from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Runs the module with a path on the host, in the task's own folder there, which Ansible removes afterwards."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        state, path = self._task.args.get("state"), self._task.args.get("path")
        if state not in ("saved", "loaded") or not path or self._task.check_mode:
            result.update(self._execute_module(task_vars=task_vars))  # which says what is wrong, if anything is
            return result
        local = os.path.expanduser(path)
        folder = self._connection._shell.tmpdir or self._make_tmp_path()
        # Of the same name: some connections fetch under the name that a file has there, several at a time.
        remote = self._connection._shell.join_path(folder, os.path.basename(local))
        arguments = {**self._task.args, "path": remote}
        if state == "saved":
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
            if not result.get("failed"):
                os.makedirs(os.path.dirname(local), mode=0o700, exist_ok=True)
                os.close(os.open(local, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))  # before anything is in it
                self._connection.fetch_file(remote, local)
            return result
        try:
            self._transfer_file(local, remote)
            self._fixup_perms2((folder, remote), execute=False)
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        finally:
            os.unlink(local)
        return result
