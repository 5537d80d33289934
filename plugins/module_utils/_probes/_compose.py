# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the state of a Compose service's containers says about it. Private to the collection.

Containers are dicts as `GET /containers/{id}/json` gives them.
"""

from __future__ import annotations

import difflib
import os
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._probes import _base

MISSING = "missing"  # phase of a failure for want of containers: the only one that a grace period excuses
CONTAINER = "container"

_REMEMBERED = 60  # s of events in which the end before a restart is looked for
_ENDED = ("exited", "dead")
RESTARTED_UPTIME = 10.0  # s; the Engine itself takes a restarted container for stable after as long
_HEALTH_LOG = 3
_MOST_NEIGHBOURS = 10  # that a message names
_EXIT_REMEDIES = {
    126: "Its command cannot be executed: look at the file's mode and the image's platform.",
    127: "Its command does not exist in the image.",
    137: "It was killed: look at its memory limit, and for who killed it.",
}


class Fault(t.NamedTuple):
    """Why one container is not ready. `permanent` when waiting does not help; `retry_in` in seconds."""

    container: dict[str, t.Any]
    message: str
    permanent: bool = False
    remedy: str = "Read its last log lines (log_tail), correct the cause and start it again."
    retry_in: t.Optional[float] = None


def find(
    client: t.Any, session: _base.Session, project: str, service: str, labels: dict[str, str] | None = None
) -> list[dict[str, t.Any]]:
    """The containers of a service (with these labels), secrets masked in what they said before any of it is cut off."""
    containers = [one for one in _docker.service_containers(client, project, service) if has_labels(one, labels or {})]
    for state in (container["State"] for container in containers):
        state["Error"] = session.clean(state.get("Error", ""))
        for entry in (state.get("Health") or {}).get("Log") or []:
            entry["Output"] = session.clean(entry["Output"])
    return containers


def has_labels(container: dict[str, t.Any], labels: dict[str, str]) -> bool:
    return all(container["Config"]["Labels"].get(name, "") == str(value) for name, value in labels.items())


def neighbours(client: t.Any) -> dict[str, dict[str, str]]:
    """Every Compose project of the Engine: its services, each with the state of one of its containers."""
    found: dict[str, dict[str, str]] = {}
    for one in client.containers(all=True, filters={"label": [_docker.PROJECT, _docker.SERVICE]}):
        found.setdefault(one["Labels"][_docker.PROJECT], {})[one["Labels"][_docker.SERVICE]] = one["State"]
    return found


def name_of(container: dict[str, t.Any]) -> str:
    return container["Name"].lstrip("/")


def fault(container: dict[str, t.Any], one_shot: bool, min_uptime: float, memory: dict[str, t.Any]) -> Fault | None:
    """Why a container is not ready, or None. `memory` keeps restart counts and first sightings between looks at it."""
    state, name = container["State"], name_of(container)
    status = state["Status"]
    known = memory.setdefault("restarts", {}).setdefault(container["Id"], container["RestartCount"])
    if state.get("Restarting") or container["RestartCount"] > known:
        return Fault(container, f"container {name} is in a restart loop ({_ending(container)})", True, remedy(state))
    if status in _ENDED:
        if one_shot and status == "exited" and state["ExitCode"] == 0:
            return None
        return Fault(container, f"container {name} has ended ({_ending(container)})", True, remedy(state))
    if status == "created" and state.get("Error"):
        return Fault(container, f"container {name} could not be started: {state['Error']}", True, remedy(state))
    if status != "running":
        return Fault(container, f"container {name} is {status}")
    if one_shot:
        return Fault(container, f"container {name} has not finished")
    return _unhealthy(container) or _too_young(container, min_uptime, memory)


def recall_exits(client: t.Any, containers: list[dict[str, t.Any]], memory: dict[str, t.Any]) -> None:
    """Gives containers that were restarted meanwhile and run again their last exit code, which only events still have."""
    known = memory.get("restarts", {})
    for one in containers:
        if one["State"]["Status"] == "running" and one["RestartCount"] > known.get(one["Id"], one["RestartCount"]):
            now, ours = time.time(), {"container": one["Id"], "event": "die"}
            span = {"since": int(now) - _REMEMBERED, "until": f"{now:.6f}"}
            for event in client.events(**span, filters=ours, decode=True):
                one["State"]["ExitCode"] = int(event["Actor"]["Attributes"].get("exitCode", 0))


def judge(
    containers: list[dict[str, t.Any]], options: dict[str, t.Any], memory: dict[str, t.Any]
) -> tuple[list[dict[str, t.Any]], list[Fault]]:
    """The ready containers and the faults of the others; options as of the kind `container`."""
    found = [(one, fault(one, options["one_shot"], options["min_uptime"], memory)) for one in containers]
    return [one for one, trouble in found if trouble is None], [trouble for _one, trouble in found if trouble]


def failure(faults: list[Fault], data: dict[str, t.Any], ready: t.Sequence[t.Any] = ()) -> _base.ProbeFailure:
    """One failure for all faults, the final ones first; `ready` are the containers without."""
    ordered = sorted(faults, key=lambda one: not one.permanent)
    waits = [one.retry_in for one in faults]
    return _base.ProbeFailure(
        "; ".join(one.message for one in ordered),
        ordered[0].remedy,
        CONTAINER,
        permanent=ordered[0].permanent,
        data=data,
        retry_in=max(waits) if all(wait is not None for wait in waits) else None,
        gone=not ready and all(one.container.get("State", {}).get("Status") in _ENDED for one in faults),
    )


def absent(
    project: str, service: str, expected: int = 1, found: int = 0, others: dict[str, dict[str, str]] | None = None
) -> _base.ProbeFailure:
    """The failure for want of containers; `others` (as `neighbours` gives them) when there is not a single one."""
    what = f"service {service} of project {project} has {found} of {expected} containers"
    if others is None:
        remedy = f"See: docker compose -p {project} ps -a {service}"
        return _base.ProbeFailure(what, remedy, MISSING, permanent=True, gone=not found)
    beside = others.get(project, {})
    remedy = f"Start it, and read why it cannot (no such image?): docker compose -p {project} up -d {service}"
    if beside:
        named = [f"{name} ({state})" for name, state in sorted(beside.items())]
        more = f" and {len(named) - _MOST_NEIGHBOURS} more" if len(named) > _MOST_NEIGHBOURS else ""
        what += f"; there are {', '.join(named[:_MOST_NEIGHBOURS])}{more}"
        similar = [f"service {name}" for name in difflib.get_close_matches(service, beside)]
    else:
        what += "; no container of that project exists"
        similar = [f"project {name}" for name in difflib.get_close_matches(project, others)]
    remedy = f"Is {similar[0]} meant? {remedy}" if similar else remedy
    return _base.ProbeFailure(what, remedy, MISSING, permanent=True, gone=True)


def describe(
    client: t.Any, session: _base.Session, container: dict[str, t.Any], log_lines: int = 20
) -> dict[str, t.Any]:
    """What an operator needs to know of a container, with its last log lines and health log."""
    state = container["State"]
    health = (state.get("Health") or {}).get("Log") or []
    return {
        **summary(container),
        "exit_code": None if state["Status"] == "running" else state["ExitCode"],
        "oom_killed": state["OOMKilled"],
        "error": state.get("Error", ""),
        "health_log": [f"{one['ExitCode']}: {one['Output'].strip()}" for one in health[-_HEALTH_LOG:]],
        "log_tail": _docker.log_tail(client, container["Id"], log_lines, clean=session.clean),
    }


def summary(container: dict[str, t.Any]) -> dict[str, t.Any]:
    state = container["State"]
    return {
        "name": name_of(container),
        "state": state["Status"],
        "health": (state.get("Health") or {}).get("Status"),
        "restart_count": container["RestartCount"],
    }


def _ending(container: dict[str, t.Any]) -> str:
    state = container["State"]
    # one that runs again has the 0 that the Engine puts there, unless its last one was recalled
    parts = [] if state["Status"] == "running" and not state["ExitCode"] else [f"exit code {state['ExitCode']}"]
    if state["OOMKilled"]:
        parts.append("out of memory")
    if container["RestartCount"]:
        parts.append(f"restarted {container['RestartCount']} times")
    if state.get("Error"):
        parts.append(state["Error"])
    return ", ".join(parts)


def remedy(state: dict[str, t.Any]) -> str:
    """What to do about a container that ended in this state."""
    if state["OOMKilled"]:
        return "Raise its memory limit, or make it need less."
    return _EXIT_REMEDIES.get(state["ExitCode"], Fault._field_defaults["remedy"])


def _unhealthy(container: dict[str, t.Any]) -> Fault | None:
    health = container["State"].get("Health") or {}
    if health.get("Status", "none") in ("none", "healthy"):
        return None
    log = health.get("Log") or []
    last = f": {log[-1]['Output'].strip()}" if log and log[-1]["Output"].strip() else ""
    return Fault(
        container,
        f"container {name_of(container)} is {health['Status']}{last[:300]}",
        remedy="Read its health log (health_log) and its last log lines (log_tail).",
    )


def _too_young(container: dict[str, t.Any], min_uptime: float, memory: dict[str, t.Any]) -> Fault | None:
    """Running proves little without a healthcheck, and after a restart nothing at all: both have to last."""
    state = container["State"]
    needed = 0.0 if state.get("Health") else min_uptime
    if container["RestartCount"]:
        needed = max(needed, RESTARTED_UPTIME)
    if not needed:
        return None
    start = (container["Id"], state["StartedAt"])
    first_seen = memory.setdefault("seen", {}).setdefault(start, time.monotonic())
    uptime = max(time.monotonic() - first_seen, process_uptime(state["Pid"], container["Id"]))
    if uptime >= needed:
        return None
    return Fault(
        container,
        f"container {name_of(container)} has been running for {uptime:.1f} of {needed:g} s",
        remedy="Look again in a moment.",
        retry_in=needed - uptime + 0.005,
    )


def process_uptime(pid: int, container_id: str) -> float:
    """Seconds since the container's first process began, by the kernel's monotonic clock; 0 where it cannot be seen.

    Not from `StartedAt`: that is wall-clock time, and a clock set forward would make a crash loop look hours old.
    """
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as cgroup:
            if container_id not in cgroup.read():
                return 0.0  # some other process: the Engine runs elsewhere
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            ticks = int(stat.read().rpartition(")")[2].split()[19])
        with open("/proc/uptime", encoding="ascii") as uptime:
            return float(uptime.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0
