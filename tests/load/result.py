# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of a load."""

from __future__ import annotations

import collections
import dataclasses
import functools

from benchmarks.figures import percentile


@dataclasses.dataclass(frozen=True)
class Request:
    """One request: when it was due (monotonic clock), seconds until its end, why it failed, why it was repeated."""

    at: float
    seconds: float
    failure: str = ""
    repeated: str = ""

    @property
    def ended(self) -> float:
        return self.at + self.seconds


@dataclasses.dataclass(frozen=True)
class Slot:
    """The requests that were due within 100 ms from `at` (monotonic clock); the slowest took `worst_ms`."""

    at: float
    total: int
    failed: int
    retried: int
    worst_ms: float


@dataclasses.dataclass(frozen=True)
class Result:
    """All requests from `begun` to `ended` (monotonic clock), in the order in which they were due."""

    begun: float
    ended: float
    requests: tuple[Request, ...]

    @property
    def total(self) -> int:
        return len(self.requests)

    @functools.cached_property
    def failures(self) -> tuple[Request, ...]:
        return tuple(request for request in self.requests if request.failure)

    @property
    def failed(self) -> int:
        return len(self.failures)

    @property
    def retried(self) -> int:
        """Requests that were asked again on a new connection, whether that answered or not."""
        return sum(1 for request in self.requests if request.repeated)

    @property
    def kinds(self) -> dict[str, int]:
        """How many failed for which reason; those that were repeated are `retried: <reason>`, failed or not."""
        found = collections.Counter(request.failure for request in self.failures)
        found.update(f"retried: {request.repeated}" for request in self.requests if request.repeated)
        return dict(found.most_common())

    @property
    def p50_ms(self) -> float:
        return self.percentile_ms(50)

    @property
    def p99_ms(self) -> float:
        return self.percentile_ms(99)

    def percentile_ms(self, percent: float) -> float:
        """Of all requests, failed ones too; 0 without any."""
        return percentile([request.seconds for request in self.requests], percent) * 1000 if self.requests else 0.0

    @property
    def longest_gap_s(self) -> float:
        """The longest time without the end of a request that succeeded."""
        good = sorted(min(request.ended, self.ended) for request in self.requests if not request.failure)
        moments = [self.begun, *good, self.ended]
        return max(after - before for before, after in zip(moments, moments[1:]))

    @property
    def timeline(self) -> list[Slot]:
        """Every 100 ms from the beginning, also those without a request."""
        slots: list[list[Request]] = [[] for _each in range(max(0, int((self.ended - self.begun) * 10)) + 1)]
        for request in self.requests:
            slots[min(len(slots) - 1, max(0, int((request.at - self.begun) * 10)))].append(request)
        return [
            Slot(
                at=self.begun + number / 10,
                total=len(slot),
                failed=sum(1 for request in slot if request.failure),
                retried=sum(1 for request in slot if request.repeated),
                worst_ms=max((request.seconds * 1000 for request in slot), default=0.0),
            )
            for number, slot in enumerate(slots)
        ]

    def between(self, begun: float, ended: float) -> Result:
        """Those that were due in that time: what a deploy did to them, or the steady state before it."""
        return Result(begun, ended, tuple(request for request in self.requests if begun <= request.at < ended))

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        return (
            f"{self.total} requests in {self.ended - self.begun:.1f} s, {self.failed} failed, {self.retried} retried"
            f"{f' ({kinds})' if kinds else ''}, p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, "
            f"longest gap {self.longest_gap_s:.2f} s"
        )
