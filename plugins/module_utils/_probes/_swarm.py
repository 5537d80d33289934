# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of a service in a Swarm stack say about it. Private to the collection.

Swarm starts no container twice: it replaces a task that ended by a new one in the same slot (one per replica, or per
node), and keeps the last few. A manager knows every task; any other node only the containers that run, or ran, on it.
"""

from __future__ import annotations

import calendar
import dataclasses
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker
from ansible_collections.tria.production.plugins.module_utils._probes import _base, _compose

_LOOP_FAILURES = 2  # one may come of starting before what it needs: a stack has no depends_on
_LOOP_WINDOW = 600.0  # s; failures of tasks that much older than the newest one say nothing about it
_ENDED = ("complete", "failed", "rejected")  # by themselves; whatever Swarm ended is shutdown, remove or orphaned
_STOPPED = (0, 137, 143)  # exit codes of a container that was stopped, perhaps: without the task there is no telling
_GIVEN_UP = {
    "paused": "its update is paused",
    "rollback_started": "its update is being rolled back",
    "rollback_paused": "the rollback of its update is paused",
}
_PUBLISH = "Publish its port in mode host, and give the target host and port instead of project and service."


@dataclasses.dataclass(frozen=True)
class Task:
    """One task. `created` and `since` (when it got into its `state`) are the Engine's times, as seconds since 1970.

    `ended` says whether it ended by itself, None where that cannot be told, and `finished` whether Swarm leaves it at
    that; `dropped` is one whose slot is no longer in use. `definition` is what the task was made from.
    """

    id: str
    slot: str
    name: str
    created: float
    since: float
    state: str
    ended: t.Optional[bool]
    finished: bool = False
    dropped: bool = False
    error: str = ""
    exit_code: t.Optional[int] = None
    node: str = ""
    container: t.Optional[dict[str, t.Any]] = None
    definition: t.Any = None


@dataclasses.dataclass(frozen=True)
class Service:
    """A service's tasks. `definition` and `desired` (replicas) are None where only a manager would know them."""

    name: str
    tasks: list[Task]
    definition: t.Any = None
    desired: t.Optional[int] = None
    update: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    is_manager: bool = False


def look(client: t.Any, project: str, service: str, containers: list[dict[str, t.Any]]) -> Service | None:
    """The service of that name in the stack `project`; None when `containers` are of Compose, or there is no such one.

    `containers` are those of `_docker.service_containers`. Raises what the Docker SDK raises.
    """
    if containers and _docker.STACK_SERVICE not in containers[0]["Config"]["Labels"]:
        return None
    docker = _deps.load("docker")
    name = f"{project}_{service}"
    try:
        found = client.inspect_service(name)
        listed = client.tasks(filters={"service": found["ID"]})
    except docker.errors.NotFound:
        return None
    except docker.errors.APIError as exc:
        if exc.status_code != 503 or "not a swarm manager" not in str(exc.explanation):
            raise
        if containers:
            return Service(name, _without_moved([_seen_here(one) for one in containers]))
        if "Worker" in str(exc.explanation):
            return Service(name, [])
        return None
    if found["Spec"].get("Labels", {}).get(_docker.STACK) != project:
        return None
    here = {one["Id"]: one for one in containers}
    run = _iteration(found.get("JobStatus"))
    return Service(
        name,
        [_as_listed(name, one, here) for one in listed if _iteration(one) == run],
        _definition(found["Spec"]["TaskTemplate"]),
        _desired(found["Spec"]["Mode"]),
        found.get("UpdateStatus") or {},
        is_manager=True,
    )


def probe(service: Service, options: dict[str, t.Any], memory: dict[str, t.Any]) -> _base.Outcome:
    """The outcome of one look, with the options of the kind `container`; raises `ProbeFailure`."""
    slots = _slots(service.tasks)
    newest = [tasks[0] for tasks in slots]
    troubles = [_fault(service, tasks, options, memory) for tasks in slots]
    faults = [trouble for trouble in troubles if trouble]
    expected = max(1, service.desired or 0) if options["replicas"] is None else options["replicas"]
    data = {
        "replicas": {"found": len(slots), "expected": expected, "ready": len(slots) - len(faults)},
        "containers": [_compose.summary(one.container) for one in newest if one.container],
        "tasks": [{"name": one.name, "state": one.state, "error": one.error, "node": one.node} for one in newest],
    }
    state, message = service.update.get("State", ""), service.update.get("Message", "")
    if state in _GIVEN_UP:
        faults.append(_compose.Fault({}, f"{service.name}: {_GIVEN_UP[state]}: {message}", True, _ask(service)))
    if faults:
        failure = _compose.failure(faults, data)
        failure.gone = all(one.finished for one in newest)
        raise failure
    if len(slots) < expected:
        raise _too_few(service, len(slots), expected, data)
    rolled_back = [f"its last update was rolled back: {message}"] if state == "rollback_completed" else []
    done = "finished" if options["one_shot"] else "ready"
    return _base.Outcome(f"{len(slots)} of {max(expected, len(slots))} tasks {done}", data, rolled_back)


def nowhere(service: Service, memory: dict[str, t.Any]) -> _base.ProbeFailure:
    """Why this host reaches no task of the service; final when its tasks cannot be saved by waiting."""
    options = {"replicas": None, "one_shot": False, "min_uptime": 0.0}
    try:
        probe(service, options, memory)
    except _base.ProbeFailure as exc:
        return exc
    return _base.ProbeFailure(
        f"service {service.name} runs, but has no address that this host reaches", _PUBLISH, _compose.CONTAINER
    )


def _fault(
    service: Service, tasks: list[Task], options: dict[str, t.Any], memory: dict[str, t.Any]
) -> _compose.Fault | None:
    """Why a slot is not ready, or None; its tasks, the newest first."""
    newest = tasks[0]
    if service.is_manager and newest.definition != service.definition:
        return _waits(service, newest, f"task {newest.name} is still of the service's previous definition")
    alike = [one for one in tasks if one.ended is not False and one.definition == newest.definition]
    failures = [one for one in alike if one.ended and newest.created - one.created < _LOOP_WINDOW]
    if options["one_shot"] and newest.state == "complete":
        return None
    if options["one_shot"]:
        failures = [one for one in failures if one.state != "complete"]
    trouble = _state_fault(service, newest, len(alike), options, memory)
    if trouble and len(failures) >= _LOOP_FAILURES:
        again = "rejected again and again" if failures[0].state == "rejected" else "in a restart loop"
        message = f"task {newest.name} is {again} ({_ending(failures[0])}; {len(failures)} failures)"
        return _compose.Fault(newest.container or {}, message, True, _remedy(service, failures[0]))
    if trouble and failures and failures[0] is not newest:
        return trouble._replace(message=f"{trouble.message}, after one that ended ({_ending(failures[0])})")
    return trouble


def _state_fault(
    service: Service, task: Task, before: int, options: dict[str, t.Any], memory: dict[str, t.Any]
) -> _compose.Fault | None:
    """Why a slot's newest task is not ready; `before` it, so many others ended."""
    if task.state == "running":
        if task.container:
            as_restarted = {**task.container, "RestartCount": before}  # what Swarm does instead of restarting
            memory.setdefault("restarts", {})[task.container["Id"]] = before
            return _compose.fault(as_restarted, options["one_shot"], options["min_uptime"], memory)
        if options["one_shot"]:
            return _waits(service, task, f"task {task.name} has not finished")
        return _too_young(service, task, before, options["min_uptime"], memory)
    if task.finished:
        message = f"task {task.name} has ended ({_ending(task)}) and is not restarted"
        return _compose.Fault(task.container or {}, message, True, _remedy(service, task))
    if task.ended is not False:
        return _waits(service, task, f"task {task.name} has ended ({_ending(task)})")
    last = f": {task.error}" if task.error else ""
    if task.state == "starting" and task.container:
        unhealthy = _compose.fault(task.container, False, 0.0, {})
        last += f" ({unhealthy.message})" if unhealthy else ""
    return _waits(service, task, f"task {task.name} is {task.state}{last}")


def _too_young(
    service: Service, task: Task, before: int, min_uptime: float, memory: dict[str, t.Any]
) -> _compose.Fault | None:
    """As for a container, but of another node: its age is by the clocks, which Swarm needs to agree anyway."""
    needed = max(min_uptime, _compose.RESTARTED_UPTIME) if before else min_uptime
    first = memory.setdefault("tasks", {}).setdefault(task.id, (max(0.0, time.time() - task.since), time.monotonic()))
    uptime = first[0] + time.monotonic() - first[1]  # a clock set while we look changes nothing
    if uptime >= needed:
        return None
    message = f"task {task.name} has been running for {uptime:.1f} of {needed:g} s"
    return _waits(service, task, message)._replace(retry_in=needed - uptime + 0.005)


def _too_few(service: Service, found: int, expected: int, data: dict[str, t.Any]) -> _base.ProbeFailure:
    """Final unless Swarm itself is about to make more."""
    if service.is_manager:
        final, remedy = found >= (1 if service.desired is None else service.desired), _ask(service)
    else:
        final, remedy = True, "This node of the Swarm knows its own containers only: look from a manager."
    message = f"service {service.name} has {found} of {expected} tasks"
    return _base.ProbeFailure(message, remedy, _compose.MISSING, permanent=final, data=data, gone=final and not found)


def _slots(tasks: list[Task]) -> list[list[Task]]:
    """The tasks of every slot that is in use, the newest first."""
    slots: dict[str, list[Task]] = {}
    for task in sorted(tasks, key=lambda one: one.created, reverse=True):
        slots.setdefault(task.slot, []).append(task)
    return [slots[slot] for slot in sorted(slots) if not slots[slot][0].dropped]


def _waits(service: Service, task: Task, message: str) -> _compose.Fault:
    return _compose.Fault(task.container or {}, message, remedy=_ask(service))


def _ask(service: Service) -> str:
    return f"See: docker service ps --no-trunc {service.name}"


def _remedy(service: Service, task: Task) -> str:
    if task.state == "rejected":
        return f"Correct what Swarm names. {_ask(service)}"
    if task.container:
        return _compose.remedy(task.container["State"])
    return f"Read what it said (docker service logs {service.name}), correct the cause and deploy again."


def _ending(task: Task) -> str:
    parts = [] if task.exit_code is None else [f"exit code {task.exit_code}"]
    if task.container and task.container["State"]["OOMKilled"]:
        parts.append("out of memory")
    if task.error and task.error != f"task: non-zero exit ({task.exit_code})":
        parts.append(task.error)
    return ", ".join(parts) or task.state


# --- tasks as the Engine tells of them --------------------------------------------------------------------------------


def _as_listed(service: str, listed: dict[str, t.Any], here: dict[str, dict[str, t.Any]]) -> Task:
    """A task of a manager's list. A container that has ended is ahead of the task's own record."""
    status, wanted = listed["Status"], listed["DesiredState"]
    told = status.get("ContainerStatus") or {}
    container = here.get(told.get("ContainerID", ""))
    state, exit_code = status["State"], told.get("ExitCode")
    stopped = wanted in ("shutdown", "remove")
    if container and state in ("starting", "running") and container["State"]["Status"] in ("exited", "dead"):
        exit_code = container["State"]["ExitCode"]
        state = "shutdown" if stopped else "failed" if exit_code else "complete"
    ended = state in _ENDED
    slot = str(listed.get("Slot", 0) or listed.get("NodeID", 0))
    return Task(
        listed["ID"],
        slot,
        f"{service}.{slot}",
        _seconds(listed["CreatedAt"]),
        _seconds(status["Timestamp"]),
        state,
        ended,
        finished=ended and (stopped or wanted == "complete"),
        dropped=stopped and not ended,
        error=status.get("Err", ""),
        exit_code=exit_code if ended and told.get("ContainerID") else None,
        node=listed.get("NodeID", ""),
        container=container,
        definition=_definition(listed["Spec"]),
    )


def _seen_here(container: dict[str, t.Any]) -> Task:
    """What can be told of a task by its container alone."""
    labels, state, config = container["Config"]["Labels"], container["State"], container["Config"]
    name, _dot, task_id = labels[_docker.STACK_TASK].rpartition(".")
    state_name, ended = state["Status"], False
    if state_name in ("exited", "dead"):
        state_name = "failed" if state["ExitCode"] else "complete"
        ended = True if state["OOMKilled"] or state["ExitCode"] not in _STOPPED else None
    return Task(
        task_id,
        name,
        name,
        _seconds(container["Created"]),
        _seconds(state["StartedAt"]),
        state_name,
        ended,
        error=state.get("Error", ""),
        exit_code=state["ExitCode"] if ended is not False else None,
        container=container,
        definition=[config.get(key) for key in ("Image", "Entrypoint", "Cmd", "Env")],
    )


def _without_moved(tasks: list[Task]) -> list[Task]:
    """What ended here before another task began here may run on another node by now, as after a rolling update."""
    latest = max((one.created for one in tasks if one.state == "running"), default=0.0)
    return [dataclasses.replace(one, dropped=one.ended is not False and one.created < latest) for one in tasks]


def _definition(template: dict[str, t.Any]) -> list[t.Any]:
    """The part of a task's definition whose change makes Swarm replace the task; another placement may not."""
    return [template.get("ContainerSpec"), template.get("ForceUpdate", 0)]


def _desired(mode: dict[str, t.Any]) -> int | None:
    """How many tasks a service is to have; None for one per node."""
    if "Replicated" in mode:
        return mode["Replicated"]["Replicas"]
    if "ReplicatedJob" in mode:
        return mode["ReplicatedJob"]["TotalCompletions"]
    return None


def _iteration(described: dict[str, t.Any] | None) -> int:
    """Which run of a job it belongs to, or is at; 0 for what is no job."""
    return ((described or {}).get("JobIteration") or {}).get("Index", 0)


def _seconds(stamp: str) -> float:
    """An RFC 3339 time of the Engine (UTC, up to nanoseconds) as seconds since 1970."""
    whole, _dot, fraction = stamp.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")
