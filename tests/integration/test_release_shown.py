# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person is shown of releases, by the role and the playbooks: before a deploy, and of those that there are."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "plugins" / "module_utils"))
from release_project import BY, Project  # noqa: E402  # pylint: disable=wrong-import-position

DEPLOY = """
- hosts: all
  gather_facts: false
  vars:
    stack_name: shown
    stack_image_source: debian
    stack_env_content: "TOKEN=hunter2-secret\\nPORT=8080\\n"
  tasks:
    - ansible.builtin.include_role: {name: tria.production.stack, tasks_from: plan, public: true}
    - ansible.builtin.include_role: {name: tria.production.stack, tasks_from: build, public: true}
"""
COMPOSE = """
services:
  web:
    image: nginx:1.25
    environment: {TOKEN: "${TOKEN:?}", API_KEY: hunter3-secret}
    volumes: ["./conf:/etc/web:ro"]
"""


def playbook(path, *arguments, **variables):
    """What `ansible-playbook` printed for this machine alone, with a Docker Engine nowhere."""
    command = ["ansible-playbook", str(path), "-i", "localhost,", "-c", "local", *arguments]
    command += [part for name, value in variables.items() for part in ("-e", f"{name}={value}")]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    environment = {**os.environ, "DOCKER_HOST": "unix:///nonexistent", "ANSIBLE_FORCE_COLOR": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_difference_on_a_host_that_has_no_docker(tmp_path):
    source, root = tmp_path / "source", tmp_path / "root"
    (source / "conf").mkdir(parents=True)
    (source / "compose.yaml").write_text(COMPOSE)
    (source / "conf" / "web.conf").write_text("a\n")
    (tmp_path / "deploy.yml").write_text(DEPLOY)
    shown = playbook(tmp_path / "deploy.yml", "--check", "--diff", stack_source=source, stack_root=root)
    assert "Services:\n  + web\n\nImages:\n  + web: nginx:1.25\n\n" in shown
    assert "Environment (names only):\n  + PORT\n  + TOKEN\n" in shown and "+    image: nginx:1.25\n" in shown
    assert "hunter" not in shown and not root.exists()


@pytest.fixture
def project(tmp_path):
    """A good release, one that was rolled back, the current one, and one that failed."""
    made = Project(tmp_path)
    for release in "abc":
        made.deploy(f"2026010{ord(release) - 96}T000000Z-{release}")
    made.releases.note("20260102T000000Z-b", "bad", BY, "slow")
    made.stage("20260104T000000Z-d")
    made.releases.note("20260104T000000Z-d", "failed", BY, "readiness: web has exited")
    return made


def test_the_history(project):
    shown = playbook(
        "playbooks/history.yml", deploy_hosts="all", stack_name="tria", stack_root=project.releases.root
    ).splitlines()
    lines = {release: next(line.rstrip() for line in shown if f"Z-{release}" in line) for release in "abcd"}
    assert "  good  " in lines["a"] and lines["a"].endswith("yes") and "anna@laptop" in lines["a"]
    assert "  bad  " in lines["b"] and lines["b"].endswith("no: slow")
    assert lines["c"].lstrip().startswith("*") and lines["c"].endswith("runs now")
    assert "  failed  " in lines["d"] and lines["d"].endswith("no: readiness: web has exited")


def test_the_status(project):
    shown = playbook(
        "playbooks/diagnose.yml", deploy_hosts="all", stack_name="tria", stack_root=project.releases.root
    )
    assert "Current release: 20260103T000000Z-c" in shown and "Good before it:  20260101T000000Z-a" in shown
    assert "Failed or bad:   20260104T000000Z-d, 20260102T000000Z-b" in shown
