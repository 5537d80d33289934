# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at a service through its edge after the switch, and holds what it sees against its budgets. Private."""

from __future__ import annotations

import math
import queue
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _probes, _result
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes._base import Cancelled, Session, Target
from ansible_collections.tria.production.plugins.module_utils._probes._pool import Pool
from ansible_collections.tria.production.plugins.module_utils._rollout.release import Service

_RATE = 5.0  # looks in a second, at the targets in turn
_LOOK_AT_CONTAINERS = 0.5  # s
_THREADS = 16
_EVERY = 0.02
_LAST_WAIT = 0.5  # s for looks that were given up
_MESSAGE_LOG_LINES = 5
_P95 = 0.95


class Figures:
    """Requests, failures and response times so far, held against the budgets of one service."""

    def __init__(self, service: Service, planned: int) -> None:
        self._service = service
        self._planned = planned
        self._times: list[float] = []
        self.failed = 0
        self.last_failure = ""

    @property
    def requests(self) -> int:
        return len(self._times)

    @property
    def p95_ms(self) -> float:
        """Of all requests; 0 without any."""
        return sorted(self._times)[math.ceil(_P95 * len(self._times)) - 1] if self._times else 0.0

    def add(self, seen: _probes.Observation) -> None:
        self._times.append(seen.duration_ms)
        if not seen.good:
            self.failed += 1
            self.last_failure = seen.message

    def as_dict(self) -> dict[str, t.Any]:
        return {"requests": self.requests, "failed": self.failed, "p95_ms": round(self.p95_ms, 1)}

    def breach(self, complete: bool) -> str:
        """Which budget is broken, or will be whatever comes until the end; empty when none is."""
        count, limit, slowest = self.requests, self._service.max_failure_ratio, self._service.max_p95_ms
        of = count if complete else max(count, self._planned)
        if self.failed > limit * of:
            return (
                f"{self.failed} of {count} requests through the edge failed ({self.failed / count:.1%}), "
                f"max_failure_ratio is {limit:.1%}; the last: {self.last_failure}"
            )
        if slowest is not None and sum(one > slowest for one in self._times) > (1 - _P95) * of:
            return f"p95 of {count} requests through the edge is {self.p95_ms:.0f} ms, max_p95_ms is {slowest:g}"
        return ""


class Window:
    """One look after the other at the new containers, and through the edge at the targets, as long as `monitor` says.

    `containers` is the target of the new containers, all of which must stay ready.
    """

    def __init__(self, session: Session, service: Service, containers: Target, targets: t.Sequence[Target]) -> None:
        self._session = session
        self._service = service
        self._containers = containers
        self._targets = targets
        self._planned = max(len(targets), int(service.monitor * _RATE)) if targets else 0
        self.figures = Figures(service, self._planned)
        self._answers: queue.SimpleQueue[tuple[Target, _probes.Observation]] = queue.SimpleQueue()
        self._memory: dict[str, t.Any] = {}
        self._asked = 0
        self._looked = 0.0

    def run(self) -> dict[str, t.Any]:
        """Looks at every target at least once; returns {requests, failed, p95_ms}.

        Raises `ProductionError`, with the figures as details, as soon as a budget cannot be kept any more.
        """
        pool, begun = Pool(_THREADS), time.monotonic()
        try:
            while True:
                now = time.monotonic() - begun
                self._ask(pool, now)
                while not self._answers.empty():
                    self._take(*self._answers.get())
                complete = now >= self._service.monitor and self.figures.requests >= self._planned
                problem = self.figures.breach(complete)
                if problem:
                    raise self._error(f"{problem}.")
                if complete:
                    return self.figures.as_dict()
                time.sleep(_EVERY)
        finally:
            pool.close(timeout=_LAST_WAIT)

    def _ask(self, pool: Pool, now: float) -> None:
        if now >= self._looked:
            pool.submit(self._look, self._containers, self._memory)
            self._looked = now + _LOOK_AT_CONTAINERS
        while self._asked < self._planned and now >= self._asked / _RATE:
            pool.submit(self._look, self._targets[self._asked % len(self._targets)], {})
            self._asked += 1

    def _look(self, target: Target, memory: dict[str, t.Any]) -> None:
        try:
            self._answers.put((target, _probes.observe(target, self._session, target.timeout, memory)))
        except Cancelled:
            return  # nobody waits for it any more

    def _take(self, target: Target, seen: _probes.Observation) -> None:
        if target is not self._containers:
            self.figures.add(seen)
        elif seen.status == _result.FAIL:  # an Engine that is too busy to answer says nothing of them
            raise self._error(f"after the switch {seen.message}.")

    def _error(self, cause: str) -> ProductionError:
        found = _probes.explain(self._containers, self._session).get("containers", [])
        worst = min(found, key=lambda one: (one["state"] == "running", one["health"] in (None, "healthy")), default={})
        log = worst.get("log_tail", [])
        last = f" Its last log lines: {' | '.join(log[-_MESSAGE_LOG_LINES:])}" if log else ""
        return ProductionError(
            self._service.name, cause + last, "Correct the cause and deploy again. The old containers still run.",
            window=self.figures.as_dict(), log_tail=log,
        )
