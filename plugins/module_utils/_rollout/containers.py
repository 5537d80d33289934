# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The containers of a project on this host, by generation; stopped and removed. Private to the collection."""

from __future__ import annotations

import concurrent.futures
import json
import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic, _deps, _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases.staging import GENERATION
from ansible_collections.tria.production.plugins.module_utils._rollout.release import Service

APPLIED = "applied.json"
_ENGINE_SECONDS = 60.0  # for one request, beside the time it is asked to wait itself
_GONE = ("exited", "created", "dead")
_MOST_AT_ONCE = 16

Container = t.Dict[str, t.Any]


class Containers:
    """What the Engine has of one project; `look` again after every change."""

    def __init__(self, root: str, project: str) -> None:
        self._applied = os.path.join(root, APPLIED)
        self._project = project
        self.client = self._connect()

    def _connect(self) -> t.Any:
        return _docker.connect(_ENGINE_SECONDS)

    def look(self, service: str | None = None) -> list[Container]:
        """The inspected containers of a service or of all, the oldest first."""
        found = _docker.compose_containers(self.client, self._project, service)
        return sorted(found, key=lambda one: (one["Created"], one["Id"]))

    def again(self, container: Container) -> Container | None:
        """The container as it is now, None when it is gone."""
        docker = _deps.load("docker")
        try:
            return self.client.inspect_container(container["Id"])
        except docker.errors.NotFound:
            return None

    def wanted(self, service: Service) -> list[Container]:
        """The running containers of its generation."""
        return [one for one in self.look(service.name) if generation(one) == service.generation and running(one)]

    def others(self, service: Service) -> list[Container]:
        """The containers of other generations, and what there is of its own beyond its replicas."""
        found = self.look(service.name)
        own = [one for one in found if generation(one) == service.generation]
        surplus = own[service.replicas :] if service.beside else []
        return [one for one in found if one not in own] + surplus

    def forget_dead(self, service: Service) -> None:
        """Removes containers that do not run: Compose would start them again, of whatever generation they are."""
        for one in self.look(service.name):
            restarting = one["State"].get("Restarting") and generation(one) == service.generation
            if restarting or one["State"]["Status"] in _GONE:
                self.remove([one])

    def stop(self, containers: t.Sequence[Container], seconds: float) -> None:
        """Tells all of them to stop at the same time, and returns when they have; after `seconds` they are killed."""
        if containers:
            with concurrent.futures.ThreadPoolExecutor(min(len(containers), _MOST_AT_ONCE)) as pool:
                list(pool.map(lambda one: self._stop(one, seconds), containers))

    def remove(self, containers: t.Sequence[Container]) -> None:
        """Removes them. Anonymous volumes go only with containers that others of their service start beside."""
        docker = _deps.load("docker")
        for one in containers:
            try:
                self.client.remove_container(one["Id"], force=True, v=bool(generation(one)))
            except docker.errors.NotFound:
                continue

    def execute(self, container: Container, argv: t.Sequence[str]) -> tuple[int, str]:
        """Runs a command in a container: its exit status and what it wrote."""
        started = self.client.exec_create(container["Id"], list(argv))["Id"]
        said = self.client.exec_start(started).decode("utf-8", "replace")
        return self.client.exec_inspect(started)["ExitCode"], said

    def applied(self, service: Service, legacy: bool) -> bool:
        """Whether it runs in place as its release wants it, as far as is known without asking Compose.

        What was started by somebody else is only known to be right when the release is `legacy`: by its image.
        """
        known, found = self._known(), [one for one in self.look(service.name) if not generation(one)]
        right = [one for one in found if known.get(one["Id"]) == service.definition or (
            legacy and one["Id"] not in known and one["Config"]["Image"] == service.image
        )]
        good = [one for one in right if (succeeded(one) if service.one_shot else running(one))]
        return len(good) == len(found) >= service.replicas and (service.one_shot or len(found) == service.replicas)

    def note_applied(self, service: Service) -> None:
        """Writes down that Compose has brought its containers to its definition."""
        known, found = self._known(), self.look()
        known.update({one["Id"]: service.definition for one in found if service_of(one) == service.name})
        kept = {one["Id"]: known[one["Id"]] for one in found if one["Id"] in known}
        _atomic.write_file(self._applied, json.dumps(kept, indent=2, sort_keys=True) + "\n", 0o600)

    def _known(self) -> dict[str, str]:
        """Definitions by container; what is unknown is asked of Compose again, which changes nothing that is right."""
        try:
            with open(self._applied, encoding="utf-8") as stream:
                return dict(json.load(stream))
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def _stop(self, container: Container, seconds: float) -> None:
        docker = _deps.load("docker")
        client = _docker.connect(_ENGINE_SECONDS)  # one for each thread
        try:
            client.stop(container["Id"], timeout=round(seconds))
        except docker.errors.NotFound:
            return
        finally:
            client.close()


class Nothing(Containers):
    """For a host whose Engine does not answer, or is not there yet: it has no containers."""

    def _connect(self) -> t.Any:
        return None

    def look(self, service: str | None = None) -> list[Container]:
        return []


def generation(container: Container) -> str:
    return container["Config"]["Labels"].get(GENERATION, "")


def service_of(container: Container) -> str:
    return container["Config"]["Labels"].get(_docker.SERVICE, "")


def running(container: Container) -> bool:
    state = container["State"]
    return bool(state["Running"]) and not state.get("Restarting")


def succeeded(container: Container) -> bool:
    state = container["State"]
    return state["Status"] == "exited" and state["ExitCode"] == 0


def address(container: Container) -> str:
    """Where this host reaches it; raises `ProductionError` when it is on no network."""
    networks = container["NetworkSettings"]["Networks"]
    found = next((networks[name]["IPAddress"] for name in sorted(networks) if networks[name]["IPAddress"]), "")
    if not found:
        raise ProductionError(name_of(container), "has no address.", "Attach its service to a network of this host.")
    return found


def name_of(container: Container) -> str:
    return container["Name"].lstrip("/")
