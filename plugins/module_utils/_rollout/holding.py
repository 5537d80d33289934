# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What bringing a release to run and going back to one have in common. Private to the collection."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes._base import Session
from ansible_collections.tria.production.plugins.module_utils._rollout import containers as _containers
from ansible_collections.tria.production.plugins.module_utils._rollout import drain, edge, journal
from ansible_collections.tria.production.plugins.module_utils._rollout import told as _told
from ansible_collections.tria.production.plugins.module_utils._rollout.containers import Containers
from ansible_collections.tria.production.plugins.module_utils._rollout.release import Release, Service
from ansible_collections.tria.production.plugins.module_utils._rollout.steps import Steps
from ansible_collections.tria.production.plugins.module_utils._rollout.told import Options


@contextlib.contextmanager
def at_work(options: Options, release: Release) -> t.Iterator[Steps]:
    """Alone on this host; whatever fails is raised as `ProductionError` that tells what was done until then."""
    docker = _deps.load("docker")
    with journal.alone(options.root, options.timeout), Session(secrets=options.secrets) as session:
        steps = Steps(options, release, Containers(options.root, release.project), session)
        try:
            yield steps
        except ProductionError as exc:
            exc.details = {**steps.told.as_dict(), **exc.details}
            raise
        except (docker.errors.DockerException, OSError) as exc:
            if getattr(exc, "errno", None):
                raise  # of a file; those of the Engine's connection have no number
            raise ProductionError(
                "Docker Engine", f"request failed: {exc}.", "Look at the Engine's own log.", **steps.told.as_dict()
            ) from exc


def hold(steps: Steps, service: Service) -> list[Service]:
    """Makes sure that the service runs as its release wants it, and that requests go there.

    Returns the services to which requests go only now that this one, their edge, was started.
    """
    if service.beside:
        started = steps.grow(service)
        if service.edge and (started or not steps.edge_of(service).in_force()):
            steps.switch(service)
    else:
        steps.in_place(service)
    return steps.confirm(service)


def lead(steps: Steps) -> None:
    """Points edges at containers of the release that run and are well: before anything that takes time."""
    for one in steps.release.ordered():
        if one.edge and steps.sound(one) and steps.edge_of(one).reachable() and not steps.edge_of(one).in_force():
            steps.switch(one)


def clear(steps: Steps) -> None:
    """Drains, stops and removes all containers that the release does not want, and the edge's files for them."""
    engine, leaving = steps.engine, []
    services = steps.release.services
    for one in services.values():
        others = engine.others(one)
        leaving += [drain.Leaving(each, one.drain, one.long_drain, one.stop_grace_period) for each in others]
    orphans = [one for one in engine.look() if _containers.service_of(one) not in services]
    leaving += [drain.Leaving(one, 0.0, 0.0, one["Config"].get("StopTimeout") or 10.0) for one in orphans]
    with steps.told.timed("drain"):
        cut = drain.out(engine, leaving)
    for one in leaving:
        steps.told.note(_containers.service_of(one.container), _told.REMOVED)
    steps.told.cut = cut
    steps.told.note_change(bool(edge.forget_files(steps.options.root, services.values())))
