# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one client program: no shell, bounded memory, one deadline. Private to the collection."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
import typing as t

CHUNK = 1 << 20  # bytes moved at once
_STDERR_CHUNKS = 16  # reads of at most 4 KiB kept: the end of an endless stderr, not all of it
_DRAIN_SECONDS = 5.0
_GATHER_SECONDS = 0.001  # a read costs more than most of what it brings, so more of it is let come together
_F_SETPIPE_SZ = 1031  # Linux; fcntl has it since Python 3.10


class TimedOut(Exception):
    """The deadline passed while a program was still at work."""


class Interrupted(Exception):
    """The run was told to stop by a signal."""


class Deadline:
    """`seconds` from now, on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, more than zero; raises `TimedOut`."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimedOut(f"not finished after {self.seconds:g} seconds")
        return left


@contextlib.contextmanager
def stop_signals() -> t.Iterator[None]:
    """Turns SIGTERM, SIGHUP (a lost connection) and SIGINT into one `Interrupted`: clean-up then runs undisturbed."""
    stopping = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    caught = [each for each in stopping if signal.getsignal(each) is not signal.SIG_IGN]  # nohup means it

    def stop(number: int, _frame: t.Any) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(f"stopped by {signal.Signals(number).name}")

    before = {each: signal.signal(each, stop) for each in caught}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def run(
    argv: list[str],
    env: dict[str, str],
    deadline: Deadline,
    feed: t.Iterable[bytes] | None = None,
    sink: t.Callable[[bytes], t.Any] | None = None,
    on_abort: t.Callable[[], t.Any] | None = None,
) -> tuple[int, str]:
    """Runs `argv`; returns its exit status and the end of its standard error.

    `feed` is written to its standard input, what it prints goes to `sink` (or nowhere). When either raises, the
    deadline passes or a signal arrives, `on_abort` is called, the program is ended, and the exception goes on.
    It is called, too, when the program was killed: what a client has started elsewhere may outlive it.
    """
    process = subprocess.Popen(
        argv,
        env=env,
        stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is ours to handle, in order
        bufsize=0,
    )
    errors: t.Deque[bytes] = collections.deque(maxlen=_STDERR_CHUNKS)
    try:
        _pump(process, feed, sink, errors, deadline)
        status = process.wait(deadline.remaining())
    except subprocess.TimeoutExpired:
        _end(process, errors, on_abort)
        raise TimedOut(f"not finished after {deadline.seconds:g} seconds") from None
    except BaseException:
        _end(process, errors, on_abort)
        raise
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    if status < 0 and on_abort is not None:
        on_abort()
    return status, b"".join(errors).decode("utf-8", "replace").strip()


def _pump(
    process: subprocess.Popen[bytes],
    feed: t.Iterable[bytes] | None,
    sink: t.Callable[[bytes], t.Any] | None,
    errors: t.Deque[bytes],
    deadline: Deadline,
) -> None:
    """Moves bytes until the program has closed its output; one slow side only ever slows the other."""
    gathers = sink is not None and feed is None and _roomy(process.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        if feed is not None:
            os.set_blocking(process.stdin.fileno(), False)
            _roomy(process.stdin)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        chunks, pending = iter(feed or ()), memoryview(b"")
        while process.stdout in _files(selector) or process.stderr in _files(selector):
            for key, _events in selector.select(deadline.remaining()):
                if key.fileobj is process.stdin:
                    pending = _write(selector, process.stdin, pending or _next(chunks))
                    continue
                data = os.read(key.fd, CHUNK if key.fileobj is process.stdout else 4096)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    errors.append(data)
                elif sink is not None:
                    sink(data)
                    if gathers and len(data) < CHUNK:
                        time.sleep(_GATHER_SECONDS)


def _roomy(pipe: t.Any) -> bool:
    """Makes a pipe hold a whole chunk; False where the kernel lets the account have no more."""
    try:
        return fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, CHUNK) >= CHUNK
    except OSError:
        return False


def _files(selector: selectors.BaseSelector) -> list[t.Any]:
    return [key.fileobj for key in selector.get_map().values()]


def _next(chunks: t.Iterator[bytes]) -> memoryview:
    return memoryview(next(chunks, b""))


def _write(selector: selectors.BaseSelector, pipe: t.Any, data: memoryview) -> memoryview:
    """Writes what the pipe takes and returns the rest; closes it at the end, or when the program reads no further."""
    try:
        if data:
            return data[os.write(pipe.fileno(), data) :]
    except BrokenPipeError:
        pass  # its exit status says whether it had read enough
    selector.unregister(pipe)
    pipe.close()
    return memoryview(b"")


def _end(process: subprocess.Popen[bytes], errors: t.Deque[bytes], on_abort: t.Callable[[], t.Any] | None) -> None:
    """Ends the program. Its output is drained first: inside a container only a program that can go on writing ends."""
    try:
        if process.stdin is not None:
            process.stdin.close()
        if on_abort is not None:
            on_abort()
            _pump_rest(process, errors)
    finally:
        process.kill()
        process.wait()


def _pump_rest(process: subprocess.Popen[bytes], errors: t.Deque[bytes]) -> None:
    try:
        _pump(process, None, None, errors, Deadline(_DRAIN_SECONDS))
    except TimedOut:
        return  # it is killed next


def pause(seconds: float, deadline: Deadline) -> None:
    """Sleeps, but never beyond the deadline; raises `TimedOut` when it has passed."""
    time.sleep(min(seconds, deadline.remaining()))
