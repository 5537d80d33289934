# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the report on the controller, whatever host the task is for."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils import _report
from ansible_collections.tria.production.plugins.modules import stack_report
from ansible_collections.tria.production.plugins.plugin_utils._on_controller import ControllerAction


class ActionModule(ControllerAction):
    """`stack_report` without a module."""

    spec = {"argument_spec": stack_report.argument_spec()}

    def work(self, options: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
        return _report.report(options, check_mode)
