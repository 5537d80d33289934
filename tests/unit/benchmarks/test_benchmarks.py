# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What benchmarks and fault matrix print, and when they call a verdict wrong."""

from __future__ import annotations

import contextlib
import sys
import time

import pytest
from benchmarks import suites
from benchmarks.figures import Figure, percentile
from benchmarks.memory import Watch
from benchmarks.process import Program
from faults import backup, readiness


@pytest.mark.parametrize(
    "figure, line",
    [
        (Figure("a_ms", 12.34), "bench a_ms ours=12.3 peer=- ratio=- goal=- -"),
        (Figure("a_ms", 50, goal=50), "bench a_ms ours=50 peer=- ratio=- goal=50 met"),
        (Figure("a_ms", 50.2, 25.1, 50), "bench a_ms ours=50.2 peer=25.1 ratio=2 goal=50 missed"),
        (Figure("a_ms", 1, 12345), "bench a_ms ours=1 peer=12345 ratio=8.1e-05 goal=- -"),
        (Figure("a_s", 9, 20, 0.5, True), "bench a_s ours=9 peer=20 ratio=0.45 goal=0.5 met"),
        (Figure("a_s", 11, 20, 0.5, True), "bench a_s ours=11 peer=20 ratio=0.55 goal=0.5 missed"),
        (Figure("a_s", 11, None, 0.5, True), "bench a_s ours=11 peer=- ratio=- goal=0.5 -"),
        (Figure("wrong", 0, 0, 0), "bench wrong ours=0 peer=0 ratio=- goal=0 met"),
    ],
)
def test_line(figure, line):
    assert figure.line() == line


def test_percentile_is_a_measured_value():
    assert percentile([3.0, 1.0, 2.0], 95) == 3.0
    assert percentile(list(range(1, 101)), 95) == 95
    assert percentile([7.0], 5) == 7.0


def test_suites():
    assert suites.chosen({"a": 1, "b": 2}, "") == [1, 2]
    assert suites.chosen({"a": 1, "b": 2}, "b") == [2]
    with pytest.raises(SystemExit, match="ONLY=c: there is no such suite. There is: a, b."):
        suites.chosen({"a": 1, "b": 2}, "c")


def test_program():
    ended = Program([sys.executable, "-c", "print(input()); raise SystemExit(3)"], "hello").finish()
    assert (ended.code, ended.stdout) == (3, "hello\n")
    assert 0 < ended.cpu and 0 < ended.seconds < 60 and ended.at <= time.monotonic()


def test_a_program_that_hangs_is_killed():
    assert Program([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2).finish().code == -9


def test_memory_is_of_a_process_and_of_those_that_it_starts():
    eats = "import sys, time; bytes_ = bytearray({} << 20); print(flush=True); time.sleep({})"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {eats.format(80, 0.5)!r}], check=True)"
    program = Program([sys.executable, "-c", f"gone = bytearray(40 << 20); del gone; {child}"])
    watch = Watch(program.pid)
    assert program.finish().code == 0
    watch.stop()
    assert 40 << 20 <= watch.own_bytes < 80 << 20  # its peak, though it is over
    assert watch.all_bytes >= 80 << 20


@pytest.mark.parametrize(
    "ok, intact, new, restores, outcome",
    [
        (True, True, True, True, "made"),
        (True, True, True, False, "false-backup"),
        (True, True, False, False, "false-backup"),
        (False, True, False, False, "refused"),
        (False, True, True, False, "left-partial"),
        (False, True, True, True, "left-complete"),
        (True, False, True, True, "lost-older"),
        (None, True, True, True, "hung"),
    ],
)
def test_outcomes_of_dumps(ok, intact, new, restores, outcome):
    assert backup.outcome(ok, intact, new, restores) == outcome


@pytest.mark.parametrize(
    "ok, as_before, as_backup, outcome",
    [
        (True, False, True, "restored"),
        (True, True, False, "false-restore"),
        (True, False, False, "false-restore"),
        (False, True, False, "refused"),
        (False, False, False, "half-restored"),
        (None, False, False, "hung"),
    ],
)
def test_outcomes_of_restores(ok, as_before, as_backup, outcome):
    assert backup.restore_outcome(ok, as_before, as_backup) == outcome


def test_shortcomings_of_outcomes():
    planted = backup.Case("it", backup.REFUSED, says="is full")
    assert backup.shortcoming(planted, backup.Verdict(backup.REFUSED, 1.0, "the disk is full")) == ""
    assert "is not in the message" in backup.shortcoming(planted, backup.Verdict(backup.REFUSED, 1.0, "no"))
    assert "should have been refused" in backup.shortcoming(planted, backup.Verdict(backup.MADE, 1.0, "is full"))


def case(ready=None):
    return readiness.Case("it", lambda place: {}, "exit code 3", contextlib.nullcontext, ready=ready)


@pytest.mark.parametrize(
    "said, seconds, message, outcome, wrong",
    [
        (True, 0.1, "", "false-ready", "it is not ready"),
        (False, 0.1, "ended (exit code 3)", "failed", ""),
        (False, 5.0, "ended (exit code 3)", "timed-out", ""),
        (False, 6.5, "ended (exit code 3)", "timed-out", "longer than its timeout"),
        (False, 0.1, "who knows", "failed", "'exit code 3' is not in the message"),
    ],
)
def test_verdicts_on_what_is_never_ready(said, seconds, message, outcome, wrong):
    verdict = readiness.verdict_of(case(), readiness.Place(), said, seconds, message)
    assert verdict.outcome == outcome
    shortcoming = readiness.shortcoming(case(), verdict)
    assert wrong in shortcoming and bool(wrong) == bool(shortcoming)


@pytest.mark.parametrize("truly, outcome, right", [(True, "ready", True), (False, "false-ready", False)])
def test_verdicts_on_what_gets_ready(truly, outcome, right):
    planted = case(ready=lambda stack: truly)
    verdict = readiness.verdict_of(planted, readiness.Place(stack=object()), True, 1.0, "exit code 3")
    assert verdict.outcome == outcome and (readiness.shortcoming(planted, verdict) == "") is right
    late = readiness.verdict_of(planted, readiness.Place(stack=object()), False, 5.0, "exit code 3")
    assert "it gets ready" in readiness.shortcoming(planted, late)
