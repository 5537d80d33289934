# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that lead a service to a release: in place, or beside what runs. Each does what is missing. Private."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _probes, _waiting
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes._base import Session
from ansible_collections.tria.production.plugins.module_utils._releases.staging import GENERATION
from ansible_collections.tria.production.plugins.module_utils._rollout import containers as _containers
from ansible_collections.tria.production.plugins.module_utils._rollout import told as _told
from ansible_collections.tria.production.plugins.module_utils._rollout.containers import Container, Containers
from ansible_collections.tria.production.plugins.module_utils._rollout.edge import EdgeOf
from ansible_collections.tria.production.plugins.module_utils._rollout.release import Edge, Release, Service
from ansible_collections.tria.production.plugins.module_utils._rollout.told import Options, Told
from ansible_collections.tria.production.plugins.module_utils._rollout.window import Window

_SMOKE = 30.0  # s for the smoke targets of containers that are healthy
_STABLE = 1.0  # s for which new containers must have been good without a break
_ADDRESS, _EDGE = "{address}", "{edge}"


class Steps:
    """For one release on this host. `deferred` are services whose edge must be started (anew) to see its file."""

    def __init__(self, options: Options, release: Release, engine: Containers, session: Session) -> None:
        self.options = options
        self.release = release
        self.engine = engine
        self.told = Told()
        self.deferred: list[Service] = []
        self._session = session

    def of(self, release: Release) -> Steps:
        """Those of another release on the same host."""
        return Steps(self.options, release, self.engine, self._session)

    def edge_of(self, service: Service) -> EdgeOf:
        return EdgeOf(self.options.root, service, self.engine)

    def complete(self, service: Service) -> bool:
        """Whether all of it that is wanted runs, and requests go there."""
        if not service.beside:
            return self.engine.applied(service, self.release.legacy)
        there = len(self.engine.wanted(service)) >= service.replicas
        return there and (service.edge is None or self.edge_of(service).in_force())

    def sound(self, service: Service) -> bool:
        """Whether all of its generation run and none is known to be ill; proves less than waiting for it."""
        found = self.engine.wanted(service)
        health = [(one["State"].get("Health") or {}).get("Status") for one in found]
        return len(found) >= service.replicas and all(one in (None, "healthy") for one in health)

    def in_place(self, service: Service) -> None:
        """Lets Compose bring the service to its definition, and waits until it is ready, or has succeeded."""
        begun, before = time.monotonic(), self._starts(service)
        if self.engine.applied(service, self.release.legacy):
            self.told.note(service.name, _told.NONE)
            return
        with self.told.timed("in_place"):
            self.release.compose.up([service.name], self.options.timeout)
            self.ready(service, service.replicas, {})
            self.engine.note_applied(service)
        changed = self._starts(service) != before
        action = _told.NONE if not changed else _told.RAN if service.one_shot else _told.UPDATED
        self.told.note(service.name, action, time.monotonic() - begun)

    def grow(self, service: Service) -> bool:
        """Starts what is missing of its generation beside all others, step by step; True when that was anything.

        Returns when all of it is ready and has stayed so. `parallelism` and `delay` matter only where others run.
        """
        begun, started = time.monotonic(), False
        with self.told.timed("start"):
            self.engine.forget_dead(service)
            there = len(self.engine.wanted(service))
            while there < service.replicas:
                self.options.go_on()
                if started:
                    time.sleep(service.delay)
                existing, missing = len(self.engine.look(service.name)), service.replicas - there
                step = min(missing, service.parallelism or missing) if existing > there else missing
                # Compose counts every container of the service, of whatever generation
                scale = f"{service.name}={existing + step}"
                self.release.compose.up([service.name], self.options.timeout, "--no-recreate", "--scale", scale)
                started, there = True, there + step
                self._ready_generation(service, there)
            if not started:
                self._ready_generation(service, service.replicas)
        self.told.note(service.name, _told.REPLACED if started else _told.NONE, time.monotonic() - begun)
        return started

    def switch(self, service: Service) -> None:
        """Leads requests to its generation, at once or, with an edge that cannot know of it yet, by and by."""
        edge, begun = self.edge_of(service), time.monotonic()
        with self.told.timed("switch"):
            if not edge.reachable():
                if service.edge.service not in self.release.services:
                    raise ProductionError(service.name, f"its edge {service.edge.service} is no service of it.")
                edge.write()
                self.deferred.append(service)
                return
            edge.switch()
        self.told.note_switch()
        self.told.note(service.name, _told.SWITCHED, time.monotonic() - begun)

    def awaited(self, edge: Service) -> bool:
        """Whether requests of a deferred service wait for this edge."""
        return any(one.edge and one.edge.service == edge.name for one in self.deferred)

    def confirm(self, edge: Service) -> list[Service]:
        """Of the services behind an edge that was started the deferred ones, once requests go where they should."""
        found, started = [], self.told.services[edge.name]["action"] != _told.NONE
        for service in self.release.services.values():
            if not service.edge or service.edge.service != edge.name or not (started or service in self.deferred):
                continue
            leading = self.edge_of(service)
            if not leading.reachable():
                raise ProductionError(
                    edge.name, f"no running container of it sees {leading.path} as {service.edge.path}.",
                    f"Nothing else may be mounted there; see x-rollout.edge.path of {service.name}.",
                )
            leading.await_confirmation()
            if service in self.deferred:
                self.deferred.remove(service)
                self.told.note_switch()
                self.told.note(service.name, _told.SWITCHED)
                found.append(service)
        return found

    def observe(self, service: Service) -> None:
        """The observation window: budgets are held through the edge while the old containers stay warm."""
        entries = [*self.options.validate(list(service.verify)), *self._asked_of(service.edge)] if service.edge else []
        address = self.edge_of(service).address() if entries else ""
        targets = _probes.parse(filled(entries, _EDGE, address))
        self._session.hide(*_probes.secrets_of(targets))
        watched = _probes.parse(self.options.validate([self._target(service, service.replicas, _own(service))]))[0]
        begun = time.monotonic()
        counting = [one for one in targets if one.critical and not one.skip and not one.within]
        with self.told.timed("window"):
            window = Window(self._session, service, watched, counting).run()
        self.told.note(service.name, _told.NONE, time.monotonic() - begun, window=window)

    def _asked_of(self, edge: Edge) -> list[dict[str, t.Any]]:
        """The targets of the deploy, unless the edge is still to be replaced: its new address need not answer yet."""
        behind = self.release.services.get(edge.service)
        settled = behind is None or behind.beside or self.engine.applied(behind, self.release.legacy)
        return self.options.verify if settled else []

    def verify(self) -> None:
        """Waits until the targets of the deploy are good."""
        leading = next((self.edge_of(one) for one in self.release.services.values() if one.edge), None)
        entries = filled(self.options.verify, _EDGE, leading.address()) if leading else self.options.verify
        if entries:
            with self.told.timed("verify"):
                _waiting.wait(entries, _waiting.Settings(self.options.timeout), self.options.secrets)

    def ready(self, service: Service, replicas: int, labels: dict[str, str], smoke: t.Sequence[Container] = ()) -> None:
        """Waits until so many of its containers are ready, and the smoke targets of these; raises `ProductionError`.

        Containers with a health check have started once they are healthy: then smoke targets need not be waited for as
        long as a start may take.
        """
        entries, seconds = [self._target(service, replicas, labels)], self.options.timeout
        if smoke and all(one["State"].get("Health") for one in smoke):
            self._wait(entries, seconds)
            seconds = min(seconds, _SMOKE)
        for one in smoke:
            for target in filled(service.smoke, _ADDRESS, _containers.address(one)):
                entries.append({**target, "name": f"{target.get('name')} ({_containers.name_of(one)})"})
        self._wait(entries, seconds, stable_for=0.0 if service.one_shot else _STABLE)

    def _wait(self, entries: list[dict[str, t.Any]], seconds: float, stable_for: float = 0.0) -> None:
        settings = _waiting.Settings(seconds, stable_for=stable_for)
        _waiting.wait(self.options.validate(entries), settings, self.options.secrets)

    def _ready_generation(self, service: Service, replicas: int) -> None:
        self.ready(service, replicas, _own(service), self.engine.wanted(service) if service.smoke else ())

    def _target(self, service: Service, replicas: int, labels: dict[str, str]) -> dict[str, t.Any]:
        container = {"project": self.release.project, "service": service.name, "labels": labels}
        container.update({"one_shot": True} if service.one_shot else {"replicas": replicas})
        return {"name": service.name, "critical": service.critical or service.beside, "container": container}

    def _starts(self, service: Service) -> set[tuple[str, str]]:
        return {(one["Id"], one["State"]["StartedAt"]) for one in self.engine.look(service.name)}


def filled(value: t.Any, placeholder: str, with_what: str) -> t.Any:
    """A copy of a JSON-like value with the placeholder replaced in every string."""
    if isinstance(value, str):
        return value.replace(placeholder, with_what)
    if isinstance(value, dict):
        return {key: filled(item, placeholder, with_what) for key, item in value.items()}
    return [filled(item, placeholder, with_what) for item in value] if isinstance(value, (list, tuple)) else value


def _own(service: Service) -> dict[str, str]:
    return {GENERATION: service.generation}
