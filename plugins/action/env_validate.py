# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Validates on the controller what is given as text; files and a process's environment are the host's."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.tria.production.plugins.modules import env_validate
from ansible_collections.tria.production.plugins.plugin_utils._on_controller import ControllerAction

_OF_THE_HOST = {"files", "process_environment", "schema_file", "example", "example_files"}


class ActionModule(ControllerAction):
    """`env_validate`, without a module where it needs nothing of the host, or the host is the controller."""

    spec = env_validate.SPEC

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        args = self._task.args
        if isinstance(args.get("environment"), dict):
            args = {**args, "environment": json.dumps(args["environment"], default=str)}
        if _OF_THE_HOST & set(args) or args.get("compose") and not self._is_here():
            return self._execute_module(module_args=args, task_vars=task_vars)
        return super().run(tmp, task_vars)

    def _is_here(self) -> bool:
        """Whether the task would run on this machine, as the user that this process has."""
        return self._connection.transport == "local" and self._connection.become is None

    def work(self, options: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
        outcome = env_validate.validated(options, os.environ)
        warnings = {"warnings": [outcome.table()]} if outcome.findings else {}
        return {**env_validate.result_of(outcome), **warnings}
