# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of targets, and how one look at a target becomes a result. Private to the collection.

To add a kind, write one file in this folder, named like the kind, and add it to `KINDS`. It holds:

- `CATEGORY`: the default category of its results;
- `LIBRARIES`: the Python libraries it needs (names of `_deps.LIBRARIES`);
- `SPEC`: the argument spec of its options (`options`, …), and `DOCUMENTATION`: the same for readers;
- `probe(options, attempt)`: looks once. It returns `Outcome`, or raises `ProbeFailure` when the target is not good; any
  other exception means that the check itself could not run. It spends no more than `attempt.budget` on anything that
  can block. It connects to `attempt.host`, where that is set: the address of a service that publishes no port;
- `endpoint(options)`, for a kind behind one TCP port: its (host, port), which waiting tries first, being cheap. The
  connected socket is then in `attempt.sock`;
- `connected(options, host)`, where a connection is all that is asked for: the `Outcome` of having one.

Plant the faults it looks for in its tests.
"""

from __future__ import annotations

import dataclasses
import socket
import ssl
import time
import types
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _result
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import (
    _base,
    _compose,
    _dependencies,
    _net,
    _secrets,
    backup,
    command,
    container,
    dns,
    flow,
    http,
    postgres,
    redis,
    sqlite,
    system,
    tcp,
    tls,
)
from ansible_collections.tria.production.plugins.module_utils._probes._observation import (
    Observation,
    failed,
    graded,
    milliseconds,
)

KINDS: dict[str, types.ModuleType] = {
    "http": http,
    "tcp": tcp,
    "tls": tls,
    "dns": dns,
    "postgres": postgres,
    "sqlite": sqlite,
    "redis": redis,
    "container": container,
    "flow": flow,
    "command": command,
    "system": system,
    "backup": backup,
}

CONNECTS_ITSELF = "connects_itself"  # in a target's memory: its kind did not use the connection it was given
_EXPLAIN_SECONDS = 2.0  # for one request; the Engine answers for no container that it is just starting
_IN_CONTAINER = ("container", "command")  # which need no address of it


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
                "skip": {"type": "str", "default": ""},
                "invert": {"type": "bool", "default": False},
                "depends_on": {"type": "list", "elements": "str", "default": []},
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
        if entry["skip"] in ("True", "False"):  # what Ansible makes of a bool
            raise ProductionError(name, "skip is no reason.", "Give the reason as a text; an empty one skips nothing.")
        target = targets[name] = _base.Target(
            name, kind, entry[kind], entry["category"] or KINDS[kind].CATEGORY, entry["critical"], entry["max_ms"],
            entry["timeout"], entry["invert"], tuple(entry["depends_on"]), entry["skip"].strip(),
        )
        if target.within:  # what runs in a flow fails with it
            targets[name] = dataclasses.replace(target, depends_on=(target.within, *target.depends_on))
    _dependencies.check(targets)
    return list(targets.values())


def secrets_of(targets: t.Iterable[_base.Target]) -> list[str]:
    """The values among the targets' options that must not show in any output."""
    found: list[str] = []
    for target in targets:
        found += _secrets.among(KINDS[target.kind].SPEC["options"], target.options)
    return found


def observe(
    target: _base.Target,
    session: _base.Session,
    seconds: float,
    memory: dict[str, t.Any] | None = None,
    sock: socket.socket | None = None,
    connecting: float = 0.0,
) -> Observation:
    """Looks at a target once, for `seconds` at most. Raises only `Cancelled`: a probe that breaks is an `error`.

    `sock` is connected to the target's endpoint already, which took `connecting` seconds; it is closed afterwards.
    """
    attempt = _base.Attempt(session, _base.Budget(seconds, session.cancelled), {} if memory is None else memory)
    attempt.host, attempt.sock = attempt.memory.get("host"), sock
    started = time.monotonic()
    try:
        seen = _attempt(target, attempt, connecting)
    finally:
        unused = attempt.take_socket()
        if unused is not None:
            unused.close()
            attempt.memory[CONNECTS_ITSELF] = True
    elapsed = time.monotonic() - started - attempt.aside
    seen.duration_ms = seen.duration_ms or milliseconds(elapsed)
    seen.cut_short = not seen.good and seconds < target.timeout and elapsed >= seconds - 0.005
    return _finished(target, session, seen)


def connected(
    target: _base.Target, session: _base.Session, memory: dict[str, t.Any], seconds: float
) -> Observation | None:
    """What a connect that took `seconds` says of a target; None when its kind asks for more than that."""
    says = getattr(KINDS[target.kind], "connected", None)
    if says is None:
        return None
    return _finished(target, session, graded(target, says(target.options, memory.get("host")), seconds))


def refused(
    target: _base.Target, session: _base.Session, memory: dict[str, t.Any], error: OSError, seconds: float
) -> Observation:
    """What a connect that failed with `error` after `seconds` says of a target."""
    host, port = KINDS[target.kind].endpoint(target.options)
    seen = failed(_net.refusal(memory.get("host") or host, port, error))
    seen.duration_ms = milliseconds(seconds)
    return _finished(target, session, seen)


def _attempt(target: _base.Target, attempt: _base.Attempt, connecting: float) -> Observation:
    kind, session = KINDS[target.kind], attempt.session
    if target.skip:
        return Observation(_result.SKIP, target.skip)
    try:
        for library in kind.LIBRARIES:
            _deps.load(library)
        if target.service and target.kind not in _IN_CONTAINER and attempt.sock is None:
            attempt.host = attempt.memory["host"] = container.locate(
                session, *target.service, attempt.memory, attempt.budget.remaining()
            )
        started = time.monotonic()  # finding the way there is not the target's response time
        outcome = kind.probe(target.options, attempt)
        return graded(target, outcome, connecting + time.monotonic() - started - attempt.aside)
    except _base.ProbeFailure as exc:
        return failed(exc)
    except TimeoutError as exc:
        return Observation(_result.FAIL, str(exc), "Does it hang? Raise timeout if it is only slow.", phase="answer")
    except (ConnectionError, ssl.SSLError) as exc:
        return Observation(_result.FAIL, f"the connection broke: {exc}", "See the service's log.", phase="answer")
    except _deps.MissingLibrary as exc:
        return Observation(_result.ERROR, str(exc), f"Install {exc.library}.", phase="library", permanent=True)
    except ProductionError as exc:
        return Observation(_result.ERROR, f"{exc.culprit}: {exc.cause}", exc.remedy, phase="engine")
    except _base.Cancelled:
        raise
    except Exception as exc:  # whatever it is: a check that could not run has not passed
        return Observation(
            _result.ERROR, f"the check broke: {type(exc).__name__}: {exc}", "Report this with the target's options.",
            phase="check", permanent=True,
        )


def _finished(target: _base.Target, session: _base.Session, seen: Observation) -> Observation:
    seen = seen.inverted() if target.invert else seen
    if target.max_ms is not None and seen.status != _result.SKIP:
        seen.data = {**seen.data, "max_ms": target.max_ms}
    seen.message, seen.data = session.clean(seen.message), session.clean(seen.data)
    return seen


def known_addresses(target: _base.Target, memory: dict[str, t.Any]) -> list[tuple[t.Any, t.Any]]:
    """(family, socket address) pairs for a cheap connect before the probe; [] where that takes a look-up."""
    endpoint = getattr(KINDS[target.kind], "endpoint", None)
    if endpoint is None or target.skip:
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
    if session.engine_silence:  # asking again for every target would take the time that nobody has any more
        return {"containers_error": session.clean(session.engine_silence)}
    try:
        with session.docker(_EXPLAIN_SECONDS) as client:
            containers = _compose.find(client, session, *target.service, target.options.get("labels"))
            return {"containers": [_compose.describe(client, session, one) for one in containers]}
    except (ProductionError, _deps.MissingLibrary) as exc:
        return {"containers_error": session.clean(str(exc))}
