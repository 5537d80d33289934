# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock between real `ansible-playbook` processes: the action plugin, the module and the role together."""

from __future__ import annotations

import getpass
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

COLLECTION = pathlib.Path(__file__).parents[2]
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars: {stack_name: core-test, stack_root: "{{ folder }}/stack"}
  tasks:
    - ansible.builtin.include_role: {name: tria.production.stack, tasks_from: lock, public: true}
    - ansible.builtin.include_role: {name: tria.production.stack, tasks_from: lock}
    - ansible.builtin.wait_for: {path: "{{ folder }}/go", sleep: 1}
    - ansible.builtin.include_role: {name: tria.production.stack, tasks_from: unlock}
"""


@pytest.fixture
def playbook(tmp_path):
    """Start the playbook above; every process that is left is killed after the test."""
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    made = []
    command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), str(tmp_path / "play.yml")]
    command += [
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
        "-e",
        f"folder={tmp_path}",
    ]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(COLLECTION / "ansible.cfg")}

    def start():
        process = subprocess.Popen(
            command, cwd=COLLECTION, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        made.append(process)
        return process

    yield start
    for process in made:
        process.kill()
        process.communicate()


def held(path):
    """The lock's content, as soon as somebody holds it."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, "nobody took the lock"
        time.sleep(0.05)
    return json.loads(path.read_text())


def test_one_deploy_at_a_time(playbook, tmp_path):
    lock = tmp_path / "stack" / "lock"
    first = playbook()
    owner = held(lock)["owner"]
    assert (owner["pid"], owner["user"]) == (first.pid, getpass.getuser())

    second = playbook()
    output = " ".join(second.communicate(timeout=60)[0].split())
    assert second.returncode != 0 and f"{owner['user']}@{owner['host']} (pid {first.pid}" in output
    assert held(lock)["owner"] == owner

    first.kill()  # as a CI runner that is cut off
    first.wait()
    third = playbook()
    while held(lock)["owner"]["pid"] != third.pid:
        assert third.poll() is None, third.communicate()[0]
        time.sleep(0.05)
    (tmp_path / "go").write_text("")
    output = third.communicate(timeout=60)[0]
    assert third.returncode == 0 and not lock.exists(), output
