# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock, with processes that live, end and race for it."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import stat
import subprocess
import sys
import time

import pytest

from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

ELSEWHERE = {"user": "anna", "host": "laptop", "pid": 4711, "started": "1", "process_space": "another machine"}
OTHER = {"user": "ben", "host": "ci-7", "pid": 815, "started": "2", "process_space": "ci-7"}

_FOREVER = 10 * 365 * 24 * 3600


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "tria" / "lock")


@pytest.fixture
def own():
    """This very process."""
    pid = os.getpid()
    return {**OTHER, "pid": pid, "started": _lock.process_started(pid), "process_space": _lock.process_space()}


def content(path):
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def edit(path, **fields):
    """Write other values into the lock, relative to those that are there when they are numbers."""
    held = content(path)
    held.update({key: held[key] + value if isinstance(value, (int, float)) else value for key, value in fields.items()})
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(held, stream)


def test_take_and_give_back(path):
    assert _lock.acquire(path, ELSEWHERE, 60) == ("", False)
    written = content(path)
    assert written["owner"] == ELSEWHERE and written["expires"] - written["heartbeat"] == pytest.approx(60)
    assert written["lease"] == 60
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
    assert sorted(os.listdir(os.path.dirname(path))) == ["lock", "lock.last"]
    assert _lock.release(path, ELSEWHERE) is True and not os.path.exists(path)
    assert _lock.release(path, ELSEWHERE) is False


def test_a_second_owner_is_refused(path):
    _lock.acquire(path, ELSEWHERE, 60)
    before = content(path)
    with pytest.raises(ProductionError) as raised:
        _lock.acquire(path, OTHER, 60)
    assert "anna@laptop (pid 4711" in raised.value.cause and path in raised.value.remedy
    assert raised.value.as_result()["owner"] == ELSEWHERE and content(path) == before


def test_the_owner_renews(path):
    _lock.acquire(path, ELSEWHERE, 60)
    before = content(path)
    time.sleep(0.01)
    assert _lock.acquire(path, ELSEWHERE, 120) == ("", True)
    assert content(path)["heartbeat"] > before["heartbeat"] and content(path)["expires"] > before["expires"] + 50


def test_the_owner_renews_its_expired_lock_without_a_word(path):
    _lock.acquire(path, ELSEWHERE, -1)
    assert _lock.acquire(path, ELSEWHERE, 60) == ("", True)


def test_an_expired_lease_is_taken_over(path):
    _lock.acquire(path, ELSEWHERE, -1)
    note = _lock.acquire(path, OTHER, 60).note
    assert "anna@laptop" in note and "lease had run out" in note and content(path)["owner"] == OTHER


def ended():
    """A process that is gone, as an owner on this machine."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = {**ELSEWHERE, "pid": process.pid, "started": _lock.process_started(process.pid)}
        process.communicate(b"\n")
    return {**owner, "process_space": _lock.process_space()}


def test_the_lock_of_a_dead_process_is_taken_over(path):
    dead = ended()
    assert dead["started"]
    _lock.acquire(path, dead, 60)
    note = _lock.acquire(path, OTHER, 60).note
    assert f"pid {dead['pid']}" in note and "process is gone" in note


def test_a_pid_that_was_given_again(path, own):
    _lock.acquire(path, {**own, "started": "1"}, 60)
    assert "process is gone" in _lock.acquire(path, OTHER, 60).note


def test_a_process_that_the_controller_knows_to_be_gone(path):
    _lock.acquire(path, ELSEWHERE, 60)
    with pytest.raises(ProductionError):
        _lock.acquire(path, OTHER, 60, dead={**ELSEWHERE, "pid": 4712})
    assert "process is gone" in _lock.acquire(path, OTHER, 60, dead=ELSEWHERE).note


def test_of_another_process_space_nothing_is_known(path):
    _lock.acquire(path, {**ended(), "process_space": "another boot, or another container"}, 60)
    with pytest.raises(ProductionError):
        _lock.acquire(path, OTHER, 60)


def test_a_process_that_lives_keeps_its_lock(path, own):
    _lock.acquire(path, own, 60)
    with pytest.raises(ProductionError):
        _lock.acquire(path, OTHER, 60)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff\xfe", b'{"owner": "anna"}', b'{"owner": {}, "heartbeat": "x", "expires": 1}']
)
def test_a_lock_nobody_can_read(path, text):
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as stream:
        stream.write(text)
    assert _lock.release(path, OTHER) is False and os.path.exists(path)
    assert "unreadable owner" in _lock.acquire(path, OTHER, 60).note and content(path)["owner"] == OTHER


def test_an_owner_that_names_no_process(path):
    _lock.acquire(path, {"user": "by hand", "process_space": _lock.process_space()}, 60)
    assert "process is gone" in _lock.acquire(path, OTHER, 60).note


def test_somebody_elses_lock_is_left_alone(path):
    _lock.acquire(path, ELSEWHERE, 60)
    assert _lock.release(path, OTHER) is False and content(path)["owner"] == ELSEWHERE


def test_probing_changes_nothing(path):
    assert _lock.probe(path, OTHER) == ("", False) and not os.path.exists(os.path.dirname(path))
    _lock.acquire(path, ELSEWHERE, -1)
    before = content(path)
    assert _lock.probe(path, ELSEWHERE) == ("", True)
    assert "lease had run out" in _lock.probe(path, OTHER).note and content(path) == before


def test_a_controller_without_proc(monkeypatch):
    def missing(*_args, **_kwargs):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)
    assert _lock.process_space() == "" and _lock.process_started(1) == ""


# --- clocks -----------------------------------------------------------------------------------------------------------

_HOURS = 3 * 3600


@pytest.mark.parametrize("jump", [-_HOURS, _HOURS])
def test_a_clock_that_was_set_neither_frees_the_lock_nor_keeps_it(path, jump):
    """The lock as it is when the time of day has jumped since it was taken."""
    _lock.acquire(path, ELSEWHERE, 60)
    edit(path, heartbeat=-jump, expires=-jump)
    with pytest.raises(ProductionError) as raised:
        _lock.acquire(path, OTHER, 60)
    assert 0 < int(re.search(r"free in (\d+) s", raised.value.remedy)[1]) <= 60
    edit(path, beat=-61)
    assert "lease had run out" in _lock.acquire(path, OTHER, 60).note


def test_after_a_reboot_the_time_of_day_counts(path):
    _lock.acquire(path, ELSEWHERE, _FOREVER)
    edit(path, boot="another boot", beat=_FOREVER)
    with pytest.raises(ProductionError):
        _lock.acquire(path, OTHER, 60)
    edit(path, expires=-_FOREVER - 1)
    assert "lease had run out" in _lock.acquire(path, OTHER, 60).note


def test_after_a_reboot_with_the_clock_set_back_the_time_since_boot_counts(path):
    """This machine was started longer than a millisecond ago."""
    _lock.acquire(path, ELSEWHERE, 0.001)
    edit(path, boot="another boot", expires=_FOREVER)
    assert "lease had run out" in _lock.acquire(path, OTHER, 60).note


def test_a_reboot_ends_what_ran_on_this_machine(path):
    _lock.acquire(path, {**ELSEWHERE, "process_space": "that-boot pid:[1]"}, _FOREVER)
    edit(path, boot="that-boot")
    assert "started again" in _lock.acquire(path, OTHER, 60).note


# --- what others may have done meanwhile ------------------------------------------------------------------------------


def test_going_on(path):
    _lock.acquire(path, ELSEWHERE, 60)
    before = content(path)
    time.sleep(0.01)
    assert _lock.renew(path, ELSEWHERE, 60) == ("", True)
    assert content(path)["beat"] > before["beat"]


def test_a_lock_that_somebody_else_has(path):
    _lock.acquire(path, ELSEWHERE, -1)
    _lock.acquire(path, OTHER, 60)
    before = content(path)
    with pytest.raises(ProductionError) as raised:
        _lock.renew(path, ELSEWHERE, 60)
    assert "lost its lock" in raised.value.cause and "ben@ci-7 (pid 815" in raised.value.cause
    assert raised.value.details == {"owner": OTHER, "lock_lost": True} and content(path) == before


def test_a_lock_that_somebody_else_has_had(path):
    _lock.acquire(path, ELSEWHERE, -1)
    _lock.acquire(path, OTHER, 60)
    assert _lock.release(path, OTHER)
    with pytest.raises(ProductionError) as raised:
        _lock.renew(path, ELSEWHERE, 60)
    assert "ben@ci-7 (pid 815) has taken it over meanwhile" in raised.value.cause and not os.path.exists(path)


def test_a_lock_that_was_removed_by_hand(path):
    _lock.acquire(path, ELSEWHERE, 60)
    os.unlink(path)
    taken = _lock.renew(path, ELSEWHERE, 60)
    assert "taken again" in taken.note and not taken.renewed and content(path)["owner"] == ELSEWHERE


def test_a_folder_that_was_removed_by_hand(path):
    _lock.acquire(path, ELSEWHERE, 60)
    shutil.rmtree(os.path.dirname(path))
    assert "taken again" in _lock.renew(path, ELSEWHERE, 60).note


def test_what_a_killed_writer_left_is_removed(path):
    _lock.acquire(path, ELSEWHERE, 60)
    folder = os.path.dirname(path)
    for name in (".lock.abc", ".lock.last.abc", ".locker", "other"):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
            stream.write("")
    _lock.renew(path, ELSEWHERE, 60)
    assert sorted(os.listdir(folder)) == [".locker", "lock", "lock.last", "other"]


def test_what_a_dead_deploy_left_at_work_is_waited_for(path):
    with subprocess.Popen(["sleep", "1"]) as left_behind:
        _lock.acquire(path, ELSEWHERE, 60)
        _lock.renew(path, ELSEWHERE, 60, _lock.process(left_behind.pid))
        begun = time.monotonic()
        _lock.acquire(path, OTHER, 60, dead=ELSEWHERE)
        assert left_behind.wait() == 0 and 0.5 < time.monotonic() - begun < 5


def test_what_a_dead_deploy_left_at_work_is_waited_for_until_its_lease_is_over(path):
    with subprocess.Popen(["sleep", "60"]) as left_behind:
        try:
            _lock.acquire(path, ELSEWHERE, 60)
            _lock.renew(path, ELSEWHERE, 0.5, _lock.process(left_behind.pid))
            begun = time.monotonic()
            _lock.acquire(path, OTHER, 60, dead=ELSEWHERE)
            assert left_behind.poll() is None and 0.3 < time.monotonic() - begun < 5
        finally:
            left_behind.kill()


def test_which_processes_are_gone():
    assert not _lock.ended(_lock.process(os.getppid())) and _lock.ended(ended())
    with subprocess.Popen(["true"]) as process:
        asked_for = _lock.process(process.pid)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert _lock.ended(asked_for)  # a zombie: whoever started it is gone or does not care
    # nothing is known of what has no process space: a controller without /proc, a lock made by hand
    assert not _lock.ended({"process_space": ""}) and not _lock.ended({})


def race(path, number, barrier, results):
    """Take the lock at the same moment as everybody else."""
    owner = {**OTHER, "pid": number}
    barrier.wait()
    try:
        results.put((number, _lock.acquire(path, owner, 60).note))
    except ProductionError as exc:
        results.put((None, exc.details["owner"]["pid"]))


@pytest.mark.parametrize("before", ["free", "stale"])
def test_of_many_processes_one_wins(path, before):
    context, racers = multiprocessing.get_context("spawn" if sys.platform == "darwin" else "fork"), 8
    for _round in range(5):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if before == "stale":
            _lock.acquire(path, ELSEWHERE, -1)
        barrier, results = context.Barrier(racers), context.Queue()
        processes = [
            context.Process(target=race, args=(path, number, barrier, results)) for number in range(1, racers + 1)
        ]
        for process in processes:
            process.start()
        outcomes = [results.get(timeout=30) for _process in processes]
        for process in processes:
            process.join()
        winners = [(number, note) for number, note in outcomes if number]
        assert len(winners) == 1 and bool(winners[0][1]) is (before == "stale")
        assert content(path)["owner"]["pid"] == winners[0][0]
        assert {pid for number, pid in outcomes if not number} == {winners[0][0]}  # the losers name the winner
        os.unlink(path)
