# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a wait knows of each target, and when it looks at it again. Private to the collection."""

from __future__ import annotations

import dataclasses
import random
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _probes, _result
from ansible_collections.tria.production.plugins.module_utils._probes import _compose, _net
from ansible_collections.tria.production.plugins.module_utils._probes._base import Target

_GROWTH = 0.01  # the interval as a part of the time waited: an answer is never later than that
_JITTER = 0.2
_SECOND_LOOK = 0.1  # s after an event: the Engine may tell before its own record has changed
_TIMELINE = 20


@dataclasses.dataclass(frozen=True)
class Settings:
    """Times in seconds, all on the monotonic clock."""

    timeout: float
    stable_for: float = 0.0
    successes: int = 1
    startup_grace: float = 0.0
    interval_min: float = 0.02
    interval_max: float = 1.0

    def interval(self, waited: float, least: float = 0.0) -> float:
        """Seconds until the next attempt, after `waited` seconds."""
        grown = max(self.interval_min, least, min(self.interval_max, waited * _GROWTH))
        return grown * random.uniform(1 - _JITTER, 1 + _JITTER)


@dataclasses.dataclass(eq=False)
class Watch:
    """What is known of one target. A `guard` only looks whether the container behind a target has died.

    Times are those of `time.monotonic()`; `due` is None while there is nothing to be done.
    """

    target: Target
    settings: Settings
    begun: float
    guard: bool = False
    memory: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    due: t.Optional[float] = 0.0
    busy: bool = False
    attempts: int = 0
    reached: bool = False
    refusals: int = 0
    refused_with: t.Optional[int] = None
    addresses: t.Optional[t.List[t.Tuple[t.Any, t.Any]]] = None
    seen: t.Optional[_probes.Observation] = None
    streak: int = 0
    streak_since: float = 0.0
    last_success: float = 0.0
    ready_after: t.Optional[float] = None
    flaps: int = 0
    final_since: t.Optional[float] = None
    second_look: float = 0.0
    timeline: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)

    @property
    def ready(self) -> bool:
        return self.ready_after is not None

    @property
    def good(self) -> bool:
        """Whether the last attempt was good, which need not have been often or long enough."""
        return self.seen is not None and self.seen.good

    @property
    def skipped(self) -> bool:
        """Whether nothing is to be waited for: a skip is good as it is, at once, and is not looked at again."""
        return self.seen is not None and self.seen.status == _result.SKIP

    @property
    def final(self) -> bool:
        """Whether waiting is useless."""
        return self.final_since is not None

    @property
    def dead(self) -> bool:
        """Whether the whole wait is lost."""
        return self.final and self.target.critical

    def wake(self, now: float) -> None:
        """Something happened to a container: look now, and once more when the Engine's record has settled."""
        self.second_look = now + _SECOND_LOOK
        if not self.ready or self.target.kind == "container":
            self.due = now

    def judge(self, seen: _probes.Observation, now: float, retry: float) -> None:
        """Takes in what an attempt saw. `retry` is when the next one starts, where nothing says otherwise."""
        self.busy = False
        self._note(seen, now - self.begun)
        if seen.good:
            self._count_success(now)
        else:
            self._count_failure(seen, now)
        if self.due is None and not self.final:  # an event may have come in the meantime
            self.due = self._next(seen, now, retry)

    def refused_again(self, retry: float) -> None:
        """As `judge`, for a connect that ended just as the one before."""
        self.busy, self.refusals = False, self.refusals + 1
        self.due = retry if self.due is None else self.due  # an event may have come in the meantime

    def _note(self, seen: _probes.Observation, waited: float) -> None:
        """Equal observations that follow each other are one entry of the timeline.

        That the deadline cut an attempt short says less than the failure before it.
        """
        if seen.cut_short and self.seen is not None and not self.seen.good:
            return
        self.seen = seen
        entry = {"status": seen.status, "message": seen.message}
        if not self.timeline or any(self.timeline[-1][key] != entry[key] for key in entry):
            self.timeline = [*self.timeline, {"after": round(waited, 3), **entry}][-_TIMELINE:]

    def _count_success(self, now: float) -> None:
        self.streak += 1
        self.streak_since = now if self.streak == 1 else self.streak_since
        self.last_success = now
        self.refused_with = None
        lasted = now - self.streak_since >= self.settings.stable_for
        enough = lasted and self.streak >= self.settings.successes
        if not self.ready and (enough or self.skipped):
            self.ready_after = now - self.begun

    def _count_failure(self, seen: _probes.Observation, now: float) -> None:
        self.flaps += self.streak > 0
        self.refused_with = None
        self.streak, self.ready_after = 0, None
        self.reached = self.reached and seen.phase != _net.CONNECT
        graced = seen.phase == _compose.MISSING and now - self.begun < self.settings.startup_grace
        self.final_since = now if seen.permanent and not graced else None

    def _next(self, seen: _probes.Observation, now: float, retry: float) -> float | None:
        if self.skipped:
            return None
        if self.second_look > now:
            return self.second_look
        if self.guard or (self.ready and self.target.kind == "container"):
            return now + self.settings.interval_max  # events say more and sooner
        if self.ready:
            return None
        if seen.good and self.streak >= self.settings.successes:
            return min(retry, max(now + 0.005, self.streak_since + self.settings.stable_for))
        return retry if seen.retry_in is None else now + min(seen.retry_in, self.settings.interval_max)
