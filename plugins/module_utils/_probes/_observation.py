# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one attempt saw, graded. Private to the collection."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _result
from ansible_collections.tria.production.plugins.module_utils._probes import _base


@dataclasses.dataclass
class Observation:
    """What one attempt saw. `status` is one of `_result`; times are in ms and s as in `CheckResult`, `ProbeFailure`."""

    status: str
    message: str
    remedy: str = ""
    data: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    duration_ms: float = 0.0
    phase: str = ""
    permanent: bool = False
    retry_in: t.Optional[float] = None
    gone: bool = False
    cut_short: bool = False  # it had less time than the target's timeout, and used it up

    @property
    def good(self) -> bool:
        return self.status in (_result.PASS, _result.WARN, _result.SKIP)

    def inverted(self) -> Observation:
        """What it says to somebody who waits until the target is gone.

        Only a target that is not there at all is gone: one that hangs, refuses the password or is unhealthy is not.
        """
        if self.status in (_result.ERROR, _result.SKIP):
            return self
        if self.gone:
            return Observation(_result.PASS, f"gone: {self.message}", data=self.data, duration_ms=self.duration_ms)
        return Observation(
            _result.FAIL, f"still there: {self.message}", "See who keeps it, or wait longer.", self.data,
            self.duration_ms, "invert",
        )

    def as_result(self, target: _base.Target, **data: t.Any) -> _result.CheckResult:
        """The graded result: a failure of a target that is not critical is a `warn`."""
        graded = _result.WARN if self.status == _result.FAIL and not target.critical else self.status
        return _result.CheckResult(
            target.name, target.category, graded, target.critical, self.duration_ms, self.message, self.remedy,
            {"kind": target.kind, "healthy": self.good, **self.data, **data},
        )


def failed(failure: _base.ProbeFailure) -> Observation:
    """What a `ProbeFailure` says."""
    return Observation(
        _result.FAIL, str(failure), failure.remedy, failure.data,
        phase=failure.phase, permanent=failure.permanent, retry_in=failure.retry_in, gone=failure.gone,
    )


def graded(target: _base.Target, outcome: _base.Outcome, elapsed: float) -> Observation:
    """What an `Outcome` after `elapsed` seconds says, held against the target's budget."""
    elapsed_ms = milliseconds(elapsed)
    if outcome.skipped:
        return Observation(_result.SKIP, outcome.message, data=outcome.data, duration_ms=elapsed_ms)
    warnings, remedy = list(outcome.warnings), ""
    if target.max_ms is not None and elapsed_ms > target.max_ms:
        warnings.append(f"took {elapsed_ms:.0f} ms, more than max_ms {target.max_ms:g}")
        remedy = "Find out what slows it down, or raise max_ms."
    if warnings:
        message = f"{outcome.message}, but {'; '.join(warnings)}"
        return Observation(_result.WARN, message, remedy, outcome.data, elapsed_ms)
    return Observation(_result.PASS, outcome.message, data=outcome.data, duration_ms=elapsed_ms)


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
