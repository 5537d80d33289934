# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which failed target is the cause, and which are its victims: `depends_on`, and flows within flows.

Private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes._base import Target


def check(targets: t.Mapping[str, Target]) -> None:
    """Raises `ProductionError` for a dependency that does not exist or that leads back to where it began."""
    for target in targets.values():
        around = targets.get(target.within)
        if target.within and (around is None or around.kind != "flow" or around.options["repeat"]):
            raise ProductionError(
                target.name, f"within names {target.within}, which is no target with a flow that runs once.",
                "Name a flow without repeat.",
            )
        for name in target.depends_on:
            if name not in targets:
                raise ProductionError(
                    target.name, f"depends_on names {name}, which is no target.", f"Name one of {', '.join(targets)}."
                )
        if target.name in _reachable(target, targets):
            raise ProductionError(
                target.name, "depends on itself (depends_on, within).", "Take one dependency of the circle out."
            )


def causes(failed: t.Collection[str], targets: t.Mapping[str, Target]) -> dict[str, list[str]]:
    """By name of each victim: the failed targets that it depends on, however remotely, and that are no victims."""
    behind = {name: [one for one in _reachable(targets[name], targets) if one in failed] for name in targets}
    return {name: [one for one in found if not behind[one]] for name, found in behind.items() if found}


def _reachable(target: Target, targets: t.Mapping[str, Target]) -> list[str]:
    found: list[str] = []
    ahead = list(target.depends_on)
    while ahead:
        name = ahead.pop(0)
        if name not in found:
            found.append(name)
            ahead += targets[name].depends_on
    return found
