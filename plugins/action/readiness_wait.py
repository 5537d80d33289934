# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells the live view, while the module waits on its host, what it still waits for."""

from __future__ import annotations

import copy
import json
import secrets
import shlex
import threading
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.tria.production.plugins.plugin_utils._board import Board, note_name

_OFTEN = 3.0  # s between two looks at most; a look is one `cat` on the host


class ActionModule(ActionBase):
    """Runs the module. When a live view is looking, the module writes down what is missing, and this passes it on."""

    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        wrap_async = self._task.async_val and not self._connection.has_native_async
        board = None if self._task.async_val or self._task.no_log else Board.found()
        if board:
            result.update(self._watched(board, task_vars or {}))
        else:
            result.update(self._execute_module(task_vars=task_vars, wrap_async=wrap_async))
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _watched(self, board: Board, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        path = f"/tmp/.readiness-{secrets.token_hex(16)}"
        note = note_name(self._task._uuid, task_vars.get("inventory_hostname", ""))
        board.write(note, {"names": _names(self._task.args.get("targets"))})
        over = threading.Event()
        # A daemon: when the module is done, nothing waits for a look that is still under way.
        threading.Thread(target=self._pass_on, args=(board, note, path, over), daemon=True).start()
        result: dict[str, t.Any] = {}
        try:
            result = self._execute_module(module_args={**self._task.args, "progress": path}, task_vars=task_vars)
        finally:
            over.set()
            if "overall_status" not in result and not result.get("unreachable"):  # it may have been cut off
                self._low_level_execute_command(f"rm -f {shlex.quote(path)} {shlex.quote(path + '.new')}")
        return result

    def _pass_on(self, board: Board, note: str, path: str, over: threading.Event) -> None:
        """Looks at the module's file now and then. Its first failure, for whatever reason, is noted and its last look."""
        look = self._beside()
        while not over.wait(min(_OFTEN, board.every / 3)):
            try:
                answer = look._low_level_execute_command(f"cat {shlex.quote(path)}")
                if answer["rc"] == 0 and not over.is_set():  # else: nothing written yet
                    board.write(note, json.loads(answer["stdout"]))
            except (AnsibleError, OSError, ValueError) as exc:
                if not over.is_set():
                    board.write(note, {"trouble": str(exc)})
                return

    def _beside(self) -> ActionModule:
        """This plugin with a connection of its own: the module's is busy, and neither plugin is made for two at a time."""
        look = copy.copy(self)
        look._connection = copy.copy(self._connection)
        look._connection.become = copy.copy(self._connection.become)
        return look


def _names(targets: t.Any) -> list[str]:
    """Whatever the task has there; the module says what is wrong with it."""
    return [str(one.get("name")) for one in targets if isinstance(one, dict)] if isinstance(targets, list) else []
