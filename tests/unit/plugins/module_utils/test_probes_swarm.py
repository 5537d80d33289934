# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Swarm: the verdict over tasks as a manager lists them and containers as a worker has them; real ones are in
tests/integration/test_engines_real.py."""

from __future__ import annotations

import docker
import pytest

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._probes import _base, _compose, _swarm

OPTIONS = {"replicas": None, "one_shot": False, "min_uptime": 1.0}
NOW = _swarm._seconds("2026-11-22T01:00:00Z")
NOT_FOUND = docker.errors.NotFound("no such service")
NO_IMAGE = "No such image: a:1"
UNHEALTHY = "task: non-zero exit (137): dockerexec: unhealthy container"
WORKER = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state."
ALONE = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" and try again.'


def clock(minute, second=0):
    """The Engine's word for a time before `NOW`, which is at minute 60."""
    return f"2026-11-22T00:{minute:02}:{second:02}.338317971Z"


def task(state="running", wanted="running", created=50, slot=1, image="shop:2", code=None, error=None, **more):
    """A task as Engine 20.10 lists it, `created` in that minute."""
    status = {"State": state, "Timestamp": clock(created, 2), "PortStatus": {}}
    if code is not None:
        status["ContainerStatus"] = {"ContainerID": f"c{created}", "PID": 0, "ExitCode": code}
        status["Err"] = f"task: non-zero exit ({code})" if code else ""
    if error:
        status["Err"] = error
    return {
        "ID": f"t{slot}-{created}", "CreatedAt": clock(created), "Spec": template(image), "Slot": slot,
        "NodeID": "node1", "Status": status, "DesiredState": wanted, **more,
    }


def failed(created, code=3, **more):
    return task("failed", "shutdown", created, code=code, **more)


def template(image, force=0):
    return {"ContainerSpec": {"Image": image, "Isolation": "default"}, "Resources": {}, "ForceUpdate": force}


def refusal(status, told):
    return docker.errors.APIError("refused", type("Response", (), {"status_code": status}), told)


class Manager:
    def __init__(self, tasks=(), mode=None, update=None, job=None, error=None):
        self.listed = list(tasks)
        self.error = error
        self.service = {
            "ID": "s1",
            "Spec": {
                "Name": "shop_app", "Labels": {_docker.STACK: "shop"}, "TaskTemplate": template("shop:2"),
                "Mode": mode or {"Replicated": {"Replicas": 1}},
            },
            "UpdateStatus": update, "JobStatus": job,
        }

    def inspect_service(self, name):
        if self.error:
            raise self.error
        assert name == "shop_app"
        return self.service

    def tasks(self, filters):
        assert filters == {"service": "s1"}
        return self.listed


@pytest.fixture(autouse=True)
def now(monkeypatch):
    monkeypatch.setattr(_swarm.time, "time", lambda: NOW)


def probe(client, containers=(), memory=None, **options):
    service = _swarm.look(client, "shop", "app", list(containers))
    return _swarm.probe(service, {**OPTIONS, **options}, {} if memory is None else memory)


def refused(client, containers=(), **options):
    with pytest.raises(_base.ProbeFailure) as raised:
        probe(client, containers, **options)
    return raised.value


def container(status="running", code=0, created=50, slot=1, image="shop:2", oom=False, **state):
    name = f"shop_app.{slot}.t{created}"
    labels = {_docker.STACK: "shop", _docker.STACK_SERVICE: "shop_app", _docker.STACK_TASK: name}
    return {
        "Id": f"c{created}", "Name": f"/{name}", "RestartCount": 0, "Created": clock(created),
        "Config": {"Labels": labels, "Image": image, "Cmd": ["run"], "Env": []},
        "State": {
            "Status": status, "ExitCode": code, "OOMKilled": oom, "Error": "", "Pid": 0, "StartedAt": clock(created, 1),
            "Running": status == "running", **state,
        },
    }


# --- a manager --------------------------------------------------------------------------------------------------------


def test_every_replica_counts_wherever_it_runs():
    tasks = [task(slot=1), task(slot=2, NodeID="node2")]
    seen = probe(Manager(tasks, {"Replicated": {"Replicas": 2}}))
    assert seen.message == "2 of 2 tasks ready" and not seen.warnings
    assert [one["node"] for one in seen.data["tasks"]] == ["node1", "node2"]


@pytest.mark.parametrize(
    "tasks, permanent, expected",
    [
        ([failed(50), failed(49)], True, "in a restart loop (exit code 3; 2 failures)"),
        ([task("ready", "ready"), failed(49), failed(48)], True, "in a restart loop (exit code 3; 2 failures)"),
        ([task(created=59), failed(58), failed(57)], False, None),
        ([task("starting"), failed(49), failed(30)], False, "is starting, after one that ended (exit code 3)"),
        ([task("complete", "shutdown", code=0), task("complete", "shutdown", 49, code=0)], True, "in a restart loop"),
        ([failed(50)], True, "has ended (exit code 3) and is not restarted"),
        ([task("failed", "running", code=3)], False, "has ended (exit code 3)"),
        ([task("rejected", "ready", error=NO_IMAGE), task("rejected", "shutdown", 49, error=NO_IMAGE)], True,
         "rejected again and again (No such image: a:1; 2 failures)"),
        ([failed(50, 137, error=UNHEALTHY)], True, "exit code 137, task: non-zero exit (137): dockerexec: unhealthy"),
        ([task("pending", error="no suitable node")], False, "task shop_app.1 is pending: no suitable node"),
        ([task("preparing")], False, "is preparing"),
        ([task("running", image="shop:1")], False, "is still of the service's previous definition"),
        ([failed(50, image="shop:1"), failed(49, image="shop:1")], False, "previous definition"),
    ],
)
def test_verdicts(tasks, permanent, expected):
    if expected is None:
        assert probe(Manager(tasks)).message == "1 of 1 tasks ready"
        return
    failure = refused(Manager(tasks))
    assert failure.permanent is permanent and expected in str(failure) and failure.remedy


def test_history_that_does_not_count():
    updated = task("shutdown", "shutdown", 49, image="shop:1", code=137)
    forced = {**task("shutdown", "shutdown", 48, code=1), "Spec": template("shop:2", force=1)}
    loop_before_the_fix = [failed(minute, image="shop:1") for minute in (47, 46, 45)]
    scaled_down = task("running", "remove", 47, slot=2)
    drained = task("shutdown", "shutdown", 47, slot=3, code=0)
    seen = probe(Manager([task(), updated, forced, *loop_before_the_fix, scaled_down, drained]))
    assert seen.data["replicas"] == {"found": 1, "expected": 1, "ready": 1}


def test_a_forced_update_is_waited_for():
    client = Manager([task()])
    client.service["Spec"]["TaskTemplate"] = template("shop:2", force=1)
    assert "previous definition" in str(refused(client))


def test_another_placement_alone_replaces_no_task():
    moved = task()
    moved["Spec"]["Placement"] = {"Constraints": ["node.role == worker"]}
    assert probe(Manager([moved])).message == "1 of 1 tasks ready"


def test_one_failure_asks_for_ten_seconds():
    young = task(created=59)
    young["Status"]["Timestamp"] = clock(59, 55)
    assert probe(Manager([young])).message == "1 of 1 tasks ready"
    failure = refused(Manager([young, failed(58)]))
    assert "has been running for 4.7 of 10 s" in str(failure) and failure.retry_in == pytest.approx(5.3, abs=0.1)


def test_a_clock_that_is_set_while_waiting_makes_no_task_older(monkeypatch):
    memory, young = {}, task(created=59)
    young["Status"]["Timestamp"] = "2026-11-22T01:00:00Z"
    with pytest.raises(_base.ProbeFailure, match="for 0.0 of 1 s"):
        probe(Manager([young]), memory=memory)
    monkeypatch.setattr(_swarm.time, "time", lambda: NOW + 3600)
    with pytest.raises(_base.ProbeFailure, match="for 0.0 of 1 s"):
        probe(Manager([young]), memory=memory)


def test_a_container_that_has_ended_is_ahead_of_its_task():
    listed = task(code=0)
    failure = refused(Manager([listed]), [container("exited", 3)])
    assert not failure.permanent and "has ended (exit code 3)" in str(failure)
    failure = refused(Manager([listed]), [container("exited", 137, oom=True)])
    assert "out of memory" in str(failure)


def test_a_container_of_this_node_is_looked_at_itself():
    sick = container(Health={"Status": "unhealthy", "Log": [{"ExitCode": 1, "Output": "no answer\n"}]})
    assert "is unhealthy: no answer" in str(refused(Manager([task(code=0)]), [sick]))
    starting = container(Health={"Status": "starting", "Log": [{"ExitCode": 1, "Output": "no answer\n"}]})
    assert "is starting (container shop_app.1.t50 is starting: no answer)" in str(
        refused(Manager([task("starting", code=0)]), [starting])
    )
    assert "has been running for 0.0 of 1 s" in str(refused(Manager([task(code=0)]), [container()]))


def test_a_failure_that_is_listed_late_is_no_restart_of_the_same_container():
    memory = {}
    with pytest.raises(_base.ProbeFailure, match="of 1 s"):
        probe(Manager([task(code=0)]), [container()], memory=memory)
    with pytest.raises(_base.ProbeFailure, match="of 10 s, after one that ended") as raised:
        probe(Manager([task(code=0), failed(49)]), [container()], memory=memory)
    assert not raised.value.permanent


@pytest.mark.parametrize(
    "replicas, wanted, permanent, expected",
    [(3, None, False, "has 1 of 3 tasks"), (1, 2, True, "has 1 of 2 tasks"), (3, 3, False, "has 1 of 3 tasks")],
)
def test_missing_replicas_are_final_unless_swarm_makes_them(replicas, wanted, permanent, expected):
    failure = refused(Manager([task()], {"Replicated": {"Replicas": replicas}}), replicas=wanted)
    assert (failure.phase, failure.permanent) == (_compose.MISSING, permanent) and expected in str(failure)


def test_a_service_scaled_to_nothing_is_gone_and_a_failing_one_is_not():
    failure = refused(Manager([], {"Replicated": {"Replicas": 0}}))
    assert failure.permanent and failure.gone and "has 0 of 1 tasks" in str(failure)
    assert not refused(Manager([failed(50), failed(49), task("failed", "running", 51, code=3)])).gone
    assert refused(Manager([failed(50)])).gone


def test_one_per_node():
    tasks = [task(slot=0, NodeID="node1"), task(slot=0, NodeID="node2")]
    assert probe(Manager(tasks, {"Global": {}})).message == "2 of 2 tasks ready"
    assert not refused(Manager([], {"Global": {}})).permanent


def test_one_shot():
    done = task("complete", "shutdown", code=0)
    assert probe(Manager([done]), one_shot=True).message == "1 of 1 tasks finished"
    assert refused(Manager([failed(50)]), one_shot=True).permanent
    assert not refused(Manager([task()]), one_shot=True).permanent
    job = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2}}
    earlier = task("complete", "complete", 40, slot=2, code=0, JobIteration={})
    current = task("complete", "complete", 50, code=0, JobIteration={"Index": 7})
    failure = refused(Manager([earlier, current], job, job={"JobIteration": {"Index": 7}}), one_shot=True)
    assert "has 1 of 2 tasks" in str(failure) and not failure.permanent


@pytest.mark.parametrize("state", ["paused", "rollback_started", "rollback_paused"])
def test_an_update_that_swarm_gave_up(state):
    failure = refused(Manager([task()], update={"State": state, "Message": "update paused due to failure of task x"}))
    assert failure.permanent and "due to failure of task x" in str(failure)


def test_a_rollback_is_a_warning():
    seen = probe(Manager([task()], update={"State": "rollback_completed", "Message": "rollback completed"}))
    assert seen.warnings == ["its last update was rolled back: rollback completed"]


# --- no manager -------------------------------------------------------------------------------------------------------


def test_what_is_no_swarm_service():
    compose = container()
    compose["Config"]["Labels"] = {_docker.PROJECT: "shop", _docker.SERVICE: "app"}
    assert _swarm.look(None, "shop", "app", [compose]) is None  # and the Engine is not asked
    for error in (NOT_FOUND, refusal(503, ALONE)):
        assert _swarm.look(Manager(error=error), "shop", "app", []) is None
    stranger = Manager([task()])
    stranger.service["Spec"]["Labels"] = {}
    assert _swarm.look(stranger, "shop", "app", []) is None


def test_a_manager_without_a_leader_is_no_worker():
    with pytest.raises(docker.errors.APIError):
        _swarm.look(Manager(error=refusal(503, "The swarm does not have a leader.")), "shop", "app", [container()])


@pytest.mark.parametrize(
    "containers, permanent, expected",
    [
        ([container("exited", 3, 50), container("exited", 3, 49)], True, "in a restart loop (exit code 3; 2 failures)"),
        ([container("exited", 3)], False, "has ended (exit code 3)"),
        ([container("exited", 143)], False, "has ended (exit code 143)"),
        ([container("exited", 137, 50, oom=True), container("exited", 137, 49, oom=True)], True, "out of memory; 2"),
        ([container("exited", 137, 50), container("exited", 137, 49)], False, "has ended (exit code 137)"),
        ([container("exited", 3, 50), container("exited", 3, 49, image="shop:1")], False, "has ended (exit code 3)"),
        ([container("created")], False, "is created"),
        ([], True, "has 0 of 1 tasks"),
    ],
)
def test_a_worker(containers, permanent, expected):
    failure = refused(Manager(error=refusal(503, WORKER)), containers)
    assert failure.permanent is permanent and expected in str(failure)


def test_on_a_worker_what_ended_before_another_began_may_have_moved():
    moved = [container("running", created=55, slot=2), container("exited", 1, 50, slot=1)]
    assert probe(Manager(error=refusal(503, WORKER)), moved, min_uptime=0.0).message == "1 of 1 tasks ready"
    both = [container("running", created=55, slot=2), container("running", created=50, slot=1)]
    assert probe(Manager(error=refusal(503, WORKER)), both, min_uptime=0.0).message == "2 of 2 tasks ready"
