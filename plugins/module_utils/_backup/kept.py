# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that lives as long as a pipe to it is open. Private to the collection.

The pipe is closed whatever ends this process, SIGKILL too: nothing that was started so outlives it for long.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup.process import CHUNK, Deadline, TimedOut

_END_SECONDS = 10.0
_TAIL_BYTES = 4096


class Ended(Exception):
    """The program has ended before its time; the text is the end of what it said."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Kept:
    """Runs `argv` until `close`. Raises `FileNotFoundError` when there is no such program."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self._said = tempfile.TemporaryFile()  # a pipe that nobody reads would hold it up some day
        try:
            self._process = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
                bufsize=0,
            )
        except BaseException:
            self._said.close()
            raise
        self._unread = b""

    def tell(self, text: bytes) -> None:
        """Writes a few kilobytes to its standard input; that it has ended is told by `lines`."""
        try:
            self._process.stdin.write(text)
        except BrokenPipeError:
            return

    def lines(self, last: bytes, deadline: Deadline) -> t.Iterator[bytes]:
        """What it prints, line by line, up to the line `last`; raises `Ended` and `TimedOut`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while True:
                line, newline, rest = self._unread.partition(b"\n")
                if newline:
                    self._unread = rest
                    if line == last:
                        return
                    yield line
                elif selector.select(deadline.remaining()):
                    data = os.read(self._process.stdout.fileno(), CHUNK)
                    if not data:
                        raise Ended(self._wait(deadline), self.said())
                    self._unread += data

    def said(self) -> str:
        """The end of what it wrote to its standard error."""
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode("utf-8", "replace").strip()

    def close(self) -> int:
        """Lets it end, and ends it when it does not; returns its exit status."""
        try:
            self._process.stdin.close()
            return self._wait(Deadline(_END_SECONDS))
        except TimedOut:
            return -1
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._said.close()

    def _wait(self, deadline: Deadline) -> int:
        try:
            return self._process.wait(deadline.remaining())
        except subprocess.TimeoutExpired:
            raise TimedOut(f"not finished after {deadline.seconds:g} seconds") from None
