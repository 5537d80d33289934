# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits until every target is ready, or says at once why one never will be. Private to the collection.

One thread decides; connects run in its selector, probes in a pool, Docker's events come from a thread of their own.
"""

from __future__ import annotations

import dataclasses
import random
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _probes, _result, _waiting_report
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import _compose, _net
from ansible_collections.tria.production.plugins.module_utils._probes._base import Cancelled, Session, Target
from ansible_collections.tria.production.plugins.module_utils._probes._events import ContainerEvents
from ansible_collections.tria.production.plugins.module_utils._probes._pool import Pool
from ansible_collections.tria.production.plugins.module_utils._waiting_io import Hub

_MAX_THREADS = 256  # a target that never answers holds a thread for its timeout; it must not hold up the others
_GROWTH = 0.03  # the interval as a part of the time waited: an answer is never later than that
_JITTER = 0.2
_COALESCE = 0.004  # s; attempts due within it start together: 200 targets must not mean 200 wake-ups
_CONNECTS_PER_SECOND = 5000  # more would cost more processor time than the milliseconds are worth
_FULL_PROBE_EVERY = 10  # failed connects to a remembered address before it is looked up again
_SECOND_LOOK = 0.1  # s after an event: the Engine may tell before its own record has changed
_FRESH = 1.0  # s; a success older than that when the last target gets ready is confirmed before it counts
_OVERTIME = 0.1  # s after the deadline for attempts that end with it, so that their last word is heard
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

    def interval(self, waited: float) -> float:
        """Seconds until the next attempt, after `waited` seconds."""
        grown = max(self.interval_min, min(self.interval_max, waited * _GROWTH))
        return grown * random.uniform(1 - _JITTER, 1 + _JITTER)


@dataclasses.dataclass(eq=False)
class Watch:
    """What is known of one target. A `guard` only looks whether the container behind a target has died."""

    target: Target
    guard: bool = False
    memory: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    due: t.Optional[float] = 0.0
    busy: bool = False
    connects: int = 0
    reached: bool = False
    attempts: int = 0
    streak: int = 0
    streak_since: float = 0.0
    last_success: float = 0.0
    ready_after: t.Optional[float] = None
    flaps: int = 0
    final: bool = False
    second_look: float = 0.0
    seen: t.Optional[_probes.Observation] = None
    timeline: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)

    @property
    def ready(self) -> bool:
        return self.ready_after is not None

    @property
    def dead(self) -> bool:
        return self.final and self.target.critical

    def note(self, seen: _probes.Observation, elapsed: float) -> None:
        """Records an observation; equal ones that follow each other are one entry of the timeline."""
        self.seen = seen
        entry = {"status": seen.status, "message": seen.message}
        if not self.timeline or any(self.timeline[-1][key] != entry[key] for key in entry):
            self.timeline = [*self.timeline, {"after": round(elapsed, 3), **entry}][-_TIMELINE:]


def wait(
    entries: list[dict[str, t.Any]], settings: Settings, secrets: t.Sequence[str] = (), check_mode: bool = False
) -> dict[str, t.Any]:
    """Waits for all targets; returns the module's return values (`elapsed`, `overall_status`, `results`).

    Raises `ProductionError`, with the same values and what is known of the culprit as details, when a critical target
    did not get ready in time or never will.
    """
    if settings.timeout <= 0 or settings.successes < 1 or not 0 < settings.interval_min <= settings.interval_max:
        raise ProductionError(
            "readiness_wait", "timeout, successes, interval_min and interval_max do not make sense together.",
            "timeout is above 0, successes at least 1, interval_min above 0 and not above interval_max.",
        )
    targets = _probes.parse(entries)
    with Session(check_mode, [*secrets, *_probes.secrets_of(targets)]) as session:
        watches, elapsed = _Waiter(targets, settings, session).run()
        return _waiting_report.conclude(watches, elapsed, settings.timeout, session)


class _Waiter:
    def __init__(self, targets: list[Target], settings: Settings, session: Session) -> None:
        least = max(settings.interval_min, min(settings.interval_max, len(targets) / _CONNECTS_PER_SECOND))
        self._settings = dataclasses.replace(settings, interval_min=least)
        self._session = session
        self._watches = [Watch(target) for target in targets] + [Watch(one, guard=True) for one in _guards(targets)]
        self._begun = time.monotonic()
        self._deadline = self._begun + settings.timeout
        self._complete_at: float | None = None

    def run(self) -> tuple[list[Watch], float]:
        """Until the verdict is known: all watches and the seconds it took. No thread and no socket is left behind."""
        by_service: dict[tuple[str, str], list[Watch]] = {}
        for watch in self._watches:
            if watch.target.service:
                by_service.setdefault(watch.target.service, []).append(watch)
        with Hub() as hub:
            pool = Pool(_MAX_THREADS)
            events = ContainerEvents(lambda *service: hub.post(service)) if by_service else None
            try:
                while not self._over():
                    self._start(hub, pool)
                    self._collect(hub, pool, by_service)
                elapsed = time.monotonic() - self._begun
            finally:
                self._session.cancelled.set()
                if events:
                    events.close()
                pool.close(timeout=1.0)
                self._session.cancelled.clear()
        return self._watches, elapsed

    def _over(self) -> bool:
        now = time.monotonic()
        if any(watch.dead for watch in self._watches):
            return True
        if now >= self._deadline:
            return now >= self._deadline + _OVERTIME or not any(watch.busy for watch in self._watches)
        watched = [watch for watch in self._watches if not watch.guard and not watch.final]
        if not all(watch.ready for watch in watched):
            self._complete_at = None
            return False
        if self._complete_at is None:
            self._complete_at = now
        stale = [watch for watch in watched if watch.last_success < self._complete_at - _FRESH]
        for watch in stale:
            watch.due = watch.due if watch.busy else now
        return not stale

    def _start(self, hub: Hub, pool: Pool) -> None:
        now = time.monotonic()
        left = self._deadline - now
        for watch in self._watches:
            if watch.busy or watch.due is None or watch.due > now + _COALESCE or left <= 0:
                continue
            watch.busy, watch.due = True, None
            watch.attempts += 1
            addresses = self._cheap_addresses(watch)
            if addresses:
                watch.connects += 1
                hub.connect(watch, addresses, min(watch.target.timeout, left))
            else:
                self._probe(watch, hub, pool)

    @staticmethod
    def _cheap_addresses(watch: Watch) -> list[tuple[t.Any, t.Any]]:
        if watch.reached or (watch.target.service and watch.connects % _FULL_PROBE_EVERY == 0):
            watch.connects = 1
            return []
        return _probes.known_addresses(watch.target, watch.memory)

    def _probe(self, watch: Watch, hub: Hub, pool: Pool) -> None:
        seconds = max(0.01, min(watch.target.timeout, self._deadline - time.monotonic()))

        def job() -> None:
            try:
                hub.post((watch, _probes.observe(watch.target, self._session, seconds, watch.memory)))
            except Cancelled:
                return  # the verdict is known without it

        pool.submit(job)

    def _collect(self, hub: Hub, pool: Pool, by_service: dict[tuple[str, str], list[Watch]]) -> None:
        finished, mail = hub.collect(self._pause())
        for watch, error in finished:
            if error is None:
                watch.reached = True
                self._probe(watch, hub, pool)
            else:
                self._judge(watch, _refused(watch, error))
        for first, second in mail:
            if isinstance(first, Watch):
                self._judge(first, second)
                continue
            for service in [(first, second)] if first else list(by_service):
                for watch in by_service.get(service, ()):
                    self._wake(watch)

    def _pause(self) -> float:
        now = time.monotonic()
        dues = [watch.due for watch in self._watches if watch.due is not None and not watch.busy]
        end = self._deadline if now < self._deadline else self._deadline + _OVERTIME
        return max(0.0, min([end, *dues]) - now)

    def _wake(self, watch: Watch) -> None:
        """Something happened to a container: look now, and once more when the Engine's record has settled."""
        now = time.monotonic()
        watch.second_look = now + _SECOND_LOOK
        if not watch.ready or watch.target.kind == "container":
            watch.due = now

    def _judge(self, watch: Watch, seen: _probes.Observation) -> None:
        now = time.monotonic()
        waited = now - self._begun
        watch.busy = False
        watch.note(seen, waited)
        if seen.good:
            self._count_success(watch, now)
        else:
            watch.flaps += watch.streak > 0
            watch.streak, watch.ready_after, watch.connects = 0, None, max(watch.connects, 1)
            watch.reached = watch.reached and seen.phase != _net.CONNECT
            graced = seen.phase == _compose.MISSING and waited < self._settings.startup_grace
            watch.final = seen.permanent and not graced
        if watch.due is None and not watch.final:  # an event may have come in the meantime
            watch.due = self._next(watch, seen, now)

    def _count_success(self, watch: Watch, now: float) -> None:
        watch.streak += 1
        watch.streak_since = now if watch.streak == 1 else watch.streak_since
        watch.last_success = now
        lasted = now - watch.streak_since >= self._settings.stable_for
        if not watch.ready and lasted and watch.streak >= self._settings.successes:
            watch.ready_after = now - self._begun

    def _next(self, watch: Watch, seen: _probes.Observation, now: float) -> float | None:
        interval = self._settings.interval(now - self._begun)
        if watch.second_look > now:
            return watch.second_look
        if watch.guard or (watch.ready and watch.target.kind == "container"):
            return now + self._settings.interval_max  # events say more and sooner
        if watch.ready:
            return None
        if seen.good and watch.streak >= self._settings.successes:
            return now + min(interval, max(0.005, watch.streak_since + self._settings.stable_for - now))
        return now + (interval if seen.retry_in is None else min(seen.retry_in, self._settings.interval_max))


def _guards(targets: list[Target]) -> list[Target]:
    """A look at the containers behind each critical target whose service no target of kind `container` watches."""
    watched = {target.service for target in targets if target.kind == "container"}
    guards = {}
    for target in targets:
        if target.critical and target.service and target.service not in watched:
            project, service = target.service
            options = {"project": project, "service": service, "replicas": None, "one_shot": False, "min_uptime": 0.0}
            guards[target.service] = dataclasses.replace(target, kind="container", options=options)
    return list(guards.values())


def _refused(watch: Watch, error: OSError) -> _probes.Observation:
    host, port = _probes.KINDS[watch.target.kind].endpoint(watch.target.options)
    failure = _net.refusal(watch.memory.get("host") or host, port, error)
    return _probes.Observation(_result.FAIL, str(failure), failure.remedy, phase=failure.phase)
