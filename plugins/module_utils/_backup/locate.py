# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the container that holds the database, or says why there is none. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._redact import redact

FAIL = "fail"
SKIP_IF_NO_DATA = "skip_if_no_data"
SKIP = "skip"


class Absent(Exception):
    """There is no container, and the caller said that this is no reason to fail; the text says what was found."""


def find(client: t.Any, selection: dict[str, t.Any], when_absent: str) -> dict[str, t.Any]:
    """The running container that `selection` (`name`, or `project` and `service`) means.

    `client` is a `docker.APIClient`. Raises `Absent` when there is none and `when_absent` allows it, `ProductionError`
    in every other case. A container that is there but does not run is always an error: its data cannot be dumped.
    """
    try:
        return _find(client, selection, when_absent)
    except (_deps.load("docker").errors.DockerException, OSError) as exc:
        raise ProductionError("Docker Engine", f"failed: {exc}", "See its log (journalctl -u docker).") from exc


def _find(client: t.Any, selection: dict[str, t.Any], when_absent: str) -> dict[str, t.Any]:
    if selection.get("name"):
        title, found = f"container {selection['name']}", _by_name(client, selection["name"])
    else:
        title = f"service {selection['service']} of project {selection['project']}"
        found = _docker.compose_containers(client, selection["project"], selection["service"])
    if not found:
        raise _absence(client, title, selection, when_absent)
    running = [each for each in found if each["State"]["Running"] and not each["State"]["Paused"]]
    if not running:
        raise _not_running(client, found[0])
    if len(running) > 1:
        names = ", ".join(each["Name"].lstrip("/") for each in running)
        raise ProductionError(
            title, f"has {len(running)} running containers: {names}.", "Say which, with container.name."
        )
    return running[0]


def _by_name(client: t.Any, name: str) -> list[dict[str, t.Any]]:
    try:
        return [client.inspect_container(name)]
    except _deps.load("docker").errors.NotFound:
        return []


def _absence(client: t.Any, title: str, selection: dict[str, t.Any], when_absent: str) -> Exception:
    project = selection.get("project")
    volumes = _volumes(client, project) if project else []
    kept = f" Volumes of the project are there: {', '.join(volumes)}." if volumes else ""
    if when_absent == SKIP or (when_absent == SKIP_IF_NO_DATA and not volumes):
        return Absent(f"First deploy: {title} has no container, so there is no running database to back up.{kept}")
    if volumes and when_absent == SKIP_IF_NO_DATA:
        return ProductionError(
            title,
            f"has no container, but its project has data that would not be backed up, in {', '.join(volumes)}.",
            f"Start it (docker compose -p {project} up -d --wait {selection['service']}) and run again, remove the"
            " volumes, or say that no backup is wanted with when_absent=skip.",
            volumes=volumes,
        )
    return ProductionError(title, f"does not exist.{kept}", "Check the name; see: docker ps --all", volumes=volumes)


def _volumes(client: t.Any, project: str) -> list[str]:
    listed = client.volumes(filters={"label": [f"{_docker.PROJECT}={project}"]})["Volumes"] or []
    return sorted(volume["Name"] for volume in listed)


def _not_running(client: t.Any, container: dict[str, t.Any]) -> ProductionError:
    name, state = container["Name"].lstrip("/"), container["State"]
    log = [redact(line) for line in _docker.log_tail(client, container["Id"])]
    return ProductionError(
        f"container {name}",
        f"is {state['Status']} (exit code {state['ExitCode']}), so its database cannot be backed up.",
        f"Start it (docker {'unpause' if state['Paused'] else 'start'} {name}) and run again; if it never held data,"
        " remove it with its volumes.",
        log=log,
    )
