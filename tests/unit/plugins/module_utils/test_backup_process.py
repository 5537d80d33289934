# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running client programs: deadlines, signals, back pressure, bounded memory."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from ansible_collections.tria.production.plugins.module_utils._backup import process
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline, Interrupted, TimedOut

ENV = dict(os.environ)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_feeds_and_collects() -> None:
    out: list[bytes] = []
    chunks = [bytes([n]) * 300_000 for n in range(10)]
    status, stderr = process.run(["cat"], ENV, Deadline(20), feed=iter(chunks), sink=out.append)
    assert (status, stderr) == (0, "")
    assert b"".join(out) == b"".join(chunks)


def test_status_and_the_end_of_a_long_stderr() -> None:
    code = "import sys\nfor n in range(200000): sys.stderr.write(f'line {n}\\n')\nsys.exit(3)"
    status, stderr = process.run(python(code), ENV, Deadline(30))
    assert status == 3
    assert stderr.endswith("line 199999") and len(stderr) <= 16 * 4096


def test_a_program_that_reads_only_the_head_of_its_input() -> None:
    out: list[bytes] = []
    endless = (b"x" * 100_000 for _round in range(10_000))
    status, _stderr = process.run(["head", "-c", "5"], ENV, Deadline(20), feed=endless, sink=out.append)
    assert (status, b"".join(out)) == (0, b"xxxxx")


@pytest.mark.parametrize(
    "code", ["import time; time.sleep(60)", "import os, time; os.close(1); os.close(2); time.sleep(60)"]
)
def test_a_timeout_ends_the_program(code: str) -> None:
    aborted: list[str] = []
    begun = time.monotonic()
    with pytest.raises(TimedOut, match="0.5 seconds"):
        process.run(python(code), ENV, Deadline(0.5), on_abort=lambda: aborted.append("ended"))
    assert aborted == ["ended"] and time.monotonic() - begun < 20


def test_a_program_that_was_killed_may_have_left_something_at_work() -> None:
    aborted: list[str] = []
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    status, _stderr = process.run(python(code), ENV, Deadline(20), on_abort=lambda: aborted.append("ended"))
    assert (status, aborted) == (-9, ["ended"])
    process.run(python("raise SystemExit(137)"), ENV, Deadline(20), on_abort=lambda: aborted.append("twice"))
    assert aborted == ["ended"]


def test_an_error_of_the_sink_ends_the_program_and_goes_on() -> None:
    def full(_data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        process.run(["yes"], ENV, Deadline(20), sink=full)


def test_output_is_drained_until_the_program_ends_by_itself(tmp_path: object) -> None:
    """A program behind `docker exec` only notices that its backend is gone when it can go on writing."""
    stopped: list[str] = []
    code = (
        "import os, time\nfor n in range(40): os.write(1, b'x' * 65536)\ntime.sleep(0.2)\nopen(os.environ['DONE'], 'w')"
    )
    done = os.path.join(str(tmp_path), "done")
    with pytest.raises(ValueError, match="planted"):
        process.run(
            python(code), {**ENV, "DONE": done}, Deadline(20), sink=_planted, on_abort=lambda: stopped.append("x")
        )
    assert stopped and os.path.exists(done)


def _planted(_data: bytes) -> None:
    raise ValueError("planted")


def test_a_missing_program() -> None:
    with pytest.raises(FileNotFoundError):
        process.run(["no-such-program-anywhere"], ENV, Deadline(5))


def test_stop_signals_become_one_exception_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGTERM"), process.stop_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)  # does not disturb the clean-up
            time.sleep(0.01)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with process.stop_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_pause_never_sleeps_beyond_the_deadline() -> None:
    deadline = Deadline(0.05)
    process.pause(30, deadline)
    with pytest.raises(TimedOut):
        process.pause(30, deadline)


@pytest.mark.parametrize("granted", [True, False])
def test_small_pieces_come_together_where_a_pipe_has_room(granted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not granted:
        monkeypatch.setattr(process, "_F_SETPIPE_SZ", -1)  # a command that no kernel knows
    pieces: list[bytes] = []
    code = "import os\nfor i in range(256): os.write(1, bytes([i]) * 32768)"
    assert process.run(python(code), ENV, Deadline(20), sink=pieces.append) == (0, "")
    assert b"".join(pieces) == b"".join(bytes([i]) * 32768 for i in range(256))
    assert (max(map(len, pieces)) > 65536) == granted  # which is what a pipe holds otherwise
