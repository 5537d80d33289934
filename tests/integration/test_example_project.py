# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A team's own repository deploys with its literal command, to a host of its own that has no Docker."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import typing as t
import uuid

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def wait_until_up(host: str) -> None:
    """Until systemd has started everything; before its bus is there, it cannot even be asked to wait."""
    command = ["docker", "exec", host, "systemctl", "is-system-running"]
    deadline = time.monotonic() + 60
    state = ""
    while state not in ("running", "degraded"):
        assert time.monotonic() < deadline, f"{host} is not up: {state}"
        time.sleep(0.2)
        state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture(name="host")
def host_fixture() -> t.Iterator[str]:
    """A container with systemd and without Docker; its name."""
    name = f"tria-test-project-{uuid.uuid4().hex[:8]}"
    command = ["docker", "run", "--detach", "--name", name, "--privileged", "--cgroupns=host"]
    command += ["--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs=/run", "--tmpfs=/run/lock", "--volume=/var/lib/docker"]
    subprocess.run([*command, os.environ["TRIA_TEST_HOST_IMAGE"]], check=True, capture_output=True)
    try:
        wait_until_up(name)
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], check=True, capture_output=True)


@pytest.fixture(name="project")
def project_fixture(tmp_path: pathlib.Path, host: str) -> pathlib.Path:
    """A copy of the example's repository that reaches its only host through Docker instead of SSH."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples" / "project", project, ignore=shutil.ignore_patterns(".secrets", "reports"))
    connection = {"ansible_connection": "community.docker.docker", "ansible_host": host}
    connection["ansible_python_interpreter"] = "/usr/bin/python3"
    (project / "host_vars").mkdir()
    (project / "host_vars" / "web1.example.com.yml").write_text(json.dumps(connection), encoding="utf-8")
    return project


def deploy(project: pathlib.Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment.update(ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".build"), PWD=str(project))
    command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "deploy.yml", "-i", "prod"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def on_host(host: str, *command: str) -> str:
    return subprocess.run(["docker", "exec", host, *command], check=True, capture_output=True, text=True).stdout


def test_the_literal_command_deploys_and_repeats(project: pathlib.Path, host: str) -> None:
    first = deploy(project)

    assert "PRODUCTION READY" in first
    assert json.loads(on_host(host, "cat", "/etc/ansible/facts.d/project.fact"))["status"] == "healthy"
    site = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8081/', timeout=5).read().decode())"
    assert json.loads(on_host(host, "python3", "-c", site)) == {"project": "example"}
    report = json.loads((project / "reports" / "latest" / "deployment-validation-report.json").read_text(encoding="utf-8"))
    assert report["overall_status"].startswith("READY")
    password = (project / ".secrets" / "postgres_password").read_text(encoding="utf-8").strip()
    assert password not in first and password not in json.dumps(report)

    assert "changed=0" in deploy(project)
