# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a playbook goes on after a task has failed. Private to the collection."""

from __future__ import annotations

import typing as t


def rescued(task: t.Any) -> bool:
    """Whether a `rescue` section around the task takes over when it fails.

    Only failures within `block` are rescued: those within `rescue` and `always` are for the block around it.
    """
    inner, outer = task, task._parent
    while outer is not None:
        if getattr(outer, "rescue", None) and not _within(inner, [*outer.rescue, *outer.always]):
            return True
        inner, outer = outer, outer._parent
    return False


def _within(entry: t.Any, section: list[t.Any]) -> bool:
    return entry._uuid in {one._uuid for one in section}
