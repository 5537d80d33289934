# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`security_check` against a real Engine: our own stack keeps every rule, and every planted fault is found."""

from __future__ import annotations

import json
import secrets
import subprocess
import time

import pytest
from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._security import containers, engine
from ansible_collections.tria.production.plugins.modules import security_check
from deployed_stack import free_port

UNTIL_S = 30.0
GOOD = {
    "command": ["sleep", "600"],
    "init": True,
    "user": "10001:10001",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
    "restart": "unless-stopped",
    "mem_limit": "32m",
    "cpus": 0.2,
    "pids_limit": 16,
    "logging": {"driver": "json-file", "options": {"max-size": "1m", "max-file": "1"}},
    "healthcheck": {"test": ["CMD", "test", "-d", "/proc/1"], "interval": "1s", "timeout": "5s", "retries": 1},
    "networks": ["inside"],
}
# Service -> what makes it different from a good one (None takes a key away), the rules that its container breaks.
PLANTED = {
    "good": ({}, []),
    "privileged": ({"privileged": True}, ["privileged"]),
    "socket": (
        {"volumes": ["/var/run/docker.sock:/var/run/docker.sock:ro"]}, ["docker_socket"],
    ),
    "devices": ({"device_cgroup_rules": ["c 1:11 r"]}, ["devices"]),
    "capable": ({"cap_add": ["NET_ADMIN"]}, ["host_capabilities"]),
    "neighbour": ({"pid": "host"}, ["host_namespaces"]),
    "root": ({"user": "0:0"}, ["root_user"]),
    "unconfined": ({"security_opt": ["no-new-privileges:true", "seccomp:unconfined"]}, ["confinement"]),
    "gaining": ({"security_opt": ["no-new-privileges:false"]}, ["no_new_privileges"]),
    "unlimited": ({"mem_limit": None, "cpus": None, "pids_limit": None}, ["limits"]),
    "writable": ({"read_only": False, "cap_drop": None}, ["cap_drop", "read_only"]),
    "silent": ({"logging": {"driver": "none"}, "healthcheck": None}, ["healthcheck", "log_rotation"]),
    "published": ({"ports": ["5432"], "networks": ["outside"]}, ["published_data"]),
    "drifted": ({}, ["image_drift"]),
    "hungry": ({"command": ["tail", "/dev/zero"], "restart": "no", "healthcheck": None}, ["oom_killed"]),
    "restarting": ({"command": ["false"], "healthcheck": None}, ["healthcheck", "restart_count"]),
    "sick": ({"healthcheck": {**GOOD["healthcheck"], "test": ["CMD", "test", "-d", "/none"]}}, ["unhealthy"]),
}


def options(**changes):
    """The module's options."""
    given = {name: option.get("default") for name, option in security_check.argument_spec().items()}
    return {**given, "fail_on": "never", **changes}


def broken(results):
    """Subject -> the rules it breaks."""
    found = {}
    for row in results:
        for subject in row["data"]["subjects"] if row["status"] in ("fail", "warn") else []:
            found.setdefault(subject, []).append(row["data"]["rule_name"])
    return {subject: sorted(names) for subject, names in found.items()}


class Planted:
    """A Compose project with one fault in each service, as it runs."""

    def __init__(self, folder, client, image):
        self.name = f"triasec{secrets.token_hex(3)}"
        self.folder, self.client, self.image = folder, client, image
        self.tag = f"{self.name}/drifted:1"
        services = {}
        for name, (changes, _rules) in PLANTED.items():
            service = {"image": self.tag if name == "drifted" else image, "pull_policy": "never", **GOOD, **changes}
            services[name] = {key: value for key, value in service.items() if value is not None}
        project = {"services": services, "networks": {"inside": {"internal": True}, "outside": {}}}
        (folder / "compose.yaml").write_text(json.dumps(project), encoding="utf-8")

    def compose(self, *arguments):
        subprocess.run(["docker", "compose", "-p", self.name, *arguments], cwd=self.folder, check=True,
                       capture_output=True, timeout=120)

    def start(self, other_image):
        self.client.images.get(self.image).tag(self.tag)
        self.compose("up", "-d")
        self.client.images.get(other_image).tag(self.tag)
        # What an earlier version of the project had, and nobody removed.
        labels = {_docker.PROJECT: self.name, _docker.SERVICE: "former", _docker.ONE_OFF: "False"}
        self.client.containers.run(self.image, ["sleep", "600"], name=f"{self.name}-former-1", labels=labels,
                                   detach=True, init=True, network_mode="none")
        deadline = time.monotonic() + UNTIL_S
        while not self.settled():
            assert time.monotonic() < deadline, "the planted faults do not show"
            time.sleep(0.2)

    def settled(self):
        states = {one["Name"].split("-")[1]: one for one in self.inspected()}
        health = {name: (one["State"].get("Health") or {}).get("Status") for name, one in states.items()}
        return (states["hungry"]["State"]["Status"] == "exited" and states["restarting"]["RestartCount"] > 2
                and health["sick"] == "unhealthy" and health["good"] == "healthy")

    def inspected(self):
        with _docker.connect() as api:
            return _docker.compose_containers(api, self.name)

    def remove(self):
        for container in self.client.containers.list(all=True, filters={"label": f"{_docker.PROJECT}={self.name}"}):
            container.remove(force=True, v=True)
        self.compose("down", "--timeout", "0", "--volumes")
        self.client.images.remove(self.tag)


@pytest.fixture(name="planted", scope="module")
def fixture_planted(tmp_path_factory, engine_client, base_images):
    project = Planted(tmp_path_factory.mktemp("planted"), engine_client, base_images["python"])
    try:
        project.start(base_images["nginx"])
        yield project
    finally:
        project.remove()


@pytest.fixture(name="found", scope="module")
def fixture_found(planted):
    """What the areas compose and containers have against it."""
    found = engine.check(options(areas=["compose", "containers"], project_src=str(planted.folder), max_restarts=2,
                                 project_name=planted.name))
    assert [row for row in found["results"] if row["status"] == "error"] == []
    return found["results"]


@pytest.mark.parametrize("service", PLANTED)
def test_a_fault_of_a_container_is_found_and_no_other(planted, found, service):
    rules = broken(row for row in found if row["data"]["area"] == "containers")
    assert rules.get(f"{planted.name}-{service}-1", []) == PLANTED[service][1]


def test_a_container_that_nobody_declares_is_found(planted, found):
    assert "undeclared" in broken(found)[f"{planted.name}-former-1"]


def test_what_is_declared_is_found_before_it_runs(found):
    """The rules that look at what a project asks for agree with those that look at what it got."""
    at_run_time = {"image_drift", "oom_killed", "restart_count", "unhealthy"}
    asked = broken(row for row in found if row["data"]["area"] == "compose")
    for service, (_changes, rules) in PLANTED.items():
        wanted = [rule for rule in rules if rule not in at_run_time]
        assert asked.get(service, []) == wanted, service


def test_our_own_stack_keeps_every_rule(stack):
    """What the playbook deployed, without waivers, as asked for and as it runs; nothing remains unlooked at."""
    found = engine.check(options(
        areas=["compose", "containers"], project_src=str(stack.root / "current"), project_name=stack.name,
        files=["compose.yaml", "compose.release.yaml"], profiles=["sandbox"],
    ))
    assert broken(found["results"]) == {} and found["overall_status"] == "healthy"
    unseen = {row["data"]["rule"]: row["message"] for row in found["results"] if row["status"] != "pass"}
    assert unseen == {"SEC205": f"{stack.name}-migrate-1: has no health check"}
    assert len({row["data"]["rule"] for row in found["results"]}) >= 31


def test_images_by_reference(base_images):
    with containers.Engine(10) as asked:
        here, gone = base_images["redis"], "tria-test/none:1"
        ids = asked.image_ids([here, gone])
        assert ids[here].startswith("sha256:") and ids[gone] == ""
        assert set(asked.image_configs([here, gone])) == {here}


def test_an_engine_that_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")
    (row,) = engine.check(options(areas=["containers"], project_name="shop", timeout=2))["results"]
    assert row["status"] == "error" and "Docker Engine: does not answer" in row["message"]
