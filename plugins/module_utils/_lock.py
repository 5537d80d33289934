# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One deploy of a stack at a time: a leased lock file that says who holds it. Private to the collection.

The lease is counted on the clock of the host that holds the file, so that all who ask read the same clock.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def process_space() -> str:
    """Names where a pid means one process: this boot of this machine, and the namespace of a container on it.

    Empty on a controller without /proc, whose processes cannot be told apart.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return f"{stream.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except FileNotFoundError:
        return ""


def process_started(pid: int) -> str:
    """When a process of this machine was started, in ticks since boot; empty when there is none.

    With the pid it names one process for ever: a pid alone is given again.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def acquire(path: str, owner: dict[str, t.Any], lease: float) -> str:
    """Take the lock, or renew it when `owner` holds it. Returns a word on a stale lock that was taken over, else empty.

    `owner` is `{user, host, pid, started, process_space}` of the deploying process. Raises `ProductionError` naming the
    holder, and `OSError`.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o750, exist_ok=True)
    with _alone(folder):
        note = probe(path, owner)
        now = time.time()
        content = {"owner": owner, "heartbeat": now, "expires": now + lease}
        _atomic.write_file(path, json.dumps(content, sort_keys=True) + "\n", 0o644)
    return note


def probe(path: str, owner: dict[str, t.Any]) -> str:
    """Whether `owner` could take the lock now; changes nothing. Returns and raises like `acquire`."""
    holder = read(path)
    if holder is None or holder["owner"] == owner:
        return ""
    reason = _stale(holder)
    if reason:
        return f"takes over the lock of {describe(holder)}: {reason}"
    raise ProductionError(
        "lock",
        f"{describe(holder)} deploys this stack.",
        f"Wait for it to end. If it is gone, the lock is free {_until(holder)}, or remove {path}.",
        owner=holder["owner"],
    )


def release(path: str, owner: dict[str, t.Any]) -> bool:
    """Give the lock back; somebody else's is left alone. Returns whether it was ours."""
    if read(path) is None:
        return False
    with _alone(os.path.dirname(path)):
        holder = read(path)
        ours = holder is not None and holder["owner"] == owner
        if ours:
            os.unlink(path)
    return ours


def read(path: str) -> dict[str, t.Any] | None:
    """The lock's content, or None when it is free. A lock nobody can read counts as expired."""
    try:
        with open(path, encoding="utf-8") as stream:
            holder = json.load(stream)
        return {"owner": dict(holder["owner"]), "heartbeat": float(holder["heartbeat"]), "expires": float(holder["expires"])}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return {"owner": {}, "heartbeat": 0.0, "expires": 0.0}


def describe(holder: dict[str, t.Any]) -> str:
    owner = holder["owner"]
    if not owner:
        return "an unreadable owner"
    since = datetime.datetime.fromtimestamp(holder["heartbeat"], datetime.timezone.utc)
    return f"{owner.get('user')}@{owner.get('host')} (pid {owner.get('pid')}, last heard of {since:%Y-%m-%d %H:%M:%S} UTC)"


@contextlib.contextmanager
def _alone(folder: str) -> t.Iterator[None]:
    """Between looking at the lock and writing it nobody else does either: all who ask are processes of this host."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _stale(holder: dict[str, t.Any]) -> str:
    if holder["expires"] <= time.time():
        return "its lease had run out"
    owner = holder["owner"]
    if owner.get("process_space") == process_space() and process_started(owner.get("pid", 0)) != owner.get("started"):
        return "its process is gone"
    return ""


def _until(holder: dict[str, t.Any]) -> str:
    return f"in {max(0, int(holder['expires'] - time.time()))} s"
