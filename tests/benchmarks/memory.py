# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The memory of a process and of those that it starts, looked at from outside."""

from __future__ import annotations

import glob
import pathlib
import re
import threading

_INTERVAL = 0.02  # s
_VALUE = re.compile(r"^(VmHWM|VmRSS):\s+(\d+) kB$", re.MULTILINE)


class Watch:
    """Looks at the process `pid` until `stop`.

    `own_bytes` is its peak, as the kernel keeps it; `all_bytes` the most that it and its descendants had at one moment.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.own_bytes = self.all_bytes = 0
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_INTERVAL):
            found = [_memory(pid) for pid in _family(self._pid)]
            self.own_bytes = max([self.own_bytes, *(peak for peak, _now in found[:1])])
            self.all_bytes = max(self.all_bytes, sum(now for _peak, now in found))


def _family(pid: int) -> list[int]:
    """The process and its descendants, itself first."""
    found = [pid]
    for each in found:
        for path in glob.glob(f"/proc/{each}/task/*/children"):
            found += [int(child) for child in _text(path).split()]
    return found


def _memory(pid: int) -> tuple[int, int]:
    """(peak, now) in bytes; nothing for one that has ended."""
    values = {name: int(kilobytes) * 1024 for name, kilobytes in _VALUE.findall(_text(f"/proc/{pid}/status"))}
    return values.get("VmHWM", 0), values.get("VmRSS", 0)


def _text(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""
