# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs an engine in the task's own process on the controller. Private to the collection.

A module would have to be packed, and started in a Python of its own that compiles it all: half a second for work that takes
a tenth of one.
"""

from __future__ import annotations

import abc
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


class ControllerAction(ActionBase):
    """A task that needs no host; `work` is the engine, `spec` what the module of the same name takes."""

    _requires_connection = False
    spec: dict[str, t.Any] = {}

    @abc.abstractmethod
    def work(self, options: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
        """Returns the task's result; raises `ProductionError`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(**self.spec)
        try:
            result.update({"changed": False, **self.work(options, self._task.check_mode)})
        except ProductionError as error:
            result.update(error.as_result(), failed=True)
        return result
