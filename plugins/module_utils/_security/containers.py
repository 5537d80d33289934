# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Area containers: what runs, and whether it is what was declared. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._security import compose
from ansible_collections.tria.production.plugins.module_utils._security.observation import Observation, Unseen, look
from ansible_collections.tria.production.plugins.module_utils._security.workload import (
    Process,
    Workload,
    from_container,
)

PROC = "/proc"

Containers = t.List[t.Dict[str, t.Any]]


class Engine:
    """What is asked of the Docker Engine; raises `ProductionError`, and `MissingLibrary` when it cannot be asked."""

    def __init__(self, timeout: float) -> None:
        self._docker = _deps.load("docker")
        self._client = _docker.connect(timeout)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._client.close()

    def containers(self, project: str) -> Containers:
        return self._ask(lambda: _docker.compose_containers(self._client, project))

    def image_ids(self, references: t.Iterable[str]) -> dict[str, str]:
        """Reference -> ID of the image that it names now, empty for none."""
        return {name: self._ask(lambda name=name: _docker.image_id(self._client, name)) for name in set(references)}

    def image_configs(self, references: t.Iterable[str]) -> dict[str, dict[str, t.Any]]:
        """Reference -> `Config`, of the images that are here."""
        found = {}
        for name in set(references):
            try:
                found[name] = self._ask(lambda name=name: self._client.inspect_image(name)).get("Config") or {}
            except self._docker.errors.ImageNotFound:
                continue
        return found

    def _ask(self, question: t.Callable[[], t.Any]) -> t.Any:
        try:
            return question()
        except self._docker.errors.ImageNotFound:
            raise
        except (self._docker.errors.DockerException, OSError) as exc:
            raise ProductionError("Docker Engine", f"request failed: {exc}", "Look at the Engine's own log.") from exc


def observe(
    found: Containers,
    image_ids: dict[str, str],
    services: dict[str, Workload] | None,
    public_ports: t.Sequence[int],
    max_restarts: int,
) -> t.Iterator[Observation]:
    """Every rule held against every container; `services` are the declared ones, None when they are not known."""
    running = [_workload(container, services) for container in found]
    yield from compose.of_workloads(running, public_ports)
    for container, workload in zip(found, running):
        for name, check, arguments in (
            ("image_drift", image_drift, (image_ids, services)),
            ("undeclared", undeclared, (services,)),
            ("oom_killed", oom_killed, ()),
            ("restart_count", restart_count, (max_restarts,)),
            ("unhealthy", unhealthy, ()),
        ):
            yield look(name, workload.subject, check, container, *arguments)


def main_process(container: dict[str, t.Any]) -> Process | None:
    """The container's main process, when it runs on this machine and /proc shows it."""
    pid = container["State"].get("Pid") or 0
    if not pid:
        return None
    try:
        with open(f"{PROC}/{pid}/cgroup", encoding="utf-8", errors="replace") as stream:
            if container["Id"] not in stream.read():
                return None  # another machine's process number
        with open(f"{PROC}/{pid}/status", encoding="utf-8", errors="replace") as stream:
            fields = {name: value.split() for name, _colon, value in (line.partition(":") for line in stream)}
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if "NoNewPrivs" not in fields:
        return None
    return Process(uid=int(fields["Uid"][1]), no_new_privileges=fields["NoNewPrivs"] == ["1"])


def image_drift(
    container: dict[str, t.Any], image_ids: dict[str, str], services: dict[str, Workload] | None
) -> t.Iterator[str]:
    reference = container["Config"]["Image"]
    declared = (services or {}).get(_service(container))
    if declared and declared.image and declared.image != reference:
        yield f"runs {reference}, declared is {declared.image}"
        return
    current = image_ids.get(reference, "")
    if not current:
        raise Unseen(f"no image {reference} is here any more to compare with")
    if current != container["Image"]:
        yield f"runs an older image than the one that {reference} names now"


def undeclared(container: dict[str, t.Any], services: dict[str, Workload] | None) -> t.Iterator[str]:
    if services is None:
        raise Unseen("no Compose configuration was given (project_src or config_path)")
    if _service(container) not in services:
        yield f"service {_service(container)} is not declared"


def oom_killed(container: dict[str, t.Any]) -> t.Iterator[str]:
    if container["State"].get("OOMKilled"):
        yield "was killed for want of memory"


def restart_count(container: dict[str, t.Any], max_restarts: int) -> t.Iterator[str]:
    if container["RestartCount"] > max_restarts:
        yield f"was restarted {container['RestartCount']} times"


def unhealthy(container: dict[str, t.Any]) -> t.Iterator[str]:
    status = (container["State"].get("Health") or {}).get("Status", "")
    if status == "unhealthy":
        yield "its health check fails"
    elif status != "healthy":
        raise Unseen({"": "has no health check", "starting": "is still starting"}.get(status, f"says {status}"))


def _workload(container: dict[str, t.Any], services: dict[str, Workload] | None) -> Workload:
    try:
        declared = (services or {}).get(_service(container))
        state = container["State"]
        ended = not state.get("Running") and state.get("ExitCode") == 0
        never_restarted = ((container["HostConfig"].get("RestartPolicy") or {}).get("Name") or "no") == "no"
        one_shot = declared.one_shot if declared else ended and never_restarted
        return from_container(container, main_process(container), one_shot)
    except (TypeError, KeyError, ValueError, AttributeError) as exc:
        name = str(container.get("Name", "a container"))
        cause = f"is described in an unknown form ({type(exc).__name__})."
        raise ProductionError(name, cause, "Update Docker.") from exc


def _service(container: dict[str, t.Any]) -> str:
    return (container["Config"].get("Labels") or {}).get(_docker.SERVICE, "")
