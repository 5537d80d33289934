# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind container: the verdict over states as the Engine reports them; real ones are in the integration tests."""

from __future__ import annotations

import os

import docker
import pytest

from ansible_collections.tria.production.plugins.module_utils import _docker, _probes
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import _compose
from ansible_collections.tria.production.plugins.module_utils._probes._base import Session

OPTIONS = {"one_shot": False, "min_uptime": 1.0}


def container(status="running", restarts=0, health=None, number=1, **state):
    defaults = {"Status": status, "ExitCode": 0, "OOMKilled": False, "Error": "", "Pid": 0, "StartedAt": "t1"}
    if health:
        defaults["Health"] = {"Status": health, "Log": [{"ExitCode": 1, "Output": "no answer\n"}]}
    return {
        "Id": f"id{number}", "Name": f"/shop-app-{number}", "RestartCount": restarts, "State": {**defaults, **state},
        "Config": {"Labels": {_docker.PROJECT: "shop", _docker.SERVICE: "app"}},
    }


def judge(one, memory=None, **options):
    ready, faults = _compose.judge([one], {**OPTIONS, **options}, {} if memory is None else memory)
    assert len(ready) + len(faults) == 1
    return faults[0] if faults else None


@pytest.mark.parametrize(
    "one, permanent, expected",
    [
        (container("exited", ExitCode=1), True, "has ended (exit code 1)"),
        (container("exited", ExitCode=0), True, "has ended (exit code 0)"),
        (container("exited", ExitCode=137, OOMKilled=True), True, "out of memory"),
        (container("dead"), True, "has ended"),
        (container("restarting", restarts=3, Restarting=True, ExitCode=2), True, "restart loop"),
        (container("created", Error="exec: no such file"), True, "could not be started: exec: no such file"),
        (container("created"), False, "is created"),
        (container("paused"), False, "is paused"),
        (container(health="starting"), False, "is starting: no answer"),
        (container(health="unhealthy"), False, "is unhealthy: no answer"),
        (container(), False, "has been running for 0.0 of 1 s"),
        (container(restarts=2, health="healthy"), False, "of 10 s"),
    ],
)
def test_faults(one, permanent, expected):
    fault = judge(one)
    assert fault.permanent is permanent and expected in fault.message and fault.remedy


def test_good_ones():
    assert judge(container(health="healthy")) is None
    assert judge(container(), min_uptime=0.0) is None
    assert judge(container("exited"), one_shot=True) is None


def test_labels_choose_among_the_containers():
    new, old = container(number=2), container(number=1)
    new["Config"]["Labels"]["shop.generation"] = "2"
    asked = [{}, {"shop.generation": 2}, {"shop.generation": ""}, {"shop.generation": "2", "shop.colour": "blue"}]
    chosen = [[one["Id"] for one in (new, old) if _compose.has_labels(one, labels)] for labels in asked]
    assert chosen == [["id2", "id1"], ["id2"], ["id1"], []]


def test_one_shot_faults():
    assert judge(container("exited", ExitCode=1), one_shot=True).permanent
    assert not judge(container(), one_shot=True).permanent


def test_a_restart_between_two_looks_is_final_even_if_it_runs_again():
    memory = {}
    judge(container(restarts=4, health="healthy"), memory)
    message = judge(container(restarts=5, health="healthy"), memory).message
    assert message == "container shop-app-1 is in a restart loop (restarted 5 times)"  # no exit code is known


def test_uptime_counts_from_the_first_sight_of_the_same_start(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(_compose.time, "monotonic", lambda: clock[0])
    memory = {}
    assert judge(container(), memory).retry_in == pytest.approx(1.005)
    clock[0] += 0.9
    assert judge(container(StartedAt="t2"), memory) is not None
    clock[0] += 0.2
    assert judge(container(StartedAt="t2"), memory) is not None
    clock[0] += 0.9
    assert judge(container(StartedAt="t2"), memory) is None


def test_uptime_of_a_process_of_another_machine_is_not_believed():
    assert _compose.process_uptime(os.getpid(), "f" * 64) == 0.0
    assert _compose.process_uptime(2**30, "f" * 64) == 0.0


def target(service="app", **options):
    parameters = {name: spec.get("default") for name, spec in _probes.container.SPEC["options"].items()}
    entry = {"project": "shop", "service": service, **options}
    return _probes._base.Target("app", "container", {**parameters, **entry}, "Container")


class Response:
    status_code = 503


def look(monkeypatch, containers, others=(), **options):
    class Client:
        def close(self):
            """Nothing is open."""

        def inspect_service(self, name):
            raise docker.errors.APIError(name, Response(), "This node is not a swarm manager.")

        def containers(self, all, filters):
            if any(label.startswith(_docker.STACK) for label in filters["label"]):
                return []
            labels = [{_docker.PROJECT: project, _docker.SERVICE: service} for project, service in others]
            return [{"Labels": one, "State": "created"} for one in labels]

    monkeypatch.setattr(_docker, "connect", lambda timeout: Client())
    monkeypatch.setattr(_docker, "compose_containers", lambda client, project, service: containers)
    with Session() as session:
        return _probes.observe(target(**options), session, 5)


def test_every_replica_counts(monkeypatch):
    good = [container(health="healthy", number=1), container(health="healthy", number=2)]
    assert look(monkeypatch, good, replicas=2).status == "pass"
    seen = look(monkeypatch, [*good, container("exited", number=3, ExitCode=1)], replicas=2)
    assert seen.permanent and "shop-app-3" in seen.message
    assert seen.data["replicas"] == {"found": 3, "expected": 2, "ready": 2}


def test_missing_ones(monkeypatch):
    seen = look(monkeypatch, [container(health="healthy")], replicas=2)
    assert (seen.phase, seen.permanent) == ("missing", True) and "has 1 of 2 containers" in seen.message
    seen = look(monkeypatch, [])
    assert "has 0 of 1 containers; no container of that project exists" in seen.message
    assert "docker compose -p shop up -d app" in seen.remedy


def test_what_may_be_meant_instead_of_a_missing_one(monkeypatch):
    seen = look(monkeypatch, [], [("shop", "db"), ("shop", "app2"), ("other", "app")])
    assert seen.message.endswith("; there are app2 (created), db (created)")
    assert seen.remedy.startswith("Is service app2 meant? ")
    assert look(monkeypatch, [], [("shop2", "app")]).remedy.startswith("Is project shop2 meant? ")
    many = look(monkeypatch, [], [("shop", f"one{n}") for n in range(12)])
    assert many.message.endswith("one7 (created) and 2 more")


def test_a_secret_in_the_health_log_is_masked_before_the_message_is_cut(monkeypatch):
    sick = container(health="unhealthy")
    sick["State"]["Health"]["Log"][0]["Output"] = "x" * 290 + "my-secret-value"
    with Session(secrets=["my-secret-value"]) as session:
        monkeypatch.setattr(_docker, "compose_containers", lambda *_args: [sick])
        found = _compose.find(None, session, "shop", "app")
    assert "my-secr" not in judge(found[0]).message


def test_without_an_engine_the_check_has_not_passed(monkeypatch):
    def broken(timeout):
        raise ProductionError("Docker Engine", "does not answer", "Start it.")

    monkeypatch.setattr(_docker, "connect", broken)
    with Session() as session:
        seen = _probes.observe(target(), session, 5)
        assert (seen.status, seen.permanent, seen.remedy) == ("error", False, "Start it.")
        assert "does not answer" in _probes.explain(target(), session)["containers_error"]
