# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollout is asked for, and what it tells of it. Private to the collection."""

from __future__ import annotations

import contextlib
import datetime
import time
import typing as t

NONE, UPDATED, RAN, REPLACED, SWITCHED, REMOVED, UNDONE = (
    "none", "updated", "ran", "replaced", "switched", "removed", "undone",
)

Entries = t.List[t.Dict[str, t.Any]]


class Options(t.NamedTuple):
    """`validate` turns raw targets into such as a probe takes; `go_on` raises where the deploy has lost its lock.

    `timeout` is in seconds, for each service; `backup` the path of the dump made before.
    """

    root: str
    release: str
    deploy: str
    verify: Entries
    timeout: float
    secrets: t.Sequence[str]
    validate: t.Callable[[Entries], Entries]
    go_on: t.Callable[[], None] = lambda: None
    backup: str = ""


class Told:
    """What was done to each service, how long every kind of step took, when requests were switched."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, t.Any]] = {}
        self._timings: dict[str, float] = {}
        self._switched_at = ""
        self._also_changed = False
        self.cut = 0  # connections that were still there when their container was told to stop

    def note(self, service: str, action: str, seconds: float = 0.0, **more: t.Any) -> None:
        """Of several actions on a service the first that was one counts; their times add up."""
        entry = self.services.setdefault(service, {"action": NONE, "seconds": 0.0})
        entry["action"] = action if entry["action"] == NONE else entry["action"]
        entry["seconds"] = round(entry["seconds"] + seconds, 3)
        entry.update(more)

    def note_switch(self) -> None:
        self._switched_at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")

    def note_change(self, changed: bool) -> None:
        """Of something that is no service's."""
        self._also_changed = self._also_changed or changed

    @contextlib.contextmanager
    def timed(self, step: str) -> t.Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self._timings[step] = round(self._timings.get(step, 0.0) + time.monotonic() - begun, 3)

    def as_dict(self) -> dict[str, t.Any]:
        """The module's return values; `window` is of all services together, its p95 that of the slowest."""
        windows = [one["window"] for one in self.services.values() if "window" in one]
        return {
            "changed": self._also_changed or any(one["action"] != NONE for one in self.services.values()),
            "services": self.services,
            "timings": self._timings,
            "switched_at": self._switched_at,
            "cut": self.cut,
            "window": {
                "requests": sum(one["requests"] for one in windows),
                "failed": sum(one["failed"] for one in windows),
                "p95_ms": max((one["p95_ms"] for one in windows), default=0.0),
            },
        }
