# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What several modules ask of the Docker Engine API. Private to the collection.

Containers are plain dicts as `GET /containers/{id}/json` gives them (`Id`, `Name`, `State`, `Config`, …).
"""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
ONE_OFF = "com.docker.compose.oneoff"
STACK = "com.docker.stack.namespace"
STACK_SERVICE = "com.docker.swarm.service.name"  # <stack>_<service>
STACK_TASK = "com.docker.swarm.task.name"  # <stack>_<service>.<slot>.<task's ID>

_GATEWAY = "docker_gwbridge"  # where a host reaches its own containers on overlay networks
_TASKS_KEPT = 3  # newest containers of a slot that tell enough of its past
_STOPPED = (0, 137, 143)  # exit codes of a container that Swarm stopped, most likely


def connect(timeout: float = 10.0) -> t.Any:
    """A `docker.APIClient` from the usual environment (DOCKER_HOST, …); raises `ProductionError`, `MissingLibrary`."""
    docker = _deps.load("docker")
    try:
        client = docker.from_env(timeout=timeout).api
        client.ping()
        return client
    except (docker.errors.DockerException, OSError) as exc:
        raise ProductionError(
            "Docker Engine", f"does not answer: {exc}", "Start it (role tria.production.docker_engine), or set DOCKER_HOST."
        ) from exc


def compose_containers(client: t.Any, project: str, service: str | None = None) -> list[dict[str, t.Any]]:
    """The inspected containers of a Compose project, or of one service of it, stopped ones too, `run` one-offs not.

    A container that vanishes between listing and inspecting is left out.
    """
    docker = _deps.load("docker")
    labels = [f"{PROJECT}={project}", f"{ONE_OFF}=False"] + ([f"{SERVICE}={service}"] if service else [])
    found = []
    for summary in client.containers(all=True, filters={"label": labels}):
        try:
            found.append(client.inspect_container(summary["Id"]))
        except docker.errors.NotFound:
            continue
    return sorted(found, key=lambda container: container["Name"])


def service_containers(client: t.Any, project: str, service: str) -> list[dict[str, t.Any]]:
    """The inspected containers behind one service: those of Compose, or else those of a Swarm stack named `project`.

    Of a stack's service only what this node runs or ran is there: of every slot the newest container, and of those it
    replaced the last that failed; the newest first.
    """
    return compose_containers(client, project, service) or _stack_containers(client, project, service)


def service_of(labels: dict[str, str]) -> tuple[str, str | None] | None:
    """The (project, service) that a container's labels name, Compose's or a Swarm stack's; None without either."""
    if PROJECT in labels:
        return labels[PROJECT], labels.get(SERVICE)
    if STACK in labels and STACK_SERVICE in labels:
        return labels[STACK], labels[STACK_SERVICE][len(labels[STACK]) + 1 :]
    return None


def _stack_containers(client: t.Any, project: str, service: str) -> list[dict[str, t.Any]]:
    docker = _deps.load("docker")
    labels = [f"{STACK}={project}", f"{STACK_SERVICE}={project}_{service}"]
    slots: dict[str, list[dict[str, t.Any]]] = {}
    for summary in client.containers(all=True, filters={"label": labels}):  # the Engine lists the newest first
        slot = summary["Labels"][STACK_TASK].rpartition(".")[0]
        if len(slots.setdefault(slot, [])) < _TASKS_KEPT:
            try:
                slots[slot].append(client.inspect_container(summary["Id"]))
            except docker.errors.NotFound:
                continue
    return [one for slot in sorted(slots) for one in _telling(slots[slot])]


def _telling(containers: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Of a slot's containers, newest first: the newest, unless it only waits to replace one that failed; the failed."""
    newest = [one for one in containers[:1] if not _failed(one["State"])]
    failed = [one for one in containers if _failed(one["State"])]
    return [one for one in newest if not failed or one["State"]["Status"] != "created"] + failed


def _failed(state: dict[str, t.Any]) -> bool:
    return not state["Running"] and (state["OOMKilled"] or state["ExitCode"] not in _STOPPED)


def service_address(client: t.Any, project: str, service: str) -> str:
    """The address at which this host reaches a running container of the service, published or not.

    Containers on a bridge network are reachable from their Docker host by their own address; those of a Swarm stack,
    which are on overlay networks, by the one that they have for their way out.
    """
    for container in service_containers(client, project, service):
        if container["State"]["Running"]:
            in_stack = STACK_SERVICE in container["Config"]["Labels"]
            address = _gateway_address(client, container) if in_stack else _own_address(container)
            if address:
                return address
    raise ProductionError(
        service, f"no running container of project {project} has an address.", f"See: docker compose -p {project} ps -a"
    )


def _own_address(container: dict[str, t.Any]) -> str:
    networks = container["NetworkSettings"]["Networks"]
    return next((networks[name]["IPAddress"] for name in sorted(networks) if networks[name]["IPAddress"]), "")


def _gateway_address(client: t.Any, container: dict[str, t.Any]) -> str:
    """Of a container on overlay networks; empty when those are all internal."""
    if "host" in container["NetworkSettings"]["Networks"]:
        return "127.0.0.1"
    docker = _deps.load("docker")
    try:
        attached = client.inspect_network(_GATEWAY)["Containers"]
    except docker.errors.NotFound:
        return ""
    return attached.get(container["Id"], {}).get("IPv4Address", "").partition("/")[0]


def log_tail(
    client: t.Any, container_id: str, lines: int = 20, max_bytes: int = 8192, clean: t.Callable[[str], str] = str
) -> list[str]:
    """The last log lines of a container, standard output and error together, bounded in lines and bytes.

    `clean` masks secrets before anything is cut off: the rest of a secret at the edge would not be known as one.
    """
    raw = client.logs(container_id, stdout=True, stderr=True, tail=lines)
    cleaned = clean(raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return cleaned[-max_bytes:].decode("utf-8", "replace").splitlines()


def image_id(client: t.Any, name: str) -> str:
    """The ID of an image, empty when there is none."""
    docker = _deps.load("docker")
    try:
        return client.inspect_image(name)["Id"]
    except docker.errors.ImageNotFound:
        return ""
