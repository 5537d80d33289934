# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host put back on the release that was good, from whatever a rollout has left there. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils import _migrations
from ansible_collections.tria.production.plugins.module_utils._migrations import Migrations
from ansible_collections.tria.production.plugins.module_utils._rollout import containers as _containers
from ansible_collections.tria.production.plugins.module_utils._rollout import edge, journal
from ansible_collections.tria.production.plugins.module_utils._rollout import told as _told
from ansible_collections.tria.production.plugins.module_utils._rollout.holding import at_work, clear, hold, lead
from ansible_collections.tria.production.plugins.module_utils._rollout.release import Release, Service
from ansible_collections.tria.production.plugins.module_utils._rollout.steps import Steps
from ansible_collections.tria.production.plugins.module_utils._rollout.told import Options


def reverted(options: Options) -> dict[str, t.Any]:
    """Puts the host on `release`, the good one, or before the first deploy takes away all containers.

    Returns the module's return values. Raises `ProductionError`: also when a migration ran that cannot be undone, and
    then before anything is touched.
    """
    begun = journal.read(options.root)
    if not options.release:
        return _emptied(options, begun)
    with at_work(options, Release(options.root, options.release)) as steps:
        failed = Release(options.root, begun["release"]) if begun and begun["migrations"] else None
        undo = _to_undo(options, failed, begun) if failed else {}
        lead(steps)
        services = steps.release.ordered()
        for one in services:
            options.go_on()
            if one.beside and steps.sound(one) and steps.complete(one):
                steps.told.note(one.name, _told.NONE)
            elif not one.one_shot:
                hold(steps, one)
        clear(steps)
        for name, head in undo.items():
            with steps.told.timed("migrations"):
                _of(failed, name).undo(head)
            steps.told.note(name, _told.UNDONE)
        for one in services:
            if one.one_shot and _is_of_another(steps, one):
                steps.in_place(one)
        steps.told.note_change(journal.remove(options.root))
        steps.verify()
        return steps.told.as_dict()


def _emptied(options: Options, begun: dict[str, t.Any]) -> dict[str, t.Any]:
    """There was nothing before the first deploy, so there will be no containers; volumes stay."""
    if not begun:
        return _told.Told().as_dict()
    with at_work(options, Release(options.root, begun["release"])) as steps:
        found = steps.engine.look()
        grace = {one.name: one.stop_grace_period for one in steps.release.services.values()}
        with steps.told.timed("remove"):
            for name in [one.name for one in reversed(steps.release.ordered())] + [""]:
                own = [one for one in found if _containers.service_of(one) == name or name not in grace]
                steps.engine.stop(own, grace.get(name, 10.0))
                steps.engine.remove(own)
                found = [one for one in found if one not in own]
                for one in own:
                    steps.told.note(_containers.service_of(one), _told.REMOVED)
        edge.forget_files(options.root, ())
        steps.told.note_change(journal.remove(options.root))
        return steps.told.as_dict()


def _to_undo(options: Options, failed: Release, begun: dict[str, t.Any]) -> dict[str, str | None]:
    """By service the head to which its migrations are undone; raises when that cannot be for one of them."""
    found, stuck = {}, []
    for name, before in begun["migrations"].items():
        if not before["pending"]:
            continue
        now = _of(failed, name).plan()
        stuck += _migrations.irreversible(before, now)
        if _migrations.ran(before, now):
            found[name] = before["current"]
    if stuck:
        journal.write(options.root, {**begun, "phase": journal.STOPPED})
        raise _migrations.stopped(stuck, failed.id, options.release, begun.get("backup", ""))
    return found


def _of(release: Release, name: str) -> Migrations:
    return Migrations(release.compose, name, release.services[name].migrations or {})


def _is_of_another(steps: Steps, service: Service) -> bool:
    """Whether the failed release left its own container of a one-shot."""
    return any(one["Config"]["Image"] != service.image for one in steps.engine.look(service.name))
