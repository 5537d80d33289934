# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict of a wait: its results, and an error that leads with the cause, not with its victims. Private."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils import _probes, _result
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import _dependencies
from ansible_collections.tria.production.plugins.module_utils._probes._base import Session, Target

if t.TYPE_CHECKING:
    from ansible_collections.tria.production.plugins.module_utils._waiting import Watch

_MESSAGE_LOG_LINES = 5  # of the culprit's log in the message; log_tail has more
_SILENT = "gave no answer yet"


def conclude(watches: list[Watch], elapsed: float, timeout: float, session: Session) -> dict[str, t.Any]:
    """Return values of a wait that ended well; raises `ProductionError` for one that did not."""
    shown = [watch for watch in watches if not watch.guard]
    culprits = [watch for watch in watches if _failed(watch)]
    causes = _dependencies.causes({watch.target.name for watch in culprits if not watch.good}, _targets(shown))
    culprits.sort(key=lambda watch: _rank(watch, causes))
    explained = {watch.target.name: _probes.explain(watch.target, session) for watch in culprits}
    results = [_as_result(watch, explained.get(watch.target.name, {})) for watch in shown]
    values = {
        "elapsed": round(elapsed, 3),
        "overall_status": "unhealthy" if any(watch.target.critical for watch in culprits) else _result.overall(results),
        "results": [result.as_dict() for result in results],
    }
    if not any(watch.target.critical for watch in culprits):
        return values
    raise _error(culprits, causes, explained, elapsed, timeout, values)


def _targets(watches: list[Watch]) -> dict[str, Target]:
    return {watch.target.name: watch.target for watch in watches}


def _failed(watch: Watch) -> bool:
    return watch.final if watch.guard else not watch.ready


def _rank(watch: Watch, causes: dict[str, list[str]]) -> tuple[bool, bool, bool, bool]:
    blamed = any(watch.target.name in names for names in causes.values())
    lost = watch.final or blamed  # what somebody else was lost to is no better than lost itself
    unimportant = not watch.target.critical and not blamed
    return watch.target.name in causes, unimportant, not lost, watch.target.kind != "container"


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
    causes: dict[str, list[str]],
    explained: dict[str, dict[str, t.Any]],
    elapsed: float,
    timeout: float,
    values: dict[str, t.Any],
) -> ProductionError:
    first = culprits[0]
    name = first.target.name
    result = _as_result(first, {})
    container = _worst(explained[name].get("containers", []))
    log = container.get("log_tail", [])
    when = f"after {elapsed:.1f} s" if first.final else f"not ready within {min(elapsed, timeout):.3g} s"
    parts = [f"{result.message} ({when}, phase {result.data['phase']}, attempts: {first.attempts})."]
    if log:
        parts.append("Its last log lines: " + " | ".join(log[-_MESSAGE_LOG_LINES:]))
    others = {one.target.name: one for one in culprits if one.target.name != name}
    victims = [other for other in others if name in causes.get(other, ())]
    parts += _told("Not ready because of it", victims, others)
    parts += _told("Not ready either", [other for other in others if other not in victims], others)
    return ProductionError(
        name,
        " ".join(parts),
        result.remedy,
        **values,
        phase=result.data["phase"],
        last_error=result.message,
        attempts=first.attempts,
        victims=victims,
        exit_code=container.get("exit_code"),
        health_log=container.get("health_log", []),
        log_tail=log,
    )


def _told(what: str, names: list[str], watches: dict[str, Watch]) -> list[str]:
    seen = {name: watches[name].seen for name in names}
    told = [f"{name} ({one.message if one else _SILENT})" for name, one in seen.items()]
    return [f"{what}: {', '.join(told)}."] if told else []


def _worst(containers: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """The container that most likely explains the failure; {} when there is none."""
    def trouble(one: dict[str, t.Any]) -> tuple[bool, bool, bool]:
        return one["state"] == "running", not one["restart_count"], one["health"] in (None, "healthy")

    return min(containers, key=trouble) if containers else {}
