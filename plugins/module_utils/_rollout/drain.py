# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits until nobody is connected to old containers any more, then stops and removes them. Private to the collection.

Connections are counted in the kernel's tables of the container's network, as /proc shows them for its first process.
That needs neither a program in the container nor a word of the application. With the Engine of another host only time
can be waited.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._rollout import containers as _containers
from ansible_collections.tria.production.plugins.module_utils._rollout.containers import Container, Containers

_LISTENING, _ESTABLISHED = "0A", "01"
_LOOPBACK_V6 = "00000000000000000000000001000000"
_MAPPED_V4 = "0000000000000000FFFF0000"
_QUIET = 1.0  # s without a connection: an edge that is just turning away may still open one
_EVERY = 0.1


class Leaving(t.NamedTuple):
    """An old container and how long it may keep its connections, in seconds."""

    container: Container
    drain: float
    long_drain: float
    stop_grace_period: float


def out(engine: Containers, leaving: t.Sequence[Leaving], now: t.Callable[[], float] = time.monotonic) -> int:
    """Drains, stops and removes them; returns how many connections were still there when told to stop."""
    begun, left, cut = now(), list(leaving), 0
    quiet_since: dict[str, float] = {}
    while left:
        # One that crashes again and again has another process by now, and one that has ended needs no patience.
        seen = ((one, engine.again(one.container)) for one in left)
        left = [one._replace(container=fresh) for one, fresh in seen if fresh]
        due = []
        for one in left:
            count = connections(one.container)
            if count == 0:
                quiet_since.setdefault(one.container["Id"], now())
            else:
                quiet_since.pop(one.container["Id"], None)
            if over(one, count, now() - begun, now() - quiet_since.get(one.container["Id"], now())):
                due.append(one)
                cut += count or 0
        for seconds in sorted({one.stop_grace_period for one in due}):
            engine.stop([one.container for one in due if one.stop_grace_period == seconds], seconds)
        engine.remove([one.container for one in due])
        left = [one for one in left if one not in due]
        if left:
            time.sleep(_EVERY)
    return cut


def over(one: Leaving, count: int | None, waited: float, quiet: float) -> bool:
    """Whether a container with `count` connections, None when nobody can tell, may be told to stop."""
    if not _containers.running(one.container) or waited >= one.drain + one.long_drain:
        return True
    return waited >= one.drain if count is None else count == 0 and quiet >= min(_QUIET, one.drain)


def connections(container: Container) -> int | None:
    """How many connections others have to what listens in the container; None when that cannot be seen from here."""
    pid = container["State"]["Pid"]
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as cgroup:
            if container["Id"] not in cgroup.read():
                return None  # some other process: the Engine runs elsewhere
        tables = []
        for name in ("tcp", "tcp6"):
            with open(f"/proc/{pid}/net/{name}", encoding="ascii") as table:
                tables += table.read().splitlines()[1:]
    except FileNotFoundError:
        return None if container["State"]["Running"] else 0
    except OSError:
        return None
    return count_connections(tables)


def count_connections(lines: t.Iterable[str]) -> int:
    """Of lines of /proc/net/tcp and tcp6: established ones to a port that listens, those within the container not."""
    rows = [line.split()[1:4] for line in lines]
    listening = {local.rpartition(":")[2] for local, _remote, state in rows if state == _LISTENING}
    return sum(
        state == _ESTABLISHED and local.rpartition(":")[2] in listening and not _is_loopback(remote.rpartition(":")[0])
        for local, remote, state in rows
    )


def _is_loopback(address: str) -> bool:
    """Of an address as the kernel writes it, every four bytes in the order of this machine."""
    if len(address) == 8:
        return address[-2:] == "7F"
    return address == _LOOPBACK_V6 or (address.startswith(_MAPPED_V4) and address[-2:] == "7F")
