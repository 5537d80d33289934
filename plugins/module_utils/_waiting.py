# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits until every target is ready, or says at once why one never will be. Private to the collection.

One thread decides; connects run in its selector, probes in a pool, Docker's events come from a thread of their own.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _probes, _waiting_report
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes._base import Cancelled, Session, Target
from ansible_collections.tria.production.plugins.module_utils._probes._events import ContainerEvents
from ansible_collections.tria.production.plugins.module_utils._probes._pool import Pool
from ansible_collections.tria.production.plugins.module_utils._waiting_io import Hub, Knock
from ansible_collections.tria.production.plugins.module_utils._waiting_progress import Progress
from ansible_collections.tria.production.plugins.module_utils._waiting_watch import Settings, Watch

_MAX_THREADS = 256  # a target that never answers holds a thread for its timeout; it must not hold up the others
_FEW_THREADS = 8  # as long as they get on
_COALESCE = 0.004  # s; attempts due within it start together
_CONNECTS_PER_SECOND = 4000  # more would cost more processor time than the milliseconds are worth
_PROBES_PER_SECOND = 500
_LOOK_UP_EVERY = 10  # refused connects to a container's address before it is looked up again
_FRESH = 1.0  # s; a success older than that when the last target gets ready is confirmed before it counts
_OVERTIME = 0.1  # s after the deadline for attempts that end with it, so that their last word is heard
_LAST_WAIT = 0.5  # s for attempts to notice that they were given up; only one stuck in the resolver takes longer
_HOLD = 0.1  # s for which the verdict on a lost target is held, so that its cause, and every other target, is heard


def wait(
    entries: list[dict[str, t.Any]],
    settings: Settings,
    secrets: t.Sequence[str] = (),
    check_mode: bool = False,
    progress: str = "",
) -> dict[str, t.Any]:
    """Waits for all targets; returns the module's return values (`elapsed`, `overall_status`, `results`).

    Meanwhile the file `progress`, where one is named, says what is missing. Raises `ProductionError`, with the same
    values and what is known of the culprit as details, when a critical target did not get ready in time or never will.
    """
    if settings.timeout <= 0 or settings.successes < 1 or not 0 < settings.interval_min <= settings.interval_max:
        raise ProductionError(
            "readiness_wait", "timeout, successes, interval_min and interval_max do not make sense together.",
            "timeout is above 0, successes at least 1, interval_min above 0 and not above interval_max.",
        )
    targets = _probes.parse(entries)
    with Session(check_mode, [*secrets, *_probes.secrets_of(targets)]) as session:
        with Progress(progress, settings.timeout, session) as told:
            watches, elapsed = _Waiter(targets, settings, session, told).run()
        return _waiting_report.conclude(watches, elapsed, settings.timeout, session)


class _Waiter:
    def __init__(self, targets: list[Target], settings: Settings, session: Session, progress: Progress) -> None:
        self._settings = settings
        self._session = session
        self._progress = progress
        self._begun = time.monotonic()
        self._deadline = self._begun + settings.timeout
        self._watches = [Watch(target, settings, self._begun) for target in targets]
        self._watches += [Watch(target, settings, self._begun, guard=True) for target in _guards(targets)]
        self._by_name = {watch.target.name: watch for watch in self._watches if not watch.guard}
        self._by_service: dict[tuple[str, str], list[Watch]] = {}
        for watch in self._watches:
            if watch.target.service:
                self._by_service.setdefault(watch.target.service, []).append(watch)
        self._next_round = 0.0
        self._complete_at: float | None = None

    def run(self) -> tuple[list[Watch], float]:
        """Until the verdict is known: all watches and the seconds it took. No thread and no socket is left behind."""
        with Hub() as hub:
            pool = Pool(_MAX_THREADS, few=_FEW_THREADS)
            events = ContainerEvents(lambda *service: hub.post(service)) if self._by_service else None
            try:
                while not self._over():
                    self._start(hub, pool)
                    if not self._over():  # a connect may have been answered at once
                        self._collect(hub, pool)
                    self._progress.note(self._by_name.values())
                elapsed = time.monotonic() - self._begun
            finally:
                self._session.cancelled.set()
                if events:
                    events.close()
                pool.close(timeout=_LAST_WAIT)
                self._session.cancelled.clear()
        return self._watches, elapsed

    def _over(self) -> bool:
        now = time.monotonic()
        if any(watch.dead and not self._held(watch, now) for watch in self._watches):
            return True
        if now >= self._deadline:
            return now >= self._deadline + _OVERTIME or not any(watch.busy for watch in self._watches)
        watched = [watch for watch in self._by_name.values() if not watch.final]
        if not all(watch.ready for watch in watched):
            self._complete_at = None
            return False
        if self._complete_at is None:
            self._complete_at = now
        confirmed = [watch for watch in watched if not watch.skipped]
        stale = [watch for watch in confirmed if watch.last_success < self._complete_at - _FRESH]
        for watch in stale:
            watch.due = watch.due if watch.busy else now
        return not stale and not any(watch.dead for watch in self._watches)

    def _held(self, watch: Watch, now: float) -> bool:
        """Whether a verdict waits a moment for what the lost target depends on, and for the first word of the others."""
        if now >= (watch.final_since or now) + _HOLD:
            return False
        causes = (self._by_name[name] for name in watch.target.depends_on)
        unheard = any(one.seen is None for one in self._by_name.values())
        return unheard or any(not one.final and not one.good for one in causes)

    def _start(self, hub: Hub, pool: Pool) -> None:
        now = time.monotonic()
        if now >= self._deadline:
            return
        for watch in self._watches:
            if watch.busy or watch.due is None or watch.due > now + _COALESCE:
                continue
            watch.busy, watch.due = True, None
            watch.attempts += 1
            addresses = self._cheap_addresses(watch)
            if addresses:
                knock = hub.connect(watch, addresses, min(watch.target.timeout, self._deadline - now))
                if knock:
                    self._answer(knock, now, hub, pool)
            else:
                self._probe(watch, hub, pool)
        pool.relieve()

    @staticmethod
    def _cheap_addresses(watch: Watch) -> list[tuple[t.Any, t.Any]]:
        wasted = watch.reached and watch.memory.get(_probes.CONNECTS_ITSELF)
        if wasted or (watch.target.service and watch.refusals % _LOOK_UP_EVERY == 0):
            watch.refusals, watch.addresses = 1, None
            return []
        if watch.addresses is None:
            watch.addresses = _probes.known_addresses(watch.target, watch.memory)
        return watch.addresses

    def _answer(self, knock: Knock, now: float, hub: Hub, pool: Pool) -> None:
        watch, session = knock.key, self._session
        if knock.error is None:
            watch.reached = True
            seen = _probes.connected(watch.target, session, watch.memory, knock.seconds)
            if seen is None:
                self._probe(watch, hub, pool, knock)
                return
            knock.sock.close()
            watch.judge(seen, now, self._round(now))
        elif watch.refused_with == knock.error.errno:
            watch.refused_again(self._round(now))
        else:
            seen = _probes.refused(watch.target, session, watch.memory, knock.error, knock.seconds)
            watch.judge(seen, now, self._round(now))
            watch.refused_with = None if seen.good else knock.error.errno

    def _probe(self, watch: Watch, hub: Hub, pool: Pool, knock: Knock | None = None) -> None:
        seconds = max(0.01, min(watch.target.timeout, self._deadline - time.monotonic()))

        sock, connecting = (knock.sock, knock.seconds) if knock else (None, 0.0)

        def job() -> None:
            try:
                seen = _probes.observe(watch.target, self._session, seconds, watch.memory, sock, connecting)
                hub.post((watch, seen))
            except Cancelled:
                return  # the verdict is known without it

        pool.submit(job)

    def _collect(self, hub: Hub, pool: Pool) -> None:
        if pool.backlog:
            time.sleep(_COALESCE)  # answers come in numbers: to look at each by itself would cost more than the wait
        knocks, mail = hub.collect(self._pause(pool))
        now = time.monotonic()
        for knock in knocks:
            self._answer(knock, now, hub, pool)
        retry = self._retry(now) if mail else now
        for first, second in mail:
            if isinstance(first, Watch):
                first.judge(second, now, retry)
                continue
            for service in [(first, second)] if first else list(self._by_service):
                for watch in self._by_service.get(service, ()):
                    watch.wake(now)

    def _round(self, now: float) -> float:
        """When refused connects are tried again: all at the same time, since waking up costs more than connecting."""
        if self._next_round <= now + _COALESCE:
            refused = sum(not watch.reached for watch in self._watches)
            self._next_round = now + self._settings.interval(now - self._begun, refused / _CONNECTS_PER_SECOND)
        return self._next_round

    def _retry(self, now: float) -> float:
        probed = sum(watch.reached and not watch.ready for watch in self._watches)
        return now + self._settings.interval(now - self._begun, probed / _PROBES_PER_SECOND)

    def _pause(self, pool: Pool) -> float:
        now = time.monotonic()
        ends = [self._deadline if now < self._deadline else self._deadline + _OVERTIME]
        ends += [watch.due for watch in self._watches if watch.due is not None and not watch.busy]
        ends += [watch.final_since + _HOLD for watch in self._watches if watch.dead and watch.final_since]
        if pool.backlog:
            ends.append(now + self._settings.interval_min)
        if self._progress.due is not None:
            ends.append(self._progress.due)
        return max(0.0, min(ends) - now)


def _guards(targets: list[Target]) -> list[Target]:
    """A look at the containers behind each critical target whose service no target of kind `container` watches."""
    watched = {target.service for target in targets if target.kind == "container"}
    guards = {}
    for target in targets:
        if target.critical and target.service and target.service not in watched and not target.invert:
            project, service = target.service
            options = {"project": project, "service": service, "replicas": None, "one_shot": False, "min_uptime": 0.0}
            guards[target.service] = dataclasses.replace(target, kind="container", options=options)
    return list(guards.values())
