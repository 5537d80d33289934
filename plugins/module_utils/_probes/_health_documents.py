# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Health documents of probed services, whatever their format, in one form. Private to the collection.

Read are `application/health+json` (draft-inadarei-api-health-check-06), Spring Boot Actuator (`components`, the older
`details`), MicroProfile Health and the readiness document that `service_health` itself returns. What is wrong within a
recognised document makes one component a `warn` that says so; it never breaks the probe and never counts as good.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _redact

PASS = "pass"
WARN = "warn"
FAIL = "fail"
UNKNOWN = "unknown"

HEALTH_JSON = "health+json"
SPRING = "spring"
MICROPROFILE = "microprofile"
READINESS = "readiness"

_WORDS = {
    "pass": PASS, "ok": PASS, "up": PASS, "healthy": PASS,
    "warn": WARN, "degraded": WARN,
    "fail": FAIL, "error": FAIL, "down": FAIL, "out_of_service": FAIL, "unhealthy": FAIL,
    "unknown": UNKNOWN,
}
_SPRING_WORDS = ("UP", "DOWN", "OUT_OF_SERVICE", "UNKNOWN")
_SPRING_MEDIA = "application/vnd.spring-boot.actuator."
_SEVERITY = (FAIL, WARN, UNKNOWN, PASS)
_EXPLANATIONS = ("error", "message", "reason", "cause", "description")
_MILLISECONDS = {
    "ns": 1e-6, "nanoseconds": 1e-6, "us": 1e-3, "µs": 1e-3, "microseconds": 1e-3,
    "ms": 1.0, "milliseconds": 1.0, "s": 1000.0, "seconds": 1000.0,
}
_MAX_COMPONENTS = 200
_MAX_READ = 2000  # components; a body of a megabyte could hold enough of them to cost seconds
_MAX_DEPTH = 8
_MAX_FACTS = 20
_MAX_TEXT = 300
_MAX_NAME = 100
_MAX_NAMED = 5  # components that a message tells of

_Component = t.Dict[str, t.Any]
_Components = t.Iterator[t.Tuple[str, _Component]]


def parse(content_type: str, document: t.Any) -> dict[str, t.Any] | None:
    """The health document in its normal form; None for anything that is none.

    `status` is `pass`, `warn` or `fail`, `format` one of the constants above, `reported` the service's own word.
    `components` are flat, by name (`broker/us1` for nested ones), each with a `status` (also `unknown`: not looked at,
    or not known there) and, where given, `reported`, `message`, `critical`, `response_time_ms`, `observed_value`,
    `observed_unit`, `time`, `pool` and more. The document's own verdict rules; what it calls good with a component in
    trouble is a `warn`. Of more than 200 components the worst are kept and the rest is counted in `omitted`.
    """
    form = _format_of(content_type, document)
    if form is None:
        return None
    if form == READINESS:
        health = _readiness_verdict(document)
    else:
        facts = document.get("details") if form == SPRING and not _children(document) else None
        health = _component(document.get("status"), facts, document.get("output"))
    components = _unique(_READERS[form](document))
    if health["status"] == UNKNOWN or any(one["status"] in (FAIL, WARN) for one in components.values()):
        health["status"] = min(WARN, health["status"], key=_SEVERITY.index)
    more: dict[str, t.Any] = {
        "version": _text(document.get("version"), _MAX_NAME) if form == HEALTH_JSON else None,
        "release_id": _text(document.get("releaseId"), _MAX_NAME) if form == HEALTH_JSON else None,
        "metrics": _numbers(document.get("metrics")) if form == READINESS else None,
    }
    worst_first = sorted(components, key=lambda name: _SEVERITY.index(components[name]["status"]))
    for name in worst_first[_MAX_COMPONENTS:]:
        del components[name]
    more["omitted"] = len(worst_first) - len(components)
    return {"format": form, **health, **{key: value for key, value in more.items() if value}, "components": components}


def troubles(health: dict[str, t.Any]) -> list[str]:
    """What is not good, in words, the worst first; [] for a document that passes."""
    if health["status"] == PASS:
        return []
    wanted = (FAIL,) if health["status"] == FAIL else (FAIL, WARN)
    found = [(name, one) for name, one in health["components"].items() if one["status"] in wanted]
    found.sort(key=lambda item: (item[1].get("critical") is False, _SEVERITY.index(item[1]["status"])))
    told = [_sentence(f"component {name}", "is", one) for name, one in found[:_MAX_NAMED]]
    if len(found) > _MAX_NAMED:
        told.append(f"and {len(found) - _MAX_NAMED} more components")
    return told or [_sentence("the health document", "says", health)]


def services(health: dict[str, t.Any]) -> dict[str, t.Any]:
    """The components as `services` of the readiness document; `healthy` is None where that is not known."""
    found = {}
    for name, one in health["components"].items():
        known = "reported" in one and one["status"] != UNKNOWN
        more = {key: value for key, value in one.items() if key not in ("status", "reported", "details")}
        found[name] = {**one.get("details", {}), **more, "healthy": one["status"] != FAIL if known else None}
    return found


def _sentence(subject: str, verb: str, one: _Component) -> str:
    told = f"{subject} {verb} {one['reported']}" if "reported" in one else f"{subject} cannot be read"
    return f"{told}: {one['message']}" if one.get("message") else told


def _format_of(content_type: str, document: t.Any) -> str | None:
    """By shape first, as many put their document under another type; conservative, as other JSON has a `status` too."""
    if not isinstance(document, dict):
        return None
    media = content_type.partition(";")[0].strip().lower()
    word, checks = document.get("status"), document.get("checks")
    if isinstance(document.get("overall_healthy"), bool) and isinstance(document.get("services"), dict):
        return READINESS
    if word in ("UP", "DOWN") and isinstance(checks, list):
        return MICROPROFILE
    details = isinstance(document.get("components"), dict) or isinstance(document.get("details"), dict)
    if word in _SPRING_WORDS and (details or set(document) <= {"status", "groups"}):
        return SPRING
    if media == "application/health+json":
        return HEALTH_JSON
    if media.startswith(_SPRING_MEDIA) and isinstance(word, str):  # other endpoints of the Actuator have none
        return SPRING
    listed = isinstance(checks, dict) and checks and all(isinstance(entries, list) for entries in checks.values())
    return HEALTH_JSON if word in (PASS, WARN, FAIL) and listed else None


def _health_json(document: dict[str, t.Any]) -> _Components:
    for key, entries in _mapping(document.get("checks"), "checks").items():
        for entry in entries if isinstance(entries, list) else [entries]:
            yield key, _measurement(key, entry) if isinstance(entry, dict) else _unreadable(_json(entry))


def _measurement(key: str, entry: dict[str, t.Any]) -> _Component:
    value, unit = entry.get("observedValue"), entry.get("observedUnit")
    factor = _MILLISECONDS.get(unit) if isinstance(unit, str) else None
    timed = key.rpartition(":")[2] == "responseTime" and factor and _number(value) is not None
    endpoints = entry.get("affectedEndpoints")
    return _component(
        entry.get("status", UNKNOWN), None, entry.get("output"),
        component_id=_text(entry.get("componentId"), _MAX_NAME),
        component_type=_text(entry.get("componentType"), _MAX_NAME),
        observed_value=_scalar(value),
        observed_unit=_text(unit, _MAX_NAME),
        response_time_ms=round(value * factor, 3) if timed else None,
        time=_text(entry.get("time"), _MAX_NAME),
        affected_endpoints=[_text(one) for one in endpoints[:_MAX_FACTS]] if isinstance(endpoints, list) else None,
    )


def _spring(node: dict[str, t.Any], path: str = "") -> _Components:
    children = _children(node)
    for name, child in children.items():
        here = f"{path}{name}"
        if not isinstance(child, dict):
            yield here, _unreadable(_json(child))
        elif path.count("/") < _MAX_DEPTH and _children(child):
            yield from _spring(child, f"{here}/")
        else:
            yield here, _component(child.get("status"), child.get("details"), None)


def _children(node: dict[str, t.Any]) -> dict[str, t.Any]:
    """The components below one of Spring's, which before 2.2 were `details` and still look like facts."""
    if node.get("components") is not None:
        return _mapping(node["components"], "components")
    details = node.get("details")
    nested = isinstance(details, dict) and any(isinstance(one, dict) and "status" in one for one in details.values())
    return details if nested else {}


def _microprofile(document: dict[str, t.Any]) -> _Components:
    for number, entry in enumerate(document["checks"], 1):
        if not isinstance(entry, dict):
            yield f"check {number}", _unreadable(_json(entry))
            continue
        name = _text(entry.get("name")) or f"check {number}"
        yield name, _component(entry.get("status"), entry.get("data"), None)


def _readiness(document: dict[str, t.Any], path: str = "") -> _Components:
    for name, entry in _mapping(document.get("services"), "services").items():
        here = f"{path}{name}"
        if not isinstance(entry, dict):
            yield here, _unreadable(_json(entry))
            continue
        known = ("healthy", "response_time_ms", "message", "pool", "critical", "services", "status", "metrics")
        healthy, critical = entry.get("healthy", entry.get("status")), entry.get("critical")
        words = {True: "healthy", False: "unhealthy", None: UNKNOWN if "healthy" in entry else None}
        yield here, _component(
            words[healthy] if healthy is None or isinstance(healthy, bool) else healthy,
            {key: value for key, value in entry.items() if key not in known},
            entry.get("message"),
            critical=critical if isinstance(critical, bool) else None,
            response_time_ms=_number(entry.get("response_time_ms")),
            pool=_numbers(entry.get("pool")) or None,
        )
        if path.count("/") < _MAX_DEPTH:
            yield from _readiness(entry, f"{here}/")


def _readiness_verdict(document: dict[str, t.Any]) -> _Component:
    word = document.get("status")
    grade = _WORDS.get(word.lower(), PASS) if isinstance(word, str) else PASS  # overall_healthy is what counts
    if not document["overall_healthy"]:
        grade, word = FAIL, word if grade == FAIL else "unhealthy"
    return _component(word if isinstance(word, str) else "healthy", None, document.get("message"), status=grade)


_READERS: dict[str, t.Callable[[dict[str, t.Any]], _Components]] = {
    HEALTH_JSON: _health_json, SPRING: _spring, MICROPROFILE: _microprofile, READINESS: _readiness,
}


def _component(word: t.Any, facts: t.Any, message: t.Any, **more: t.Any) -> _Component:
    """A component by its own word; why it is not good is in its message, or else to be found among its facts."""
    if not isinstance(word, str) or not word:
        return _unreadable(f"status {_json(word)}")
    component = {"status": _WORDS.get(word.strip().lower(), WARN), "reported": _text(word, _MAX_NAME)}
    details = _facts(facts)
    reason = next((key for key in _EXPLANATIONS if details.get(key)), None)
    told = _text(message) or (str(details.pop(reason)) if reason else "")
    if not told and component["status"] != PASS:
        told = _text(", ".join(f"{key}: {_text(value)}" for key, value in details.items()))
    more = {"message": told, "details": details, **more}
    return {**component, **{key: value for key, value in more.items() if value not in (None, "", {}, [])}}


def _unreadable(message: str) -> _Component:
    return {"status": WARN, "message": message}


def _unique(found: _Components) -> dict[str, _Component]:
    """By name; a name that comes again (one per node, say) gets a number."""
    components: dict[str, _Component] = {}
    numbers: dict[str, int] = {}
    for name, component in found:
        if len(components) == _MAX_READ:
            components["…"] = _unreadable(f"there are more than {_MAX_READ} components")
            break
        name = unique = _text(name, _MAX_NAME)
        while unique in components:
            numbers[name] = numbers.get(name, 1) + 1
            unique = f"{name} ({numbers[name]})"
        components[unique] = component
    return components


def _mapping(value: t.Any, name: str) -> dict[str, t.Any]:
    """`value`, or one entry that cannot be read when it is no dictionary."""
    if value is None:
        return {}
    return value if isinstance(value, dict) else {name: value}


def _facts(value: t.Any) -> dict[str, t.Any]:
    """A few plain values; what is named like a secret is masked, as only here name and value stand together."""
    facts = {}
    for key, item in list(value.items())[:_MAX_FACTS] if isinstance(value, dict) else []:
        name, item = _text(key, _MAX_NAME), _scalar(item)
        if isinstance(item, str) and _redact.redact(f"{name}={json.dumps(item)}").endswith(f"={_redact.MASK}"):
            item = _redact.MASK
        if item is not None:
            facts[name] = item
    return facts


def _numbers(value: t.Any) -> dict[str, t.Any]:
    return {key: number for key, number in _facts(value).items() if _number(number) is not None}


def _number(value: t.Any) -> t.Any:
    """`value` if it is a number of a sane size, else None."""
    sane = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18
    return value if sane else None


def _scalar(value: t.Any) -> t.Any:
    """A value as it is where it is short and plain, else as text: JSON knows no NaN, and nobody reads a long list."""
    return value if isinstance(value, bool) or _number(value) is not None else _text(value) or None


def _text(value: t.Any, limit: int = _MAX_TEXT) -> str:
    """One line, printable, cut to `limit` characters; "" for nothing."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _json(value)
    words = " ".join(_redact.printable(text[:limit * 4]).split())
    words = words.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be printed
    return words if len(words) <= limit else words[:limit - 1] + "…"


def _json(value: t.Any) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:  # nested as deeply as can just be read
        return "…"
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT - 1] + "…"
