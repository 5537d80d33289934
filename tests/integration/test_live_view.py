# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the live view says of a real wait: for containers on this machine, and on a host behind a connection plugin."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import time
import uuid

import pytest
from deployed_stack import ROOT
from probe_stack import SHELL, Stack

SECOND = 10**9  # as the Engine counts
LISTEN = "import socket, time; time.sleep({after}); server = socket.create_server(('127.0.0.1', 7000)); time.sleep(60)"


@pytest.fixture(name="stack")
def stack_fixture(engine_client):
    stack = Stack(engine_client)
    yield stack
    stack.remove()


@pytest.fixture(name="host")
def host_fixture(engine_client, base_images):
    """A container with Python and a user besides root, to be reached by a connection plugin."""
    name = f"tria-test-view-{uuid.uuid4().hex[:8]}"
    container = engine_client.containers.run(base_images["host"], ["sleep", "300"], entrypoint=[], name=name, detach=True)
    container.exec_run(["useradd", "--create-home", "--shell", "/bin/bash", "deploy"])
    yield container
    container.remove(force=True, v=True)


def play(folder: pathlib.Path, host: str, targets: list[dict], **variables: str) -> list[str]:
    """Waits for the targets; the lines shown, without the time of day."""
    wait = {"name": "Wait", "tria.production.readiness_wait": {"timeout": 30, "targets": targets}}
    (folder / "play.yml").write_text(
        json.dumps([{"name": "Wait", "hosts": "all", "gather_facts": False, "vars": variables, "tasks": [wait]}])
    )
    command = [sys.executable, "-m", "ansible", "playbook", "-i", f"{host},", str(folder / "play.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "TRIA_VIEW_PROGRESS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [re.sub(r"^(  … )\d\d:\d\d:\d\d ", r"\1", line) for line in done.stdout.splitlines()]


def said(lines: list[str], pattern: str) -> bool:
    return any(re.fullmatch(f"  … still waiting for {pattern} · \\d+ s of 30 s", line) for line in lines)


def test_a_container_that_is_not_healthy_yet_is_named_with_its_state(stack: Stack, tmp_path: pathlib.Path) -> None:
    check = {"test": ["CMD", "test", "-e", "/tmp/ready"], "interval": SECOND // 2, "start_period": 60 * SECOND}
    stack.run("backend", [*SHELL, "sleep 8; touch /tmp/ready; sleep 60"], healthcheck=check)
    stack.run("cache", [*SHELL, "sleep 60"])
    targets = [stack.container("backend", "backend"), stack.container("cache", "cache")]
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    lines = play(tmp_path, "localhost", targets, **local)

    assert "  … waiting for backend, cache" in lines
    assert said(lines, r"backend \(.*starting.*\)"), lines
    assert any(line.startswith("✓ Container: backend") for line in lines)


@pytest.mark.parametrize("connection", ["docker", "docker_api"])
@pytest.mark.parametrize("become", [False, True])
def test_a_host_is_asked_while_it_waits(host, tmp_path: pathlib.Path, connection: str, become: bool) -> None:
    host.exec_run(["python3", "-c", LISTEN.format(after=8)], detach=True)
    variables = {"ansible_connection": f"community.docker.{connection}", "ansible_python_interpreter": "/usr/bin/python3"}
    if become:
        variables.update({"ansible_become": "true", "ansible_become_method": "su", "ansible_become_user": "deploy"})
    begun = time.monotonic()
    lines = play(tmp_path, host.name, [{"name": "late", "tcp": {"port": 7000}}], **variables)

    assert said(lines, r"late \(cannot connect to 127\.0\.0\.1 port 7000: Connection refused\)"), lines
    assert time.monotonic() - begun < 25
    assert host.exec_run(["find", "/tmp", "-name", ".readiness-*"]).output == b""
