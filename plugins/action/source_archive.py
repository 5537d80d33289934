# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packs on the controller, whatever host the task is for."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.modules import source_archive
from ansible_collections.tria.production.plugins.plugin_utils._on_controller import ControllerAction


class ActionModule(ControllerAction):
    """`source_archive` without a module."""

    spec = {"argument_spec": source_archive.argument_spec()}

    def work(self, options: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
        return source_archive.packed(options, check_mode)
