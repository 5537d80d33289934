# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Compose file says about the rollout of a service, read and checked. Private to the collection.

Every function takes the service's name for its errors and raises `ProductionError` that names service and key.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._migrations import HEAD

UPSTREAM = "{upstream}"
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h|d|w)")
_UPDATE = ("order", "parallelism", "delay", "monitor", "max_failure_ratio", "failure_action")
_ROLLOUT = ("edge", "smoke", "verify", "max_p95_ms", "drain", "long_drain")
_COMMANDS = ("test", "reload", "confirm")
_EDGE = ("service", "path", "content", *_COMMANDS)
_MIGRATIONS = ("plan", "undo")


def duration(service: str, key: str, value: t.Any) -> float:
    """Seconds of a duration as Compose writes it: `1m30s`, `500ms`, `0`."""
    parts = _PART.findall(value) if isinstance(value, str) else []
    if value != "0" and (not parts or "".join(number + unit for number, unit in parts) != value):
        raise _wrong(service, key, f"{value!r} is no duration such as 30s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def update_config(service: str, value: t.Any) -> dict[str, t.Any]:
    """`deploy.update_config` as {order, parallelism, delay, monitor, max_failure_ratio}, with Compose's defaults."""
    raw = _mapping(service, "deploy.update_config", value or {}, _UPDATE)
    order = raw.get("order", "stop-first")
    if order not in ("start-first", "stop-first"):
        raise _wrong(service, "deploy.update_config.order", f"{order!r} is neither start-first nor stop-first")
    return {
        "order": order,
        "parallelism": int(_number(service, "deploy.update_config.parallelism", raw.get("parallelism", 1), whole=True)),
        "delay": duration(service, "deploy.update_config.delay", raw.get("delay", "0s")),
        "monitor": duration(service, "deploy.update_config.monitor", raw.get("monitor", "5s")),
        "max_failure_ratio": _number(
            service, "deploy.update_config.max_failure_ratio", raw.get("max_failure_ratio", 0), most=1
        ),
    }


def rollout(service: str, value: t.Any) -> dict[str, t.Any]:
    """`x-rollout` as {edge, smoke, verify, max_p95_ms: ms or None, drain, long_drain: seconds}.

    `edge` is None or {service, path, content, test, reload, confirm}, all but the first two empty where not given.
    """
    raw = _mapping(service, "x-rollout", value or {}, _ROLLOUT)
    budget = raw.get("max_p95_ms")
    return {
        "edge": None if raw.get("edge") is None else _edge(service, raw["edge"]),
        "smoke": _targets(service, "x-rollout.smoke", raw.get("smoke")),
        "verify": _targets(service, "x-rollout.verify", raw.get("verify")),
        "max_p95_ms": None if budget is None else _number(service, "x-rollout.max_p95_ms", budget),
        "drain": duration(service, "x-rollout.drain", raw.get("drain", "30s")),
        "long_drain": duration(service, "x-rollout.long_drain", raw.get("long_drain", "60s")),
    }


def migrations(service: str, value: t.Any) -> dict[str, list[str]]:
    """`x-migrations` as {plan: argv, undo: argv, empty when nothing can be undone}."""
    raw = _mapping(service, "x-migrations", value, _MIGRATIONS)
    plan = _argv(service, "x-migrations.plan", raw.get("plan"))
    undo = _argv(service, "x-migrations.undo", raw["undo"]) if raw.get("undo") else []
    if undo and not any(HEAD in part for part in undo):
        raise _wrong(service, "x-migrations.undo", f"it does not say with {HEAD} where to go")
    return {"plan": plan, "undo": undo}


def _edge(service: str, value: t.Any) -> dict[str, t.Any]:
    raw = _mapping(service, "x-rollout.edge", value, _EDGE)
    for key in ("service", "path"):
        if not isinstance(raw.get(key), str) or not raw[key]:
            raise _wrong(service, f"x-rollout.edge.{key}", "a text is needed")
    content = raw.get("content") or ""
    if not os.path.isabs(raw["path"]) or os.path.dirname(os.path.normpath(raw["path"])) == "/":
        raise _wrong(service, "x-rollout.edge.path", f"{raw['path']!r} is no file in a folder of its own, from / on")
    if content and UPSTREAM not in str(content):
        raise _wrong(service, "x-rollout.edge.content", f"it does not hold {UPSTREAM}, the name of the new containers")
    return {
        "service": raw["service"],
        "path": os.path.normpath(raw["path"]),
        "content": str(content),
        **{key: _argv(service, f"x-rollout.edge.{key}", raw[key]) if raw.get(key) else [] for key in _COMMANDS},
    }


def _mapping(service: str, key: str, value: t.Any, known: t.Sequence[str]) -> dict[str, t.Any]:
    if not isinstance(value, dict):
        raise _wrong(service, key, "it is no mapping")
    unknown = ", ".join(sorted(str(name) for name in value if name not in known))
    if unknown:
        raise _wrong(service, key, f"there is no {unknown}; there are {', '.join(known)}")
    return value


def _number(service: str, key: str, value: t.Any, most: float = 1e9, whole: bool = False) -> float:
    try:
        number = int(str(value)) if whole else float(str(value))
    except ValueError as exc:
        raise _wrong(service, key, f"{value!r} is no {'whole ' if whole else ''}number") from exc
    if not 0 <= number <= most:
        raise _wrong(service, key, f"{value!r} is below 0" if number < 0 else f"{value!r} is above {most}")
    return number


def _argv(service: str, key: str, value: t.Any) -> list[str]:
    words = value if isinstance(value, list) else []
    if not words or any(isinstance(word, (dict, list, bool, type(None))) for word in words):
        raise _wrong(service, key, "it is no list of a program and its arguments")
    return [str(word) for word in words]


def _targets(service: str, key: str, value: t.Any) -> list[dict[str, t.Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) and one.get("name") for one in value):
        raise _wrong(service, key, "it is no list of targets, each with a name")
    return value


def _wrong(service: str, key: str, cause: str) -> ProductionError:
    return ProductionError(service, f"{key}: {cause}.", "Correct the Compose file.")
