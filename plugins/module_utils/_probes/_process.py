# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One program, here or in a container, within one attempt's budget; nothing of it is left. Private to the collection.

`_backup.process` runs programs for as long as they need; here the budget rules, and output is kept only to be shown.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import socket
import struct
import subprocess
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _net

KEPT = 65536  # bytes of each stream that are kept: the last ones

_CHUNK = 65536
_PAUSES = (0.001, 0.05)  # s, least and most, between two looks at a program that has closed its output and runs on
_KILL_SECONDS = 0.5
_STDOUT, _STDERR = 1, 2


class Tail:
    """The end of a stream; `cut` says whether that is not all of it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.cut = False

    def add(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > KEPT:
            del self.data[:-KEPT]
            self.cut = True

    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


class Late(Exception):
    """The time was up before the program had ended; `aftermath` says what became of it, if it was not killed."""

    def __init__(self, aftermath: str = "") -> None:
        super().__init__(f"too late{aftermath}")
        self.aftermath = aftermath


class Output:
    """What a program wrote and how it ended: `rc` is its exit code, minus the signal's number, or None."""

    def __init__(self) -> None:
        self.rc: int | None = None
        self.stdout = Tail()
        self.stderr = Tail()


def run(
    argv: list[str], output: Output, attempt: _base.Attempt, cwd: str | None, environment: dict[str, str], feed: bytes
) -> None:
    """Runs a program here, in a process group of its own, which is killed on every way out.

    Raises `OSError`, `ValueError` when it cannot be started, `Late`, `Cancelled`. What left the group by itself is not
    found any more, but does not hold up anything either.
    """
    with attempt.session.unfinished(_KILL_SECONDS):
        attempt.budget.remaining()  # after that it is too late for the session's end to overlook this program
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        try:
            _pump(process, output, feed, attempt.budget)
            _until(lambda: _has_ended(process), attempt.budget)
        except TimeoutError as exc:
            raise Late from exc
        finally:
            _kill_group(process)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        output.rc = process.returncode


def _until(true: t.Callable[[], bool], budget: _base.Budget) -> None:
    pause = _PAUSES[0]
    while not true():
        budget.sleep(pause)
        pause = min(2 * pause, _PAUSES[1])


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it stays a zombie, so that its number, and its group's, still belong to it."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # PermissionError: it has become another user's
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_KILL_SECONDS)


def _pump(process: subprocess.Popen[bytes], output: Output, feed: bytes, budget: _base.Budget) -> None:
    """Moves bytes until the program has closed its output, or has ended: a child of it may hold the pipes for ever."""
    tails = {process.stdout.fileno(): output.stdout, process.stderr.fileno(): output.stderr}
    poller = select.poll()
    for number in tails:
        os.set_blocking(number, False)
        poller.register(number, select.POLLIN)
    left = memoryview(feed)
    if process.stdin is not None:
        os.set_blocking(process.stdin.fileno(), False)
        poller.register(process.stdin, select.POLLOUT)
    ended = False
    while tails and not ended:
        ended = _has_ended(process)  # then all that it has written is in the pipes, and no more than one read each
        for number, _event in poller.poll(0 if ended else 1000 * min(_base.SLICE, max(0.001, budget.remaining()))):
            if number not in tails:
                left = _write(process, poller, left)
                continue
            data = _read(number)
            tails[number].add(data or b"")
            if data == b"":
                poller.unregister(number)
                del tails[number]


def _read(number: int) -> bytes | None:
    """b"" at the end, None where there is nothing just now."""
    try:
        return os.read(number, _CHUNK)
    except BlockingIOError:
        return None


def _write(process: subprocess.Popen[bytes], poller: t.Any, left: memoryview) -> memoryview:
    """Writes what the pipe takes and returns the rest; closes it at the end, or when the program reads no further."""
    try:
        left = left[os.write(process.stdin.fileno(), left):]
        if left:
            return left
    except BlockingIOError:
        return left
    except BrokenPipeError:
        left = memoryview(b"")  # its exit code says whether it had read enough
    poller.unregister(process.stdin)
    process.stdin.close()
    return left


def run_in_container(
    client: t.Any, container: dict[str, t.Any], output: Output, attempt: _base.Attempt, feed: bytes, **options: t.Any
) -> None:
    """Runs a program in a running container, with `options` of `docker.APIClient.exec_create`; raises `Late`.

    The Engine has no request to end it. On the Engine's own host it is killed like any process; elsewhere it goes on.
    """
    with attempt.session.unfinished(_KILL_SECONDS):
        attempt.budget.remaining()
        number = client.exec_create(container["Id"], stdin=bool(feed), **options)["Id"]
        stream = client.exec_start(number, socket=True)
        try:
            early, sock = _early(stream), getattr(stream, "_sock", stream)
            sock.settimeout(0)
            _demultiplex(_Rest(early, _net.Connection(sock, attempt.budget)), sock, output, feed)
            _until(lambda: not client.exec_inspect(number)["Running"], attempt.budget)
            output.rc = client.exec_inspect(number)["ExitCode"]
        except TimeoutError as exc:
            killed = _kill_exec(client.exec_inspect(number), container["Id"])
            raise Late("" if killed else " (it may still be running in the container)") from exc
        except BaseException:
            _kill_exec(client.exec_inspect(number), container["Id"])
            raise
        finally:
            response = getattr(stream, "_response", None)
            if response is not None:
                response.close()
            stream.close()


class _Rest(io.RawIOBase):
    """A connection, with what was read from it already in front."""

    def __init__(self, early: bytes, connection: _net.Connection) -> None:
        super().__init__()
        self._early = early
        self.connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        if not self._early:
            return self.connection.readinto(buffer)
        piece, self._early = self._early[:len(buffer)], self._early[len(buffer):]
        buffer[:len(piece)] = piece
        return len(piece)


def _early(stream: t.Any) -> bytes:
    """Output that came along with the answer's head, and so is in the HTTP client's buffer and not in the socket."""
    response = getattr(stream, "_response", None)
    if response is None:
        return b""
    sock, reader = getattr(stream, "_sock", stream), response.raw._fp.fp
    sock.settimeout(0)
    return reader.read1(_CHUNK) or b""


def _demultiplex(rest: _Rest, sock: socket.socket, output: Output, feed: bytes) -> None:
    if feed:
        rest.connection.sendall(feed)
        sock.shutdown(socket.SHUT_WR)
    tails = {_STDOUT: output.stdout, _STDERR: output.stderr}
    reader = io.BufferedReader(rest, _CHUNK)
    while True:
        head = reader.read(8)
        if len(head) < 8:
            return
        kind, left = struct.unpack("!BxxxL", head)
        while left:
            piece = reader.read1(min(left, _CHUNK))
            if not piece:
                return
            left -= len(piece)
            tails.get(kind, output.stdout).add(piece)


def _kill_exec(state: dict[str, t.Any], container_id: str) -> bool:
    """Whether the program is dead now."""
    pid = state.get("Pid") or 0
    if not state.get("Running") or not _is_in(pid, container_id):
        return not state.get("Running")
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + _KILL_SECONDS
    while _is_in(pid, container_id) and time.monotonic() < end:
        time.sleep(0.005)
    return not _is_in(pid, container_id)


def _is_in(pid: int, container_id: str) -> bool:
    """Whether a process of this host is one of the container's; of an Engine elsewhere a number means nothing here."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as cgroup:
            return container_id in cgroup.read()
    except OSError:
        return False
