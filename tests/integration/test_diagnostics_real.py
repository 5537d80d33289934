# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Diagnostics, host checks and reports against a real Engine, real mounts, a really full disk."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import uuid

import docker
import pytest
from tiny_image import import_programs

from ansible_collections.tria.production.plugins.module_utils import _diagnostics, _docker, _host, _ports, _report
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

CANARY = "CANARY-0815-s3cret"


@pytest.fixture(scope="module")
def engine():
    with _docker.connect() as client:
        yield client


@pytest.fixture(scope="module")
def image(engine):
    name = f"host-test-{uuid.uuid4().hex[:8]}"
    import_programs(engine, name, "/bin/sh", "/bin/sleep", "/bin/cat")
    yield f"{name}:1"
    engine.remove_image(f"{name}:1", force=True)


@pytest.fixture
def project():
    return f"host-test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def start(engine, image, project):
    """Start a container of a Compose project with a shell script; it is gone after the test."""
    made = []

    def run(script, service="app", project=project, one_off="False", wait="", **host_config):
        labels = {_docker.PROJECT: project, _docker.SERVICE: service, _docker.ONE_OFF: one_off}
        published = host_config.get("port_bindings", {})
        container = engine.create_container(
            image,
            ["/bin/sh", "-c", script],
            name=f"{project}-{service}-{len(made)}",
            labels=labels,
            ports=[tuple(port.split("/")) for port in published],
            healthcheck=host_config.pop("healthcheck", None),
            host_config=engine.create_host_config(**host_config),
        )
        made.append(container["Id"])
        engine.start(container["Id"])
        if wait:
            until(lambda: state_of(engine, container["Id"]) == wait, f"{service} to be {wait}")
        return container["Id"]

    yield run
    for container_id in made:
        engine.remove_container(container_id, force=True)


def state_of(engine, container_id):
    state = engine.inspect_container(container_id)["State"]
    return (state.get("Health") or {}).get("Status") if state["Running"] and "Health" in state else state["Status"]


def until(condition, what):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def options(project, **changed):
    defaults = {
        "project": project,
        "release": "r1",
        "status": "failed",
        "checks": {},
        "secrets": [CANARY],
        "logs": "failed",
        "log_lines": 30,
        "root": "/opt",
        "facts_path": None,
    }
    return {**defaults, **changed}


def test_a_crashed_container_beside_good_ones(start, project, tmp_path):
    start(f"echo starting; echo 'phase redis: {CANARY} refused' >&2; exit 3", "backend", wait="exited")
    start("echo quiet; sleep 600", "cache")
    start("echo migrated", "migrate", wait="exited")
    start("exit 9", "shell", one_off="True", wait="exited")
    path = tmp_path / "tria.fact"
    result = _diagnostics.diagnose(options(project, facts_path=str(path)))

    backend, cache, migrate = result["diagnostics"]["containers"]
    assert (backend["service"], backend["state"], backend["exit_code"]) == ("backend", "exited", 3)
    assert backend["trouble"] == "exited (exit code 3)" and backend["finished_at"]
    assert sorted(backend["logs"]) == ["phase redis: ******** refused", "starting"]  # the Engine does not order two streams
    assert (cache["trouble"], cache["logs"], cache["finished_at"]) == ("", [], "")
    assert (migrate["trouble"], migrate["exit_code"]) == ("", 0)
    assert result["summary"].splitlines()[0] == f"{project}: 1 of 3 containers in trouble"
    assert "    | phase redis: ******** refused" in result["summary"]
    assert result["diagnostics"]["engine"]["answers"] is True
    assert CANARY not in json.dumps(result) and "CANARY" not in path.read_text()
    facts = json.loads(path.read_text())
    assert facts["services"]["backend"]["exit_code"] == 3 and set(facts["services"]) == {"backend", "cache", "migrate"}
    assert _diagnostics.diagnose(options(project, facts_path=str(path)))["changed"] is False


def test_an_unhealthy_container_shows_its_last_health_checks(start, project):
    check = {
        "test": ["CMD-SHELL", f"echo {CANARY} refused; exit 1"],
        "interval": 10**8,
        "retries": 1,
        "timeout": 10**10,
    }
    start("sleep 600", "backend", healthcheck=check, wait="unhealthy")
    [backend] = _diagnostics.diagnose(options(project))["diagnostics"]["containers"]
    assert (backend["state"], backend["health"], backend["trouble"]) == (
        "running",
        "unhealthy",
        "running but unhealthy",
    )
    assert backend["health_log"][-1]["exit_code"] == 1
    assert backend["health_log"][-1]["output"] == "******** refused"


def test_a_container_that_keeps_crashing(engine, start, project):
    container_id = start("exit 7", "backend", restart_policy={"Name": "always"})
    until(lambda: engine.inspect_container(container_id)["RestartCount"] >= 2, "two restarts")
    result = _diagnostics.diagnose(options(project))
    [backend] = result["diagnostics"]["containers"]
    assert backend["restarts"] >= 2 and backend["trouble"], backend


def test_out_of_memory(start, project):
    # the shell holds what it reads: it grows until the limit
    script = 'x=x; while true; do x="$x$x"; done'
    start(script, "backend", mem_limit="16m", memswap_limit="16m", wait="exited")
    [backend] = _diagnostics.diagnose(options(project))["diagnostics"]["containers"]
    assert backend["oom_killed"] is True
    assert backend["trouble"] == "exited (exit code 137, SIGKILL, out of memory)"


@pytest.mark.parametrize(("logs", "expected"), [("all", ["one"]), ("failed", []), ("none", [])])
def test_whose_logs(engine, start, project, logs, expected):
    container_id = start("echo one; sleep 600")
    until(lambda: engine.logs(container_id), "the first line")
    [container] = _diagnostics.diagnose(options(project, logs=logs))["diagnostics"]["containers"]
    assert container["logs"] == expected


def test_hostile_logs_are_bounded_and_harmless(start, project):
    script = (
        "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done;"
        " printf '\\033[2J\\033]0;owned\\007\\000\\377{{ 7*7 }}\\n';"
        f" x={'y' * 490}; printf '%s{CANARY}%s\\n' $x $x$x$x; exit 1"
    )
    start(script, wait="exited")
    [container] = _diagnostics.diagnose(options(project, log_lines=5))["diagnostics"]["containers"]
    assert container["logs"][:4] == ["line 197", "line 198", "line 199", "\ufffd{{ 7*7 }}"]
    assert container["logs"][4].startswith("y" * 490 + "********") and "CANARY" not in container["logs"][4]
    assert len(container["logs"][4]) < 600


def test_a_log_that_cannot_be_read(engine, start, project):
    start("exit 1", wait="exited", log_config={"Type": "none"})
    [container] = _diagnostics.diagnose(options(project))["diagnostics"]["containers"]
    assert "cannot be read" in container["logs"][0]


def test_an_engine_that_stops_answering(monkeypatch, project):
    def break_off(client, project):
        raise docker.errors.APIError("Bad gateway")

    monkeypatch.setattr(_docker, "compose_containers", break_off)
    result = _diagnostics.diagnose(options(project))
    assert "stopped answering: Bad gateway" in result["diagnostics"]["engine"]["error"] and result["summary"]


def test_docker_helpers(engine, start, project):
    running = start("echo hello; sleep 600", "cache")
    start("exit 1", "backend", wait="exited")
    assert [one["Config"]["Labels"][_docker.SERVICE] for one in _docker.compose_containers(engine, project)] == [
        "backend",
        "cache",
    ]
    address = engine.inspect_container(running)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert _docker.service_address(engine, project, "cache") == address
    with pytest.raises(ProductionError, match="no running container"):
        _docker.service_address(engine, project, "backend")
    until(lambda: _docker.log_tail(engine, running) == ["hello"], "its log")


def port_checks(ports, owner=None):
    """name -> result, for ports alone."""
    results = _host._free_ports([{"host": host, "port": port} for host, port in ports], owner)
    return {result.name: result for result in results}


def test_a_published_port_is_ours_or_not(engine, start, project):
    container_id = start("sleep 600", "edge", port_bindings={"80/tcp": ("127.0.0.1", None), "81/udp": None})
    published = engine.port(container_id, "80/tcp")[0]
    port, name = int(published["HostPort"]), engine.inspect_container(container_id)["Name"].lstrip("/")
    [found] = [one for one in _ports.published()[0] if one.project == project]
    assert found == _ports.Published("127.0.0.1", port, name, project)

    key = f"Port 0.0.0.0:{port}"
    assert port_checks([("0.0.0.0", port)], project)[key].status == "pass"
    for owner in (None, "another"):
        result = port_checks([("0.0.0.0", port)], owner)[key]
        assert result.blocks and f"container {name} ({project})" in result.message
    # its address is another one: no conflict, whoever published it
    assert port_checks([("127.0.0.2", port)])[f"Port 127.0.0.2:{port}"].status == "pass"


def test_a_published_port_where_the_engine_cannot_be_asked(engine, start, monkeypatch, project):
    container_id = start("sleep 600", "edge", port_bindings={"80/tcp": ("127.0.0.1", None)})
    port = int(engine.port(container_id, "80/tcp")[0]["HostPort"])
    monkeypatch.setattr(_ports, "published", lambda: ([], "the Docker Engine does not answer"))
    result = port_checks([("127.0.0.1", port)], project)[f"Port 127.0.0.1:{port}"]
    assert result.blocks and "docker" in result.message and "does not answer" in result.message


def test_a_port_of_a_process(start):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        result = port_checks([("127.0.0.1", port)], "tria")[f"Port 127.0.0.1:{port}"]
        assert result.blocks and f"(pid {os.getpid()})" in result.message
    assert port_checks([("127.0.0.1", port)])[f"Port 127.0.0.1:{port}"].status == "pass"


@contextlib.contextmanager
def mounted(path, flags):
    subprocess.run(["mount", "-t", "tmpfs", "-o", flags, "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_full_file_system_and_one_without_inodes(tmp_path):
    with mounted(tmp_path, "size=64k,nr_inodes=4"):
        for number in range(3):
            (tmp_path / str(number)).write_bytes(b"x" * 16384)
        disk, inodes = _host._disks([str(tmp_path / "not" / "yet")], 0.001, 5)
    assert (disk.status, disk.message) == ("fail", "0.0 GB free, 0.001 GB needed")
    assert (inodes.status, inodes.message) == ("fail", "0.0 % of the inodes free, 5 % needed")


def test_a_read_only_mount(tmp_path):
    with mounted(tmp_path, "ro"):
        [result] = _host._writable([str(tmp_path / "stack")])
    assert result.blocks and "is mounted read-only" in result.message


def test_a_report_on_a_full_disk(tmp_path):
    with mounted(tmp_path, "size=64k"):
        one = {"name": "x", "category": "API", "status": "pass", "message": ""}
        base = {"path": str(tmp_path), "stack": "tria", "name": "deployment-validation-report", "started_at": ""}
        base.update(gates=[], failure={}, finished_at="", secrets=[], diagnostics={})
        _report.report({**base, "release": "r1", "results": {"app1": [one]}})
        before = (tmp_path / "latest" / "deployment-validation-report.json").read_text()
        for release in ("r1", "r2"):
            with pytest.raises(ProductionError, match="No space left on device"):
                _report.report({**base, "release": release, "results": {"app1": [{**one, "message": "y" * 10**5}]}})
            assert (tmp_path / "latest" / "deployment-validation-report.json").read_text() == before
        assert sorted(os.listdir(tmp_path)) == ["latest", "r1"]
        assert len(os.listdir(tmp_path / "r1")) == len(_report.VIEWS)


def test_facts_on_a_full_disk(tmp_path, project):
    with mounted(tmp_path, "size=16k"):
        path = tmp_path / "tria.fact"
        assert _diagnostics.diagnose(options(project, facts_path=str(path)))["warnings"] == []
        before = path.read_text()
        with contextlib.suppress(OSError), open(tmp_path / "rest", "wb", buffering=0) as rest:
            while True:
                rest.write(b"x" * 1024)
        result = _diagnostics.diagnose(options(project, facts_path=str(path), release="r2"))
        assert "No space left on device" in result["warnings"][0]
        assert path.read_text() == before and sorted(os.listdir(tmp_path)) == ["rest", "tria.fact"]
