# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Validates on the controller what is given as text; files and a process's environment are the host's."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.modules import env_validate
from ansible_collections.tria.production.plugins.plugin_utils._on_controller import ControllerAction


class ActionModule(ControllerAction):
    """`env_validate`, without a module where it needs nothing of the host."""

    spec = env_validate.SPEC

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        if {"files", "example_files", "process_environment"} & set(self._task.args):
            return self._execute_module(task_vars=task_vars)
        return super().run(tmp, task_vars)

    def work(self, options: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
        outcome = env_validate.validated(options, {})
        warnings = {"warnings": [outcome.table()]} if outcome.findings else {}
        return {**env_validate.result_of(outcome), **warnings}
