# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release brought to run on this host, and what it replaced taken away afterwards. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._migrations import Migrations
from ansible_collections.tria.production.plugins.module_utils._releases.store import Releases
from ansible_collections.tria.production.plugins.module_utils._rollout import journal
from ansible_collections.tria.production.plugins.module_utils._rollout import told as _told
from ansible_collections.tria.production.plugins.module_utils._rollout.holding import at_work, clear, hold, lead
from ansible_collections.tria.production.plugins.module_utils._rollout.release import Release, Service
from ansible_collections.tria.production.plugins.module_utils._rollout.steps import Steps
from ansible_collections.tria.production.plugins.module_utils._rollout.told import Options


def present(options: Options) -> dict[str, t.Any]:
    """Brings the release to run, beside what it replaces; returns the module's return values.

    Raises `ProductionError`, with those values as details. What ran before still runs then, and requests go there again;
    the journal tells of it.
    """
    with at_work(options, Release(options.root, options.release)) as steps:
        written = journal.read(options.root)
        resumed = written and written["release"] == options.release
        services = steps.release.ordered()
        missing = [one for one in services if not steps.complete(one)]
        if not missing and (not resumed or {one.name for one in services if one.beside} <= set(written["done"])):
            for one in services:
                steps.told.note(one.name, _told.NONE)
            return steps.told.as_dict()
        done = [one.name for one in services if one.beside and one not in missing]
        current = Releases(options.root).current()
        begun = journal.begin(options.root, options.deploy, options.release, current, done, options.backup)
        try:
            for one in services:
                options.go_on()
                _bring(steps, one, begun, one in missing)
        except ProductionError as exc:
            _lead_back(steps, begun, exc)
            raise
        return steps.told.as_dict()


def finished(options: Options) -> dict[str, t.Any]:
    """Takes away what the release has replaced, once nobody is connected to it; returns the module's return values."""
    with at_work(options, Release(options.root, options.release)) as steps:
        for one in steps.release.ordered():
            if steps.awaited(one) or (one.beside and not steps.complete(one)):
                hold(steps, one)
        clear(steps)
        steps.told.note_change(journal.remove(options.root))
        return steps.told.as_dict()


def _lead_back(steps: Steps, begun: dict[str, t.Any], failure: ProductionError) -> None:
    """No request more for what has failed; the rest of the way back is `reverted`'s.

    Not where the stack is another deploy's by now, nor where it is for a person to say which release fits the schema.
    """
    ran = [one for plan in (begun["migrations"] or {}).values() for one in plan["pending"]]
    if not begun["previous"] or failure.details.get("lock_lost") or not all(one["reversible"] for one in ran):
        return
    try:
        lead(steps.of(Release(steps.options.root, begun["previous"])))
    except ProductionError as exc:
        failure.details["also"] = f"Requests could not be led back either: {exc}"


def _bring(steps: Steps, service: Service, begun: dict[str, t.Any], missing: bool) -> None:
    """As `hold`, with what new containers have to go through: a look at the migrations before, a window afterwards."""
    if service.migrations and missing and service.name not in (begun["migrations"] or {}):
        plan = Migrations(steps.release.compose, service.name, service.migrations).plan()
        begun["migrations"] = {**(begun["migrations"] or {}), service.name: plan}
        journal.write(steps.options.root, begun)
    if service.beside and not missing and service.name in begun["done"]:
        steps.told.note(service.name, _told.NONE)
        return
    led = hold(steps, service)
    if service.beside and service not in steps.deferred:
        led = [service, *led]
    for one in led:
        steps.observe(one)
        begun["done"] = [*begun["done"], one.name]
        journal.write(steps.options.root, begun)
