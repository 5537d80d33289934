# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting on Debian 12's own Engine (20.10), on a Swarm, and without any Docker.

The container cases are those of test_probes_real and test_truth_containers, collected here once more: there they run on
this machine's Engine.
"""

from __future__ import annotations

import calendar
import json
import os
import pathlib
import subprocess
import sys
import textwrap
import time
import uuid

import docker
import pytest
import test_probes_real
import test_truth_containers
from ansible_collections.tria.production.plugins.module_utils import _docker, _health
from ansible_collections.tria.production.plugins.module_utils._probes import _swarm
from probe_stack import SHELL, Stack, entries, refused, wait
from test_example_project import wait_until_up
ROOT = pathlib.Path(__file__).parents[2]
LISTEN = "[Socket]\nListenStream=/shared/docker.sock\n"
INSTALL = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends docker.io"
AT_ONCE = 20.0  # s of a minute: a busy machine takes seconds to start ten tasks and see one fail twice
# Ends at once when it is told to, with the exit code of a failure: how it ends when Swarm stops it must not matter.
STEADY = "trap 'exit 1' TERM; while :; do sleep 0.1; done"

# The same cases on this Engine: pytest collects them here, with the `stack` of this file.
test_a_dead_container_leads_before_its_victims = test_probes_real.test_a_dead_container_leads_before_its_victims
test_a_loop_that_was_running_when_first_seen_is_found = test_probes_real.test_a_loop_that_was_running_when_first_seen_is_found
test_a_missing_replica_and_a_missing_service = test_probes_real.test_a_missing_replica_and_a_missing_service
test_exit_is_reported_at_once_with_code_and_redacted_log = test_probes_real.test_exit_is_reported_at_once_with_code_and_redacted_log
test_health_status_and_log_are_reported = test_probes_real.test_health_status_and_log_are_reported
test_healthy_containers_are_ready_when_the_engine_says_so = test_probes_real.test_healthy_containers_are_ready_when_the_engine_says_so
test_one_shot = test_probes_real.test_one_shot
test_service_health_explains_a_dead_container = test_probes_real.test_service_health_explains_a_dead_container
test_a_command_that_does_not_exist = test_truth_containers.test_a_command_that_does_not_exist
test_crash_loop_with_healthcheck = test_truth_containers.test_crash_loop_with_healthcheck
test_crash_loop_without_healthcheck = test_truth_containers.test_crash_loop_without_healthcheck
test_two_of_three_replicas_dead = test_truth_containers.test_two_of_three_replicas_dead


class Host:
    """A container with systemd and Debian's Engine; the Engine listens in a folder that both sides see."""

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        self.name = name
        self.folder = folder
        self.url = f"unix://{folder}/docker.sock"

    def start(self) -> None:
        command = ["docker", "run", "--detach", "--name", self.name, "--privileged", "--cgroupns=host", "--tmpfs=/run"]
        command += ["--tmpfs=/run/lock", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--volume=/var/lib/docker"]
        command += [f"--volume={self.folder}:/shared", os.environ["TRIA_TEST_HOST_IMAGE"]]
        subprocess.run(command, check=True, capture_output=True)
        wait_until_up(self.name)

    def shell(self, script: str) -> str:
        command = ["docker", "exec", self.name, "sh", "-ec", script]
        environment = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, image: str) -> None:
        drop_in = self.folder / "docker.socket.d"
        drop_in.mkdir()
        (drop_in / "shared.conf").write_text(LISTEN, encoding="ascii")
        self.shell(f"cp -r /shared/docker.socket.d /etc/systemd/system/; {INSTALL}")
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            load = ["docker", "exec", "--interactive", self.name, "docker", "load", "--quiet"]
            subprocess.run(load, stdin=saved.stdout, check=True, capture_output=True)

    def remove(self) -> None:
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], check=True, capture_output=True)


@pytest.fixture(name="host", scope="module")
def host_fixture(base_images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    host = Host(f"tria-test-engine-{uuid.uuid4().hex[:8]}", folder)
    try:
        host.start()
        host.install(base_images["redis"])
        yield host
    finally:
        host.remove()


@pytest.fixture(autouse=True)
def on_host(request, monkeypatch):
    """Whoever uses the host asks its Engine, and nobody else's."""
    if "host" in request.fixturenames:
        monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("host").url)


@pytest.fixture(scope="module")
def engine(host):
    client = docker.DockerClient(base_url=host.url)
    yield client
    client.close()


@pytest.fixture
def stack(engine):
    stack = Stack(engine)
    yield stack
    stack.remove()


# --- Engine 20.10, besides the imported tests -------------------------------------------------------------------------


def seconds(stamp):
    """An Engine's time as seconds since 1970."""
    return calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + stamp[19:].rstrip("Z"))


def test_it_is_engine_20_10(engine):
    assert engine.version()["Version"].startswith("20.10.")


def test_an_event_wakes_who_waits(stack, record_property):
    container = stack.run("app", [*SHELL, "sleep 3; exit 1"])
    refused(stack.container("app"), stable_for=20, timeout=30, interval_min=5, interval_max=5)
    delay = time.time() - seconds(stack.engine.api.inspect_container(container.id)["State"]["FinishedAt"])
    record_property("exit_to_return_s", round(delay, 3))
    assert delay < 1.0  # the goal is 0.25 s; looking every five seconds alone would hardly get there


# --- Swarm ------------------------------------------------------------------------------------------------------------


def stack_file(image):
    """What `docker stack deploy` gets. This kernel has no IPVS, hence dnsrr."""

    def service(command, **deploy):
        command = command if isinstance(command, list) else [*SHELL, command]
        return {"image": image, "command": command, "deploy": {"endpoint_mode": "dnsrr", "replicas": 1, **deploy}}

    soon, never = {"condition": "any", "delay": "0.3s"}, {"condition": "none"}
    sick = {"test": ["CMD-SHELL", "echo no answer; false"], "interval": "0.2s", "retries": 50}
    services = {
        "steady": service(STEADY.replace("$", "$$"), replicas=2),
        "loop": service("echo cannot bind; sleep 0.3; exit 3", restart_policy=soon),
        "imageless": {**service("true"), "image": "localhost/nothing/here:1"},
        "unplaced": service("true", placement={"constraints": ["node.labels.disk == gone"]}),
        "sick": {**service("sleep 60"), "healthcheck": sick},
        "done": service("sleep 0.3", restart_policy=never),
        "broken": service("echo no such column; exit 2", restart_policy=never),
        "agent": service(STEADY, mode="global", replicas=None),
        "redis": service(["redis-server", "--protected-mode", "no"]),
        "inner": {**service(STEADY), "networks": ["inner"]},
    }
    services["agent"]["deploy"].pop("replicas")
    networks = {"default": {"driver": "overlay"}, "inner": {"driver": "overlay", "internal": True}}
    return {"version": "3.8", "services": services, "networks": networks}


@pytest.fixture(scope="module")
def swarm(host, base_images):
    """The stack `shop` on a Swarm of this one node, just deployed."""
    (host.folder / "stack.json").write_text(json.dumps(stack_file(base_images["redis"])), encoding="utf-8")
    host.shell("docker swarm init --advertise-addr 127.0.0.1")
    host.shell("docker stack deploy --resolve-image never --compose-file /shared/stack.json shop")
    return host


def of(service, **options):
    return {"name": service, "container": {"project": "shop", "service": service, **options}}


def test_a_stacks_replicas_are_ready(swarm):
    found = wait(of("steady"), of("agent"), timeout=60)
    assert [one["message"] for one in found["results"]] == ["2 of 2 tasks ready", "1 of 1 tasks ready"]
    assert found["results"][0]["data"]["replicas"] == {"found": 2, "expected": 2, "ready": 2}


def test_a_task_that_fails_again_and_again_is_a_restart_loop(swarm):
    error = refused(of("loop"), timeout=60)
    assert "task shop_loop.1 is in a restart loop (exit code 3" in error.cause and "cannot bind" in error.cause
    assert error.details["exit_code"] == 3 and error.details["elapsed"] < AT_ONCE


def test_a_loop_behind_another_target_is_found_too(swarm):
    error = refused({"name": "api", "tcp": {"project": "shop", "service": "loop", "port": 1}}, timeout=60)
    assert "task shop_loop.1 is in a restart loop" in error.cause and error.details["elapsed"] < AT_ONCE


def test_an_image_that_does_not_exist_is_named_by_swarm(swarm):
    error = refused(of("imageless"), timeout=60)
    assert "task shop_imageless.1 is rejected again and again (No such image: localhost/nothing/here:1" in error.cause
    assert error.details["elapsed"] < AT_ONCE


def test_a_task_that_no_node_may_run(swarm):
    assert "is pending: no suitable node" in refused(of("unplaced"), timeout=1).cause


def test_a_task_that_is_not_healthy_yet(swarm):
    assert "task shop_sick.1 is starting" in refused(of("sick"), timeout=1).cause


def test_a_missing_replica(swarm):
    error = refused(of("steady", replicas=3))
    assert "service shop_steady has 2 of 3 tasks" in error.cause and error.details["phase"] == "missing"
    assert "has 0 of 1 containers" in refused(of("nothing")).cause


def test_one_shot_tasks(swarm):
    assert wait(of("done", one_shot=True))["results"][0]["message"] == "1 of 1 tasks finished"
    error = refused(of("broken", one_shot=True))
    assert "has ended (exit code 2) and is not restarted" in error.cause and "no such column" in error.cause
    swarm.shell(
        f"docker service create --quiet --detach --no-resolve-image --name shop_job --mode replicated-job --replicas 2"
        f" --label {_docker.STACK}=shop --container-label {_docker.STACK}=shop"
        f" {os.environ['TRIA_TEST_REDIS_IMAGE']} sh -c 'sleep 0.5'"
    )
    assert wait(of("job", one_shot=True))["results"][0]["message"] == "2 of 2 tasks finished"


def test_a_rolling_update_is_waited_for_and_its_history_does_not_count(swarm, engine):
    wait(of("steady"), timeout=60)
    swarm.shell("docker service update --quiet --detach --no-resolve-image --env-add RELEASE=2 shop_steady")
    wait(of("steady"), timeout=60)
    running = engine.containers.list(filters={"label": f"{_docker.STACK_SERVICE}=shop_steady"})
    assert len(running) == 2 and all("RELEASE=2" in one.attrs["Config"]["Env"] for one in running)
    ended = engine.containers.list(filters={"label": f"{_docker.STACK_SERVICE}=shop_steady", "status": "exited"})
    assert sorted(one.attrs["State"]["ExitCode"] for one in ended) == [1, 1]
    assert _health.check(entries(of("steady")), 10)["overall_status"] == "healthy"


def test_an_update_that_fails_is_final(swarm):
    swarm.shell("docker service update --quiet --detach --no-resolve-image --args 'sh -c \"exit 4\"' shop_agent")
    error = refused(of("agent"), timeout=60)
    assert "update is paused" in error.cause and "exit code 4" in error.cause and error.details["elapsed"] < AT_ONCE


def test_a_stacks_address_is_one_that_its_host_reaches(swarm):
    wait(of("redis"))
    with _docker.connect() as client:
        address = _docker.service_address(client, "shop", "redis")
    ping = "import socket; s = socket.create_connection(('%s', 6379), 2); s.sendall(b'PING\\r\\n'); print(s.recv(9))"
    assert "+PONG" in swarm.shell(f'python3 -c "{ping % address}"')
    error = refused({"name": "api", "tcp": {"project": "shop", "service": "inner", "port": 1}}, timeout=1)
    assert "no address that this host reaches" in error.cause and "mode host" in error.remedy


class Worker:
    """An Engine that is no manager: it knows the containers of its node."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        return getattr(self.client, name)

    def inspect_service(self, _name):
        response = type("Response", (), {"status_code": 503})
        told = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state."
        raise docker.errors.APIError("service", response, told)


def test_a_worker_judges_by_the_containers_of_its_node(swarm):
    def judge(service):
        with _docker.connect() as client:
            containers = _docker.service_containers(client, "shop", service)
            seen = _swarm.look(Worker(client), "shop", service, containers)
        options = {"replicas": None, "one_shot": False, "min_uptime": 0.0}
        return _swarm.probe(seen, options, {}).message

    assert judge("redis") == "1 of 1 tasks ready"
    with pytest.raises(_swarm._base.ProbeFailure, match="shop_loop.1 is in a restart loop"):
        judge("loop")
    with pytest.raises(_swarm._base.ProbeFailure, match="has 0 of 1 tasks") as raised:
        judge("imageless")
    assert "manager" in raised.value.remedy


# --- without Docker ---------------------------------------------------------------------------------------------------

WITHOUT_DOCKER = """
import json, socket, sys, threading
sys.modules["docker"] = None  # importing it fails
from ansible.module_utils.testing import patch_module_args
from ansible_collections.tria.production.plugins.modules import {module}

def answer(server):
    while True:
        peer = server.accept()[0]
        with peer:
            asked = peer.recv(4096)
            if asked.startswith(b"GET"):
                peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
            elif asked:
                peer.sendall(b"+PONG\\r\\n")

server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=answer, args=[server], daemon=True).start()
port = server.getsockname()[1]
targets = [
    {{"name": "page", "http": {{"url": f"http://127.0.0.1:{{port}}/"}}}},
    {{"name": "port", "tcp": {{"host": "127.0.0.1", "port": port}}}},
    {{"name": "cache", "redis": {{"host": "127.0.0.1", "port": port}}}},
] + json.loads(sys.argv[1])
with patch_module_args({{"targets": targets, "timeout": 10}}):
    {module}.main()
"""


def without_docker(module, *targets):
    """The module's answer in a Python where no Docker SDK can be imported, with targets of its own and `targets`."""
    program = textwrap.dedent(WITHOUT_DOCKER.format(module=module))
    environment = {"PYTHONPATH": str(ROOT / ".build"), "DOCKER_HOST": "unix:///nowhere.sock"}
    command = [sys.executable, "-c", program, json.dumps(targets)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return json.loads(done.stdout)


@pytest.mark.parametrize("module", ["readiness_wait", "service_health"])
def test_plain_targets_need_no_docker(module):
    found = without_docker(module)
    assert [one["status"] for one in found["results"]] == ["pass", "pass", "pass"], found


def test_a_container_without_the_library_says_what_to_install():
    found = without_docker("readiness_wait", of("app"))
    assert found["failed"] and "python3-docker" in found["msg"]
    assert [one["status"] for one in found["results"]] == ["pass", "pass", "pass", "error"]
