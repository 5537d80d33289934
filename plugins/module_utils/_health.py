# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All targets looked at once, at the same time, as results and as one health document. Private to the collection."""

from __future__ import annotations

import dataclasses
import datetime
import queue
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _probes, _result
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import (
    _dependencies,
    _flow_plan,
    _flow_run,
    _health_documents,
    system,
)
from ansible_collections.tria.production.plugins.module_utils._probes._base import Cancelled, Session, Target
from ansible_collections.tria.production.plugins.module_utils._probes._pool import Pool

_MAX_THREADS = 64
_GRACE = 0.5  # s after the deadline for attempts that end by their own budget


@dataclasses.dataclass
class Health:
    """Results in the order of the targets, and the host's `metrics`."""

    results: list[_result.CheckResult]
    metrics: dict[str, float]

    @property
    def status(self) -> str:
        return _result.overall(self.results)

    def document(self) -> dict[str, t.Any]:
        """The guide's readiness document. `overall_healthy` says whether every critical target is good."""
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        return {
            "status": self.status,
            "overall_healthy": self.status != "unhealthy",
            "services": {one.name: _service(one) for one in self.results},
            "metrics": self.metrics,
            "timestamp": now.isoformat().replace("+00:00", "Z"),
        }

    def as_dict(self) -> dict[str, t.Any]:
        """The module's return values."""
        return {
            "overall_status": self.status,
            "health": self.document(),
            "results": [one.as_dict() for one in self.results],
        }


def check(
    entries: list[dict[str, t.Any]],
    timeout: float,
    fail_on: str = "unhealthy",
    secrets: t.Sequence[str] = (),
    check_mode: bool = False,
) -> dict[str, t.Any]:
    """Looks at every target once, within `timeout` seconds altogether; returns the module's return values.

    Raises `ProductionError`, with all of them as details, when the outcome is as bad as `fail_on` (`unhealthy`,
    `degraded` or `never`).
    """
    targets = _probes.parse(entries)
    meter = system.CpuMeter()
    with Session(check_mode, [*secrets, *_probes.secrets_of(targets)]) as session:
        results = _observe_all(targets, session, time.monotonic() + timeout)
    health = Health(results, system.metrics(meter))
    bad = [one for one in results if one.blocks or (fail_on == "degraded" and one.degrades)]
    if bad and fail_on != "never":
        raise _error(bad, results, targets, health.as_dict())
    return health.as_dict()


def _observe_all(targets: list[Target], session: Session, deadline: float) -> list[_result.CheckResult]:
    answers: queue.SimpleQueue[tuple[str, _result.CheckResult]] = queue.SimpleQueue()
    found: dict[str, _result.CheckResult] = {}
    pool = Pool(_MAX_THREADS)
    look = _Look(targets, session, deadline, answers)
    for target in targets:
        if not target.within:
            pool.submit(look.at, target)
    try:
        while len(found) < len(targets):
            name, result = answers.get(timeout=max(0.0, deadline + _GRACE - time.monotonic()))
            found[name] = result
    except queue.Empty:
        pass  # who is still missing gets its verdict below
    session.cancelled.set()
    pool.close(timeout=_GRACE)
    return [found.get(target.name) or _unanswered(target) for target in targets]


class _Look:
    """One look at every target that is not `within` another; with each flow come those within it."""

    def __init__(self, targets: list[Target], session: Session, deadline: float, answers: t.Any) -> None:
        self._session = session
        self._deadline = deadline
        self._answers = answers
        self._inner: dict[str, list[Target]] = {}
        for target in targets:
            self._inner.setdefault(target.within, []).append(target)

    def at(self, target: Target, outer: _flow_run.Outer | None = None) -> None:
        """Puts a result for the target, and one for each within it, unless nobody waits for them any more."""
        session, memory = self._session, {_flow_run.OUTER: outer}
        waiting = self._inner.get(target.name, [])[::-1]
        if waiting:
            memory[_flow_run.INNER] = _flow_run.Inner(
                lambda values: self._within(target, outer, values, waiting), self._cleanup_timeout(waiting)
            )
        try:
            seen = self._observe(target, memory)
            if seen.retry_in is not None and seen.retry_in < min(target.timeout, self._deadline - time.monotonic()):
                session.cancelled.wait(seen.retry_in)  # only too young to be believed: that is known soon
                seen = self._observe(target, memory)
        except Cancelled:
            return
        details = {} if seen.good else _probes.explain(target, session)
        result = seen.as_result(target, **details)
        self._answers.put((target.name, result))
        for one in waiting:
            self._not_run(one, result)

    def _observe(self, target: Target, memory: dict[str, t.Any]) -> _probes.Observation:
        seconds = max(0.0, min(target.timeout, self._deadline - time.monotonic()))
        return _probes.observe(target, self._session, seconds, memory)

    def _within(
        self, target: Target, outer: _flow_run.Outer | None, values: dict[str, t.Any], waiting: list[Target]
    ) -> None:
        names = _flow_plan.gives(target.options) | (outer.names if outer else set())
        while waiting:
            self.at(waiting.pop(), _flow_run.Outer(target.name, names, values))

    def _not_run(self, target: Target, around: _result.CheckResult) -> None:
        """For a target within one that never came so far, and for all within that."""
        skipped = around.status == _result.SKIP
        message = f"{around.name}, which it runs in, was skipped: {around.message}" if skipped else (
            f"not run: {around.name}, which it runs in, did not come so far"
        )
        result = _result.CheckResult(
            target.name, target.category, _result.SKIP if skipped else _result.ERROR, target.critical,
            message=message, remedy="" if skipped else "See what failed there.", data={"kind": target.kind},
        )
        self._answers.put((target.name, result))
        for one in self._inner.get(target.name, []):
            self._not_run(one, result)

    def _cleanup_timeout(self, targets: list[Target]) -> float:
        """Seconds for the clean-up of the one among `targets` that takes longest, with what runs in it."""
        return max((
            one.options["cleanup_timeout"] + self._cleanup_timeout(self._inner.get(one.name, [])) for one in targets
        ), default=0.0)


def _unanswered(target: Target) -> _result.CheckResult:
    return _result.CheckResult(
        target.name, target.category, _result.ERROR, target.critical,
        message="the check did not end before the deadline", remedy="Raise timeout, or look at what it hangs on.",
        data={"kind": target.kind},
    )


def _service(result: _result.CheckResult) -> dict[str, t.Any]:
    """One entry of `services`; what is not simply good also says why. `healthy` is null where nothing was looked at.

    What a service says of its own components is told in the same form: `services` and `metrics` within its entry.
    """
    healthy = None if result.status == _result.SKIP else bool(result.data.get("healthy"))
    entry = {**result.data, "healthy": healthy, "response_time_ms": result.duration_ms}
    reported = entry.pop("health", None)
    if reported:
        entry["services"] = _health_documents.services(reported)
        entry.update({key: reported[key] for key in ("metrics", "version") if key in reported})
    return entry if result.status == _result.PASS else {**entry, "message": result.message}


def _error(
    bad: list[_result.CheckResult],
    results: list[_result.CheckResult],
    targets: list[Target],
    details: dict[str, t.Any],
) -> ProductionError:
    failed = [one.name for one in results if one.degrades and not one.data.get("healthy")]
    causes = _dependencies.causes(failed, {target.name: target for target in targets})
    bad = sorted(bad, key=lambda one: (one.name in causes, not one.critical, one.data.get("kind") != "container"))
    told = []
    for one in bad:
        behind = ", ".join(causes.get(one.name, ()))
        told.append(f"{one.name}: {one.message}" + (f" (it depends on {behind})" if behind else ""))
    remedies = list(dict.fromkeys(f"{one.name}: {one.remedy}" for one in bad if one.remedy))
    to_blame = dict.fromkeys(name for one in bad for name in causes.get(one.name, [one.name]))
    return ProductionError(
        ", ".join(to_blame),
        f"{len(bad)} of {len(results)} targets are not good. {'; '.join(told)}.",
        " ".join(remedies),
        **details,
    )
