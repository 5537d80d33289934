# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one result model: every probe, rule and gate yields `CheckResult`; reports, facts and the live view are views of it.

This module is private to the collection.
"""

from __future__ import annotations

import dataclasses
import typing as t

PASS = "pass"
WARN = "warn"
FAIL = "fail"
ERROR = "error"
SKIP = "skip"


@dataclasses.dataclass
class CheckResult:
    """One graded observation.

    `status` is `pass`, `warn` (a non-critical failure), `fail`, `error` (the check itself could not run) or `skip`
    (not configured; `message` says why). `duration_ms` is wall time in milliseconds. `data` must be JSON-serialisable
    and must never hold a secret.
    """

    name: str
    category: str
    status: str
    critical: bool = True
    duration_ms: float = 0.0
    message: str = ""
    remedy: str = ""
    data: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    @property
    def blocks(self) -> bool:
        """Whether this result must stop a deploy: a critical check that failed or could not be run."""
        return self.critical and self.status in (FAIL, ERROR)

    @property
    def degrades(self) -> bool:
        """Whether the stack is no better than `degraded` because of this result."""
        return self.status in (WARN, FAIL, ERROR)

    def as_dict(self) -> dict[str, t.Any]:
        return dict(vars(self))  # not `asdict`: copying deeply takes 20 ms for 200 results


def failed(name: str, category: str, critical: bool = True, **kwargs: t.Any) -> CheckResult:
    """A failure graded by its importance: `fail` when critical, else `warn`."""
    return CheckResult(name, category, FAIL if critical else WARN, critical, **kwargs)


def overall(results: t.Iterable[CheckResult]) -> str:
    """`healthy`, `degraded` (only non-critical trouble) or `unhealthy`."""
    worst = "healthy"
    for result in results:
        if result.blocks:
            return "unhealthy"
        if result.degrades:
            worst = "degraded"
    return worst


def by_category(results: t.Iterable[CheckResult]) -> dict[str, list[dict[str, t.Any]]]:
    """Results as plain dicts, grouped by category in order of first appearance."""
    grouped: dict[str, list[dict[str, t.Any]]] = {}
    for result in results:
        grouped.setdefault(result.category, []).append(result.as_dict())
    return grouped
