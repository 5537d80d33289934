# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `system`: processor, memory and disk of the host, from /proc and statvfs. Private to the collection."""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base

DOCUMENTATION = r"""
system:
  description: Use of processor, memory and disk of the host. Each limit that is exceeded is a failure.
  type: dict
  suboptions:
    max_cpu_percent:
      description: Limit for the processor. By default none, as a deploy itself makes it busy.
      type: float
    max_memory_percent:
      description: Limit for memory.
      type: float
      default: 95.0
    max_disk_percent:
      description: Limit for the file system of O(targets[].system.path).
      type: float
      default: 90.0
    path:
      description: Any path in the file system to look at.
      type: path
      default: /
"""
CATEGORY = "System"
LIBRARIES = ()
SPEC: dict[str, t.Any] = {
    "options": {
        "max_cpu_percent": {"type": "float"},
        "max_memory_percent": {"type": "float", "default": 95.0},
        "max_disk_percent": {"type": "float", "default": 90.0},
        "path": {"type": "path", "default": "/"},
    }
}

_SAMPLE_SECONDS = 0.2
_REMEDIES = {
    "cpu_percent": "Find what uses the processor (top), or raise max_cpu_percent.",
    "memory_percent": "Free memory, or raise max_memory_percent.",
    "disk_percent": "Free disk space (docker system df, old releases and backups), or raise max_disk_percent.",
}


class CpuMeter:
    """Processor use in per cent between two looks at /proc/stat."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._busy, self._total = self._read()

    def percent(self, sleep: t.Callable[[float], None] = time.sleep) -> float:
        """Use since the meter was made; waits until that is long enough ago to mean something."""
        missing = self._begun + _SAMPLE_SECONDS - time.monotonic()
        if missing > 0:
            sleep(missing)
        busy, total = self._read()
        return round(100.0 * (busy - self._busy) / max(1, total - self._total), 1)

    @staticmethod
    def _read() -> tuple[int, int]:
        with open("/proc/stat", encoding="ascii") as stat:
            # guest time is already part of user time, so only the first eight count
            user, nice, system, idle, iowait, irq, softirq, steal = (int(n) for n in stat.readline().split()[1:9])
        busy = user + nice + system + irq + softirq + steal
        return busy, busy + idle + iowait


def memory_percent() -> float:
    """Memory that is not available to new work, in per cent."""
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        amounts = {line.split(":")[0]: int(line.split()[1]) for line in meminfo}
    return round(100.0 * (1 - amounts["MemAvailable"] / amounts["MemTotal"]), 1)


def disk_percent(path: str = "/") -> float:
    """Used part of what unprivileged processes can use of a file system, as df shows it, in per cent."""
    fs = os.statvfs(path)
    used = fs.f_blocks - fs.f_bfree
    return round(100.0 * used / max(1, used + fs.f_bavail), 1)


def metrics(meter: CpuMeter, path: str = "/", sleep: t.Callable[[float], None] = time.sleep) -> dict[str, float]:
    """The guide's `metrics`: cpu_percent, memory_percent, disk_percent."""
    return {
        "cpu_percent": meter.percent(sleep),
        "memory_percent": memory_percent(),
        "disk_percent": disk_percent(path),
    }


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Holds the host's use of processor, memory and disk against the limits that are set."""
    found = metrics(CpuMeter(), options["path"], attempt.budget.sleep)
    over = {name: options[f"max_{name}"] for name in found if options[f"max_{name}"] is not None}
    over = {name: limit for name, limit in over.items() if found[name] > limit}
    if over:
        raise _base.ProbeFailure(
            "; ".join(f"{name} is {found[name]:g}, more than {limit:g}" for name, limit in over.items()),
            _REMEDIES[next(iter(over))],
            "limits",
            data=found,
        )
    return _base.Outcome(", ".join(f"{name} {value:g}" for name, value in found.items()), found)
