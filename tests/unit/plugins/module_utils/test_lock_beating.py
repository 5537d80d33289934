# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock while a module works: real threads, real processes, leases of a second."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

ANNA = {"user": "anna", "host": "laptop", "pid": 4711, "started": "1", "process_space": "another machine"}
BEN = {"user": "ben", "host": "ci-7", "pid": 815, "started": "2", "process_space": "ci-7"}
LEASE = 0.9


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "tria" / "lock")


@pytest.fixture
def held(path, monkeypatch):
    """Anna's deploy holds the lock, and its tasks know it."""
    _lock.acquire(path, ANNA, LEASE)
    monkeypatch.setenv(_lock.VARIABLE, _lock.environment(path, ANNA, LEASE)[_lock.VARIABLE])
    return path


def beats() -> bool:
    """Whether a thread keeps the lock; those of other tests may still come to their end."""
    return any(thread.name == "lock" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not beats()


def test_without_a_lock_nothing_happens(monkeypatch):
    monkeypatch.delenv(_lock.VARIABLE, raising=False)
    with _lock.beating() as heartbeat:
        assert not beats()
        heartbeat.check()


def test_long_work_keeps_the_lock(held):
    with _lock.beating() as heartbeat:
        assert beats()
        for _moment in range(8):
            time.sleep(LEASE / 3)
            with pytest.raises(ProductionError):
                _lock.acquire(held, BEN, LEASE)
        heartbeat.check()
    assert _lock.read(held)["owner"] == ANNA and _lock.read(held)["module"]["pid"] == os.getpid()
    time.sleep(LEASE * 1.2)
    assert "lease had run out" in _lock.acquire(held, BEN, LEASE).note


def test_a_lock_that_is_lost_already_stops_the_work_before_it_begins(held):
    _lock.acquire(held, BEN, LEASE, dead=ANNA)
    with pytest.raises(ProductionError) as raised:
        with _lock.beating():
            pytest.fail("begun")
    assert "ben@ci-7 (pid 815" in raised.value.cause and raised.value.details["lock_lost"]


def test_a_lock_that_gets_lost_lets_the_work_finish(held):
    done = []
    with pytest.raises(ProductionError) as raised:
        with _lock.beating() as heartbeat:
            heartbeat.check()
            _stolen(held)
            time.sleep(LEASE)
            done.append("whole")
            with pytest.raises(ProductionError, match="ben@ci-7"):
                heartbeat.check()
    assert done and "ben@ci-7 (pid 815" in raised.value.cause and raised.value.details["owner"] == BEN
    assert _lock.read(held)["owner"] == BEN


def _stolen(path):
    """Ben, who knows that nobody is at work any more."""
    os.unlink(path)
    _lock.acquire(path, BEN, 60)


def test_a_lock_that_is_lost_at_the_last_moment(held):
    with pytest.raises(ProductionError, match="ben@ci-7"):
        with _lock.beating():
            _stolen(held)


def test_the_works_own_error_is_told_with_the_lost_lock(held):
    with pytest.raises(ProductionError) as raised:
        with _lock.beating():
            _stolen(held)
            raise ProductionError("backend", "has gone.", "See its log.", results=[1])
    assert "ben@ci-7" in raised.value.cause and "Meanwhile: backend: has gone." in raised.value.cause
    assert raised.value.details == {"results": [1], "owner": BEN, "lock_lost": True}


def test_the_works_own_error_alone(held):
    with pytest.raises(ProductionError, match="has gone"):
        with _lock.beating():
            raise ProductionError("backend", "has gone.")
    with pytest.raises(KeyError):
        with _lock.beating():
            raise KeyError("a bug")


def test_a_module_that_ends_itself(held):
    with pytest.raises(SystemExit):
        with _lock.beating():
            sys.exit(1)


def test_a_lock_that_was_removed_by_hand_is_taken_again(held):
    with _lock.beating():
        os.unlink(held)
        time.sleep(LEASE)
        assert _lock.read(held)["owner"] == ANNA


def test_a_lock_that_cannot_be_renewed(held, tmp_path):
    """The folder has become a file. As long as the lease lasts nobody else gets in, and then it must be known."""
    folder = pathlib.Path(held).parent
    with pytest.raises(ProductionError) as raised:
        with _lock.beating():
            folder.rename(tmp_path / "moved")
            folder.write_text("")
            time.sleep(LEASE / 2)
    assert raised.value.culprit.startswith(str(folder)) and "lock_lost" not in raised.value.details


def test_a_task_on_another_host_leaves_that_hosts_lock_alone(held, monkeypatch):
    elsewhere = {**json.loads(os.environ[_lock.VARIABLE]), "place": "another host"}
    monkeypatch.setenv(_lock.VARIABLE, json.dumps(elsewhere))
    os.unlink(held)
    with _lock.beating():
        assert not beats()
    assert not os.path.exists(held)


# --- processes --------------------------------------------------------------------------------------------------------

_MODULE = """
import sys, time
from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
try:
    with _lock.beating() as heartbeat:
        print("at work", flush=True)
        while True:
            time.sleep(0.05)
            heartbeat.check()
except ProductionError as exc:
    print(exc.cause)
"""


@pytest.fixture
def module(path):
    """Start a process that works until it loses the lock of the given owner."""
    made = []

    def start(owner, lease):
        _lock.acquire(path, owner, lease)
        environment = {**os.environ, **_lock.environment(path, owner, lease), "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen([sys.executable, "-c", _MODULE], env=environment, stdout=subprocess.PIPE, text=True)
        made.append(process)
        assert process.stdout.readline() == "at work\n"
        return process

    yield start
    for process in made:
        process.kill()
        process.communicate()


def test_a_killed_module_leaves_nothing(module, path):
    """Killed at many moments of its writing, with a lease so short that it writes all the time."""
    for moment in range(20):
        process = module(ANNA, 0.003)
        time.sleep(0.01 + moment / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.005)
        assert _lock.acquire(path, BEN, 60).note
        assert sorted(os.listdir(os.path.dirname(path))) == ["lock", "lock.last"]
        assert _lock.release(path, BEN)


def test_a_killed_module_frees_the_lock_when_the_lease_is_over(module, path):
    module(ANNA, LEASE).kill()
    begun = time.monotonic()
    while True:
        try:
            _lock.acquire(path, BEN, 60)
            break
        except ProductionError:
            time.sleep(0.02)
    assert time.monotonic() - begun < LEASE + 0.5


def test_what_a_killed_deploy_left_at_work_stops_and_the_next_one_waits_for_it(module, path):
    with subprocess.Popen(["sleep", "60"]) as deploy:
        process = module({**ANNA, **_lock.process(deploy.pid)}, 60)
        deploy.kill()
    begun = time.monotonic()
    note = _lock.acquire(path, BEN, 60).note
    assert "process is gone" in note and process.wait(1) == 0 and time.monotonic() - begun < 5
    assert _lock.read(path)["owner"] == BEN
