# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of targets, and how one look at a target becomes a result. Private to the collection.

To add a kind, write one file in this folder, named like the kind, and add it to `KINDS`. It holds:

- `CATEGORY`: the default category of its results;
- `LIBRARIES`: the Python libraries it needs (names of `_deps.LIBRARIES`);
- `SPEC`: the argument spec of its options (`options`, `required_together`, …), and `DOCUMENTATION`: the same for readers;
- `probe(options, attempt)`: looks once. It returns `Outcome`, or raises `ProbeFailure` when the target is not good; any
  other exception means that the check itself could not run. It spends no more than `attempt.budget` on anything that
  can block. It connects to `attempt.host`, where that is set: the address of a service that publishes no port;
- `endpoint(options)`, for a kind behind one TCP port: its (host, port), which waiting tries first, being cheap.

Plant the faults it looks for in its tests.
"""

from __future__ import annotations

import dataclasses
import ssl
import time
import types
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker, _result
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import (
    _base,
    _compose,
    _net,
    container,
    http,
    postgres,
    redis,
    system,
    tcp,
)

KINDS: dict[str, types.ModuleType] = {
    "http": http,
    "tcp": tcp,
    "postgres": postgres,
    "redis": redis,
    "container": container,
    "system": system,
}

_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie", "x-api-key")


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

    @property
    def good(self) -> bool:
        return self.status in (_result.PASS, _result.WARN, _result.SKIP)

    def as_result(self, target: _base.Target, **data: t.Any) -> _result.CheckResult:
        """The graded result: a failure of a target that is not critical is a `warn`."""
        graded = _result.WARN if self.status == _result.FAIL and not target.critical else self.status
        return _result.CheckResult(
            target.name, target.category, graded, target.critical, self.duration_ms, self.message, self.remedy,
            {"kind": target.kind, "healthy": self.good, **self.data, **data},
        )


def argument_spec() -> dict[str, t.Any]:
    """The options that every module with targets has."""
    kinds = {name: {"type": "dict", **kind.SPEC} for name, kind in KINDS.items()}
    return {
        "targets": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "name": {"type": "str", "required": True},
                "critical": {"type": "bool", "default": True},
                "max_ms": {"type": "float"},
                "timeout": {"type": "float", "default": 5.0},
                "category": {"type": "str"},
                **kinds,
            },
            "mutually_exclusive": [list(KINDS)],
            "required_one_of": [list(KINDS)],
        },
        "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
    }


def parse(entries: list[dict[str, t.Any]]) -> list[_base.Target]:
    """Targets from validated module options; raises `ProductionError` for duplicate names and impossible times."""
    targets: dict[str, _base.Target] = {}
    for entry in entries:
        name = entry["name"]
        if name in targets:
            raise ProductionError(name, "two targets have this name.", "Give every target a name of its own.")
        if entry["timeout"] <= 0:
            raise ProductionError(name, "timeout is not above 0.", "Give it the seconds that one attempt may take.")
        kind = next((kind for kind in KINDS if entry.get(kind) is not None), None)
        if kind is None:
            raise ProductionError(name, "has no kind.", f"Give it one of {', '.join(KINDS)}.")
        targets[name] = _base.Target(
            name, kind, entry[kind], entry["category"] or KINDS[kind].CATEGORY, entry["critical"], entry["max_ms"],
            entry["timeout"],
        )
    return list(targets.values())


def secrets_of(targets: t.Iterable[_base.Target]) -> list[str]:
    """The values among the targets' options that must not show in any output."""
    found = []
    for target in targets:
        for name, spec in KINDS[target.kind].SPEC["options"].items():
            if spec.get("no_log") and target.options[name]:
                found.append(target.options[name])
        headers = target.options.get("headers") or {}
        found += [str(value) for name, value in headers.items() if name.lower() in _SECRET_HEADERS]
    return found


def observe(
    target: _base.Target, session: _base.Session, seconds: float, memory: dict[str, t.Any] | None = None
) -> Observation:
    """Looks at a target once, for `seconds` at most. Raises only `Cancelled`: a probe that breaks is an `error`."""
    attempt = _base.Attempt(session, _base.Budget(seconds, session.cancelled), {} if memory is None else memory)
    kind = KINDS[target.kind]
    started = time.monotonic()
    try:
        for library in kind.LIBRARIES:
            _deps.load(library)
        if target.service and target.kind != "container":
            attempt.host = attempt.memory["host"] = _compose.locate(session, *target.service, attempt.memory)
        started = time.monotonic()  # finding the way there is not the target's response time
        seen = _graded(target, kind.probe(target.options, attempt), (time.monotonic() - started) * 1000)
    except _base.ProbeFailure as exc:
        seen = Observation(
            _result.FAIL, str(exc), exc.remedy, exc.data,
            phase=exc.phase, permanent=exc.permanent, retry_in=exc.retry_in,
        )
    except TimeoutError as exc:
        seen = Observation(_result.FAIL, str(exc), "Does it hang? Raise timeout if it is only slow.", phase="answer")
    except (ConnectionError, ssl.SSLError) as exc:
        seen = Observation(_result.FAIL, f"the connection broke: {exc}", "See the service's log.", phase="answer")
    except _deps.MissingLibrary as exc:
        seen = Observation(_result.ERROR, str(exc), f"Install {exc.library}.", phase="library", permanent=True)
    except ProductionError as exc:
        seen = Observation(_result.ERROR, f"{exc.culprit}: {exc.cause}", exc.remedy, phase="engine")
    except _base.Cancelled:
        raise
    except Exception as exc:  # whatever it is: a check that could not run has not passed
        seen = Observation(
            _result.ERROR, f"the check broke: {type(exc).__name__}: {exc}", "Report this with the target's options.",
            phase="check", permanent=True,
        )
    seen.duration_ms = round((time.monotonic() - started) * 1000, 1)
    seen.message, seen.data = session.clean(seen.message), session.clean(seen.data)
    return seen


def known_addresses(target: _base.Target, memory: dict[str, t.Any]) -> list[tuple[t.Any, t.Any]]:
    """(family, socket address) pairs for a cheap connect before the probe; [] where that takes a look-up."""
    endpoint = getattr(KINDS[target.kind], "endpoint", None)
    if endpoint is None:
        return []
    try:
        host, port = endpoint(target.options)
        return _net.numeric_addresses(memory.get("host") if target.service else host, port)
    except (_base.ProbeFailure, ValueError):
        return []  # the probe itself says what is wrong with it


def explain(target: _base.Target, session: _base.Session) -> dict[str, t.Any]:
    """What the Engine knows of the containers behind a failed target; {} for a target without, or without an Engine."""
    if not target.service:
        return {}
    try:
        with session.docker() as client:
            containers = _docker.compose_containers(client, *target.service)
            return {"containers": session.clean([_compose.describe(client, one) for one in containers])}
    except (ProductionError, _deps.MissingLibrary) as exc:
        return {"containers_error": session.clean(str(exc))}


def _graded(target: _base.Target, outcome: _base.Outcome, elapsed_ms: float) -> Observation:
    if outcome.skipped:
        return Observation(_result.SKIP, outcome.message, data=outcome.data)
    warnings, remedy = list(outcome.warnings), ""
    if target.max_ms is not None and elapsed_ms > target.max_ms:
        warnings.append(f"took {elapsed_ms:.0f} ms, more than max_ms {target.max_ms:g}")
        remedy = "Find out what slows it down, or raise max_ms."
    if warnings:
        return Observation(_result.WARN, f"{outcome.message}, but {'; '.join(warnings)}", remedy, outcome.data)
    return Observation(_result.PASS, outcome.message, data=outcome.data)
