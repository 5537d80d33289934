# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollout would do, told without touching anything. Private to the collection."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases.store import Releases
from ansible_collections.tria.production.plugins.module_utils._rollout import containers as _containers
from ansible_collections.tria.production.plugins.module_utils._rollout import journal
from ansible_collections.tria.production.plugins.module_utils._rollout import told as _told
from ansible_collections.tria.production.plugins.module_utils._rollout.containers import Containers, Nothing
from ansible_collections.tria.production.plugins.module_utils._rollout.edge import EdgeOf
from ansible_collections.tria.production.plugins.module_utils._rollout.release import Release, Service
from ansible_collections.tria.production.plugins.module_utils._rollout.told import Options, Told


def foreseen(options: Options, state: str) -> dict[str, t.Any]:
    """The module's return values for check mode: nothing is run, not even the edge is asked."""
    told, begun = Told(), journal.read(options.root)
    name = options.release or (begun["release"] if begun else "")
    if not name or not os.path.isdir(Releases(options.root).path(name)):
        told.note_change(bool(name))  # a release that is not staged in check mode either
        return told.as_dict()
    release = Release(options.root, name)
    engine = _engine(options.root, release.project)
    for one in release.services.values():
        told.note(one.name, _told.NONE)
        if state != "finished" and options.release:
            told.note(one.name, _missing(options.root, release, one, engine))
        if state != "present" and engine.others(one):
            told.note(one.name, _told.REMOVED)
    if state != "present":
        for one in engine.look():
            if not options.release or _containers.service_of(one) not in release.services:
                told.note(_containers.service_of(one), _told.REMOVED)
        told.note_change(bool(begun))
    return told.as_dict()


def _missing(root: str, release: Release, service: Service, engine: Containers) -> str:
    if not service.beside:
        done = engine.applied(service, release.legacy)
        return _told.NONE if done else _told.RAN if service.one_shot else _told.UPDATED
    if len(engine.wanted(service)) < service.replicas:
        return _told.REPLACED
    return _told.NONE if not service.edge or EdgeOf(root, service, engine).written() else _told.SWITCHED


def _engine(root: str, project: str) -> Containers:
    try:
        return Containers(root, project)
    except (ProductionError, MissingLibrary):
        return Nothing(root, project)  # a host that is not provisioned yet
