# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict of a wait: its results, and an error that leads with the cause, not with its victims. Private."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils import _probes, _result
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes._base import Session

if t.TYPE_CHECKING:
    from ansible_collections.tria.production.plugins.module_utils._waiting import Watch

_MESSAGE_LOG_LINES = 5  # of the culprit's log in the message; log_tail has more
_SILENT = "gave no answer yet"


def conclude(watches: list[Watch], elapsed: float, timeout: float, session: Session) -> dict[str, t.Any]:
    """Return values of a wait that ended well; raises `ProductionError` for one that did not."""
    shown = [watch for watch in watches if not watch.guard]
    culprits = sorted((watch for watch in watches if _failed(watch)), key=_rank)
    explained = {watch.target.name: _probes.explain(watch.target, session) for watch in culprits}
    results = [_as_result(watch, explained.get(watch.target.name, {})) for watch in shown]
    values = {
        "elapsed": round(elapsed, 3),
        "overall_status": "unhealthy" if any(watch.target.critical for watch in culprits) else _result.overall(results),
        "results": [result.as_dict() for result in results],
    }
    if not any(watch.target.critical for watch in culprits):
        return values
    raise _error(culprits, explained, elapsed, timeout, values)


def _failed(watch: Watch) -> bool:
    return watch.final if watch.guard else not watch.ready


def _rank(watch: Watch) -> tuple[bool, bool, bool]:
    return not watch.target.critical, not watch.final, watch.target.kind != "container"


def _as_result(watch: Watch, details: dict[str, t.Any]) -> _result.CheckResult:
    seen = watch.seen or _probes.Observation(_result.FAIL, _SILENT, "Raise timeout.", phase="answer")
    if not watch.ready and seen.good:
        message = f"{seen.message}, but not for long enough"
        seen = _probes.Observation(_result.FAIL, message, "Raise timeout.", seen.data, seen.duration_ms, "stability")
    return seen.as_result(
        watch.target,
        ready=watch.ready,
        ready_after=None if watch.ready_after is None else round(watch.ready_after, 3),
        attempts=watch.attempts,
        flaps=watch.flaps,
        phase=seen.phase,
        timeline=watch.timeline,
        **details,
    )


def _error(
    culprits: list[Watch],
    explained: dict[str, dict[str, t.Any]],
    elapsed: float,
    timeout: float,
    values: dict[str, t.Any],
) -> ProductionError:
    first = culprits[0]
    result = _as_result(first, {})
    container = _worst(explained[first.target.name].get("containers", []))
    log = container.get("log_tail", [])
    when = f"after {elapsed:.1f} s" if first.final else f"not ready within {timeout:g} s"
    parts = [f"{result.message} ({when}, phase {result.data['phase']}, attempts: {first.attempts})."]
    if log:
        parts.append("Its last log lines: " + " | ".join(log[-_MESSAGE_LOG_LINES:]))
    others = [watch for watch in culprits[1:] if watch.target.name != first.target.name]
    if others:
        told = [f"{one.target.name} ({one.seen.message if one.seen else _SILENT})" for one in others]
        parts.append(f"Not ready either: {', '.join(told)}.")
    return ProductionError(
        first.target.name,
        " ".join(parts),
        result.remedy,
        **values,
        phase=result.data["phase"],
        last_error=result.message,
        attempts=first.attempts,
        exit_code=container.get("exit_code"),
        health_log=container.get("health_log", []),
        log_tail=log,
    )


def _worst(containers: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """The container that most likely explains the failure; {} when there is none."""
    def trouble(one: dict[str, t.Any]) -> tuple[bool, bool, bool]:
        return one["state"] == "running", not one["restart_count"], one["health"] in (None, "healthy")

    return min(containers, key=trouble) if containers else {}
