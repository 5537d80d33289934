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


def service_address(client: t.Any, project: str, service: str) -> str:
    """The address at which this host reaches a running container of the service, published or not.

    Containers on a bridge network are reachable from their Docker host by their own address.
    """
    for container in compose_containers(client, project, service):
        networks = container["NetworkSettings"]["Networks"]
        for name in sorted(networks):
            if container["State"]["Running"] and networks[name]["IPAddress"]:
                return networks[name]["IPAddress"]
    raise ProductionError(
        service, f"no running container of project {project} has an address.", f"See: docker compose -p {project} ps -a"
    )


def log_tail(client: t.Any, container_id: str, lines: int = 20, max_bytes: int = 8192) -> list[str]:
    """The last log lines of a container, standard output and error together, bounded in lines and bytes."""
    raw = client.logs(container_id, stdout=True, stderr=True, tail=lines)
    return raw[-max_bytes:].decode("utf-8", "replace").splitlines()


def image_id(client: t.Any, name: str) -> str:
    """The ID of an image, empty when there is none."""
    docker = _deps.load("docker")
    try:
        return client.inspect_image(name)["Id"]
    except docker.errors.ImageNotFound:
        return ""
