# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a program and tells when it ended, on the monotonic clock, and what processor time it took."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import tempfile
import threading
import time
import typing as t


@dataclasses.dataclass(frozen=True)
class Ended:
    """`at` is on the clock of `time.monotonic`, which all processes of a machine share. `cpu` counts children too."""

    code: int
    at: float
    seconds: float
    cpu: float
    stdout: str
    stderr: str


class Program:
    """A running program; `finish` waits for it. Its output goes to files: a full pipe would hold it up."""

    def __init__(
        self,
        argv: t.Sequence[str],
        stdin: str = "",
        env: t.Mapping[str, str] | None = None,
        cwd: pathlib.Path | None = None,
        timeout: float = 90.0,
    ) -> None:
        self._files = [tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") for _each in range(3)]
        self._files[0].write(stdin)
        self._files[0].seek(0)
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            list(argv), stdin=self._files[0], stdout=self._files[1], stderr=self._files[2],
            env={**os.environ, **(env or {})}, cwd=cwd,
        )
        self._killer = threading.Timer(timeout, self._process.kill)
        self._killer.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def finish(self) -> Ended:
        try:
            _pid, status, used = os.wait4(self._process.pid, 0)
        except KeyboardInterrupt:
            self._process.kill()
            raise
        finally:
            at = time.monotonic()
            self._killer.cancel()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in self._files:
            stream.seek(0)
            texts.append(stream.read())
            stream.close()
        cpu = used.ru_utime + used.ru_stime
        return Ended(self._process.returncode, at, at - self._begun, cpu, texts[1], texts[2])
