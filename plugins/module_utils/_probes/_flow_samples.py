# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A flow run again and again, and what its times come to. Private to the collection."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base
from ansible_collections.tria.production.plugins.module_utils._probes._flow_run import Record
from ansible_collections.tria.production.plugins.module_utils._probes._pool import Pool

PERCENTILES = (50, 95, 99)

_DIFFERENT_FAILURES = 5  # that a result shows
_SLACK = 1.0  # s; runs end by their own budget


@dataclasses.dataclass
class Samples:
    """Complete runs: the `good` ones, and the failures of the others. `leftovers` are of runs that were cut off.

    `not_configured` is the run that found out that there is nothing to look at; it was the last one to begin.
    """

    good: list[Record] = dataclasses.field(default_factory=list)
    failures: list[_base.ProbeFailure] = dataclasses.field(default_factory=list)
    leftovers: list[str] = dataclasses.field(default_factory=list)
    not_configured: t.Optional[Record] = None

    @property
    def taken(self) -> int:
        return len(self.good) + len(self.failures)

    def as_dict(self) -> dict[str, t.Any]:
        """The percentiles of the whole flow and of each step (ms), and how often runs failed for which reason."""
        reasons: dict[str, int] = {}
        for failure in self.failures:
            reasons[str(failure)] = reasons.get(str(failure), 0) + 1
        found: dict[str, t.Any] = {"samples": len(self.good), "errors": len(self.failures)}
        if reasons:
            often = sorted(reasons.items(), key=lambda item: -item[1])[:_DIFFERENT_FAILURES]
            found["failures"] = [{"message": message, "count": count} for message, count in often]
        if self.good:
            found.update(percentiles([record.duration_ms for record in self.good]))
            each = zip(*(record.steps for record in self.good))
            found["steps"] = [
                {"name": steps[0]["name"], **percentiles([step["duration_ms"] for step in steps])} for steps in each
            ]
        return found


def percentiles(times: t.Sequence[float]) -> dict[str, float]:
    """`p50_ms`, `p95_ms` and `p99_ms` by nearest rank: the least time that so many per cent do not exceed."""
    ordered = sorted(times)
    return {f"p{rank}_ms": ordered[math.ceil(rank / 100 * len(ordered)) - 1] for rank in PERCENTILES}


def take(repeat: dict[str, t.Any], once: t.Callable[[], Record], budget: _base.Budget, patience: float) -> Samples:
    """Runs `once` for the warm-up and then for the samples, until there are enough, or too many of them failed.

    A run that the end of the budget cut off is none. Raises `Cancelled`, the first permanent failure, and whatever a
    run broke with. `patience`: seconds that a run may go on after the budget.
    """
    runner = _Runner(repeat["concurrency"], once, budget, patience)
    warmup = runner.run(repeat["warmup"], repeat["warmup"])
    if warmup.not_configured:
        return Samples(not_configured=warmup.not_configured)
    return runner.run(repeat["samples"], repeat["samples"] * repeat["max_error_percent"] / 100)


def problems(repeat: dict[str, t.Any], samples: Samples, seconds: float) -> list[str]:
    """What speaks against the flow, in words; without enough samples there is no verdict on times."""
    return _verdict(repeat, samples, seconds) + samples.leftovers[:1]


def _verdict(repeat: dict[str, t.Any], samples: Samples, seconds: float) -> list[str]:
    allowed = repeat["samples"] * repeat["max_error_percent"] / 100
    if len(samples.failures) > allowed:
        failed = f"{len(samples.failures)} of {samples.taken} runs failed"
        return [f"{failed}, more than {repeat['max_error_percent']:g}% of {repeat['samples']}: {samples.failures[0]}"]
    if samples.not_configured:
        return []
    least = repeat["min_samples"] or math.ceil(repeat["samples"] - allowed) or 1
    if len(samples.good) < least:
        return [f"too few samples: {len(samples.good)} good runs of {least} within {seconds:.3g} s"]
    found = percentiles([record.duration_ms for record in samples.good])
    return [
        f"p{rank} {found[f'p{rank}_ms']:g} ms of {len(samples.good)} samples, more than {repeat[f'max_p{rank}_ms']:g}"
        for rank in PERCENTILES
        if repeat[f"max_p{rank}_ms"] is not None and found[f"p{rank}_ms"] > repeat[f"max_p{rank}_ms"]
    ]


class _Runner:
    """At most `concurrency` runs at the same time, each in a thread."""

    def __init__(
        self, concurrency: int, once: t.Callable[[], Record], budget: _base.Budget, patience: float
    ) -> None:
        self._concurrency = concurrency
        self._once = once
        self._budget = budget
        self._patience = patience
        self._lock = threading.Lock()
        self._left = 0
        self._allowed = 0.0
        self._longest = 0.0  # s
        self._samples = Samples()
        self._ended_by: Exception | None = None

    def run(self, count: int, allowed: float) -> Samples:
        """`count` runs; fewer when more than `allowed` have failed, or when there is no time left."""
        self._left, self._allowed = count, allowed
        workers = min(count, self._concurrency)
        pool = Pool(workers)
        for _worker in range(workers):
            pool.submit(self._work)
        try:
            seconds = self._budget.remaining()
        except TimeoutError:
            seconds = 0.0
        pool.close(timeout=seconds + self._patience + _SLACK)
        with self._lock:  # a run that is stuck beyond all budgets must not change the verdict later
            samples, self._samples = self._samples, Samples()
            if self._ended_by:
                raise self._ended_by
        return samples

    def _work(self) -> None:
        try:
            while self._claim():
                begun = time.monotonic()
                self._keep(self._once(), time.monotonic() - begun)
        except TimeoutError:
            self._stop()
        except Exception as exc:  # threads do not hand on what ends them
            self._stop(exc)

    def _claim(self) -> bool:
        """Whether to begin a run. One that is cut off may leave behind what it made, so there must be time for it."""
        time_left = self._budget.remaining() > 2 * self._longest
        with self._lock:
            self._left -= 1
            return self._left >= 0 and time_left

    def _keep(self, record: Record, seconds: float) -> None:
        try:
            self._budget.remaining()
        except TimeoutError:
            with self._lock:
                self._samples.leftovers += record.leftovers
            raise
        with self._lock:
            self._longest = max(self._longest, seconds)
            if record.failure:
                self._samples.failures.append(record.failure)
            elif record.not_configured:
                self._samples.not_configured = record
            else:
                self._samples.good.append(record)
            over = bool(self._samples.not_configured) or len(self._samples.failures) > self._allowed
        permanent = record.failure if record.failure and record.failure.permanent else None
        if permanent or over:
            self._stop(permanent)

    def _stop(self, exc: Exception | None = None) -> None:
        with self._lock:
            self._left = 0
            self._ended_by = self._ended_by or exc
