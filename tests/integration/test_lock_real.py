# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock between real `ansible-playbook` processes: the action plugin, the modules and the role together."""

from __future__ import annotations

import getpass
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

COLLECTION = pathlib.Path(__file__).parents[2]
ELSEWHERE = {"user": "anna", "host": "laptop", "pid": 4711, "started": "1", "process_space": "another machine"}
LOCK = "ansible.builtin.include_role: {name: tria.production.stack, tasks_from: lock, public: true}"
UNLOCK = "ansible.builtin.include_role: {name: tria.production.stack, tasks_from: unlock}"
RENEW = "ansible.builtin.include_role: {name: tria.production.stack, tasks_from: renew}"
WAIT = 'ansible.builtin.wait_for: {path: "{{ folder }}/go", sleep: 1}'
# Nobody listens at that port, and it need not be so: a module of ours works for that many seconds.
WORK = "tria.production.readiness_wait: {targets: [{name: nobody, critical: false, tcp: {port: 1}}], timeout: 8}"


@pytest.fixture
def playbook(tmp_path):
    """Start a playbook of such tasks; every process that is left is killed after the test."""
    made = []

    def start(*tasks, lease=60, host="localhost", connection="local", python=sys.executable, prefix=()):
        content = f"""
- hosts: all
  gather_facts: false
  environment: "{{{{ stack_lock.environment | default({{}}) }}}}"
  vars: {{stack_name: core-test, stack_root: {tmp_path}/stack, stack_lock_lease: {lease}, folder: {tmp_path}}}
  tasks: [{", ".join(f"{{{task}}}" for task in tasks)}]
"""
        file = tmp_path / f"play{len(made)}.yml"
        file.write_text(content)
        command = [*prefix, os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), str(file)]
        command += ["-i", f"{host},", "-c", connection, "-e", f"ansible_python_interpreter={python}"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(COLLECTION / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        process = subprocess.Popen(
            command, cwd=COLLECTION, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        made.append(process)
        return process

    yield start
    for process in made:
        process.kill()
        process.communicate()


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "stack" / "lock"


def held(path, by=None):
    """The lock's content, as soon as somebody (the process `by`) holds it."""
    deadline = time.monotonic() + 60
    while True:
        content = _lock.read(str(path))
        if content and (by is None or content["owner"]["pid"] == by.pid):
            return content
        assert time.monotonic() < deadline, "nobody took the lock"
        assert by is None or by.poll() is None, by.communicate()[0]
        time.sleep(0.05)


def ended(process):
    """Its exit status, and what it printed."""
    output = " ".join(process.communicate(timeout=60)[0].split())
    return process.returncode, output


def test_one_deploy_at_a_time(playbook, lock, tmp_path):
    first = playbook(LOCK, LOCK, WAIT, UNLOCK)
    owner = held(lock)["owner"]
    assert (owner["pid"], owner["user"]) == (first.pid, getpass.getuser())

    status, output = ended(playbook(LOCK))
    assert status != 0 and f"{owner['user']}@{owner['host']} (pid {first.pid}" in output
    assert held(lock)["owner"] == owner

    first.kill()  # as a CI runner that is cut off
    first.wait()
    third = playbook(LOCK, WAIT, UNLOCK)
    held(lock, by=third)
    (tmp_path / "go").write_text("")
    status, output = ended(third)
    assert status == 0 and "its process is gone" in output and not lock.exists()


def test_a_deploy_of_another_machine_that_was_killed_blocks_until_its_lease_is_over(playbook, lock, tmp_path):
    """A process space of its own is all that makes another machine here."""
    first = playbook(LOCK, WAIT, lease=8, prefix=["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])
    owner = held(lock)["owner"]
    assert owner["process_space"] and owner["process_space"] != _lock.process_space()
    first.kill()
    first.wait()
    taken = held(lock)["beat"]
    status, output = ended(playbook(LOCK))
    assert status != 0 and f"{owner['user']}@{owner['host']}" in output and "the lock is free in" in output

    (tmp_path / "go").write_text("")
    while time.clock_gettime(time.CLOCK_BOOTTIME) < taken + 8:
        time.sleep(0.1)
    status, output = ended(playbook(LOCK, UNLOCK))
    assert status == 0 and f"takes over the lock of {owner['user']}@{owner['host']}" in output
    assert "its lease had run out" in output


def test_a_dead_deploy_of_this_controller_on_another_host(playbook, engine_client, base_images, lock, tmp_path):
    """The host, a container, cannot see the controller's processes; the controller can."""
    options = {"detach": True, "init": True, "network_mode": "none"}
    container = engine_client.containers.run(base_images["python"], ["sleep", "600"], **options)
    try:
        where = {"host": container.id, "connection": "community.docker.docker", "python": "/usr/bin/python3"}
        first = playbook(LOCK, WAIT, UNLOCK, **where)
        while container.exec_run(["test", "-e", str(lock)]).exit_code:
            assert first.poll() is None, first.communicate()[0]
            time.sleep(0.2)
        status, output = ended(playbook(LOCK, **where))
        assert status != 0 and f"(pid {first.pid}" in output
        first.kill()
        first.wait()
        status, output = ended(playbook(LOCK, UNLOCK, **where))
        assert status == 0 and "its process is gone" in output and not lock.exists()
        assert container.exec_run(["test", "-e", str(lock)]).exit_code
    finally:
        container.remove(force=True)


def test_a_long_module_keeps_the_lock(playbook, lock):
    first = playbook(LOCK, WORK, RENEW, UNLOCK, lease=3)
    begun = held(lock)["beat"]
    while first.poll() is None:
        content = _lock.read(str(lock))
        if content and content["module"] and not _lock.ended(content["module"]):
            with pytest.raises(ProductionError):
                _lock.probe(str(lock), ELSEWHERE)
            lasted = content["beat"] - begun
        time.sleep(0.1)
    assert lasted > 2 * 3 and first.returncode == 0 and not lock.exists(), first.communicate()[0]


def test_renewing_when_it_is_time(playbook, lock, tmp_path):
    """The lease is 12 s, so that it is time after three."""
    note = [f"ansible.builtin.command: {{cmd: cp {lock} {tmp_path}/{number}}}" for number in range(4)]
    pause = "ansible.builtin.command: {cmd: sleep 3.2}"
    tasks = [LOCK, note[0], RENEW, note[1], pause, RENEW, note[2], RENEW, note[3], UNLOCK]
    status, output = ended(playbook(*tasks, lease=12))
    assert status == 0, output
    found = [json.loads((tmp_path / str(number)).read_text())["beat"] for number in range(4)]
    assert found[0] == found[1] < found[2] == found[3]


@pytest.mark.parametrize("given_back", [False, True])
def test_a_lost_lock_stops_the_deploy(playbook, lock, tmp_path, given_back):
    first = playbook(LOCK, WAIT, LOCK, lease=1)
    held(lock)
    time.sleep(1.1)
    assert "its lease had run out" in _lock.acquire(str(lock), ELSEWHERE, 60).note
    assert not given_back or _lock.release(str(lock), ELSEWHERE)
    (tmp_path / "go").write_text("")
    status, output = ended(first)
    assert status != 0 and "This deploy has lost its lock. anna@laptop (pid 4711" in output


def test_a_lock_that_was_removed_by_hand(playbook, lock, tmp_path):
    first = playbook(LOCK, WAIT, LOCK, UNLOCK)
    held(lock)
    lock.unlink()
    (tmp_path / "go").write_text("")
    status, output = ended(first)
    assert status == 0 and "it is taken again" in output


def test_what_a_killed_deploy_left_at_work_ends_before_the_next_one_begins(playbook, lock):
    first = playbook(LOCK, WORK, lease=600)
    while not held(lock)["module"]:
        time.sleep(0.05)
    module = held(lock)["module"]
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not _lock.ended(module)
    second = playbook(LOCK, "ansible.builtin.command: {cmd: 'true'}", UNLOCK)
    held(lock, by=second)
    status, output = ended(second)
    assert status == 0 and "its process is gone" in output and _lock.ended(module)
