# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times of the latest requests, by route."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

_KEPT = 512


class Performance:
    """The latest few hundred times of each route, and counts of all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes: dict[str, deque[float]] = {}
        self._counts: dict[str, int] = {}
        self._errors: dict[str, int] = {}

    def add(self, route: str, status: int, seconds: float) -> None:
        with self._lock:
            self._routes.setdefault(route, deque(maxlen=_KEPT)).append(seconds * 1000)
            self._counts[route] = self._counts.get(route, 0) + 1
            self._errors[route] = self._errors.get(route, 0) + (status >= 500)

    def summary(self) -> dict[str, Any]:
        """{requests, errors, error_rate, routes: {route: {count, errors, mean_ms, p50_ms, p95_ms, p99_ms, max_ms}}}.

        Times are over the latest requests of a route, 512 at most; counts are over all since the start.
        """
        with self._lock:
            routes = {
                route: {"count": self._counts[route], "errors": self._errors[route], **_times(sorted(times))}
                for route, times in sorted(self._routes.items())
            }
        requests, errors = sum(self._counts.values()), sum(self._errors.values())
        return {
            "requests": requests,
            "errors": errors,
            "error_rate": round(errors / requests, 4) if requests else 0.0,
            "routes": routes,
        }


def _times(ordered: list[float]) -> dict[str, float]:
    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return {
        "mean_ms": round(sum(ordered) / len(ordered), 2),
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "p99_ms": at(0.99),
        "max_ms": round(ordered[-1], 2),
    }
