# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a flow makes sense, found out before its first request. Private to the collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _flow_values, _http

BUILT_IN = ("random", "timestamp")
FILLED = ("path", "headers", "body", "contains", "equals", "json", "response_headers")  # where a step may use names

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # of RFC 9110
_MAX_CONCURRENCY = 64
_LIMITS = {"max_p50_ms": 0, "max_p95_ms": 0, "max_p99_ms": 0, "warmup": 0, "max_error_percent": 0, "min_samples": 1}


def wrong(where: str, cause: str, remedy: str) -> _base.ProbeFailure:
    """A fault of the flow itself: no waiting makes it good."""
    return _base.ProbeFailure(f"{where}: {cause}", remedy, "flow", permanent=True)


def origins(options: dict[str, t.Any]) -> set[_http.Origin]:
    """Where requests of the flow may go: the base URL's origin, and those allowed besides."""
    found = {_http.origin(options["url"])}
    for entry in options["allowed_origins"]:
        parts = _http.split(entry)
        if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise wrong(
                "allowed_origins", f"{_http.without_password(entry)} is more than an origin",
                "Give scheme, host and port, such as https://cdn.example.org.",
            )
        found.add(_http.origin(entry))
    return found


def gives(options: dict[str, t.Any]) -> set[str]:
    """The names that a flow has for those within it, when its steps come out right."""
    return set(options["vars"]).union(*(step["capture"] for step in options["steps"]))


def verify(options: dict[str, t.Any], given: t.Collection[str] = ()) -> None:
    """Raises a permanent `ProbeFailure` for the first thing in a flow that can never work.

    `given` are the names of the flow that it runs within.
    """
    origins(options)
    known = {*BUILT_IN, *given}
    for name, value in options["vars"].items():
        _is_name("vars", name)
        _are_known("vars", value, known)
        known.add(name)
    if not options["steps"]:
        raise wrong("steps", "there are none", "Give the flow a step.")
    for kind in ("steps", "cleanup"):
        titles = [step["name"] for step in options[kind]]
        for title in titles:
            if titles.count(title) > 1:
                raise wrong(kind, f"{title} is there twice", "Give every step a name of its own.")
        for step in options[kind]:
            where = f"{'step' if kind == 'steps' else 'clean-up step'} {step['name']}"
            _step(where, step, known)
            if step.get("without"):
                _are_known(where, f"${{{step['without']}}}", known)
            known |= set(step["capture"])
    _are_known("headers", options["headers"], known)
    if options["cleanup_timeout"] <= 0:
        raise wrong("cleanup_timeout", "it is not above 0", "Give it the seconds that cleaning up may take.")
    if options["repeat"]:
        _repeat(options["repeat"])


def _is_name(where: str, name: str) -> None:
    if name in BUILT_IN or not _flow_values.NAME.fullmatch(str(name)):
        raise wrong(
            where, f"{name!r} cannot be a name here", f"Names have letters, digits and _, and are not {BUILT_IN}."
        )


def _are_known(where: str, value: t.Any, known: set[str]) -> None:
    unknown = sorted(_flow_values.names(value) - known)
    if unknown:
        raise wrong(
            where, f"the name {unknown[0]!r} is not known there",
            f"Set it in vars or capture it in a step before. Known are {', '.join(sorted(known))}; $$ stands for $.",
        )


def _step(where: str, step: dict[str, t.Any], known: set[str]) -> None:
    for option in FILLED:
        _are_known(where, step[option], known)
    if not re.fullmatch(_TOKEN, step["method"]):
        raise wrong(where, f"{step['method']!r} is not a method", "Correct method.")
    for name in step["headers"]:
        if not re.fullmatch(_TOKEN, str(name)):
            raise wrong(where, f"{name!r} is not the name of a header", "Correct headers.")
    for name, source in step["capture"].items():
        _is_name(where, name)
        _capture(where, name, source)
    _body(where, step["body"], step["body_format"])
    if step["retries"] < 0 or step["delay"] < 0:
        raise wrong(where, "retries or delay is below 0", "Leave them out, or give them numbers above 0.")


def _capture(where: str, name: str, source: t.Any) -> None:
    good = isinstance(source, dict) and len(source) == 1 and next(iter(source)) in _flow_values.SOURCES
    if not good or not all(isinstance(value, str) and value for value in source.values()):
        raise wrong(
            where, f"it is not clear where to capture {name} from",
            f"Give one of {', '.join(_flow_values.SOURCES)}, such as {{{name}: {{json: data.id}}}}.",
        )
    if "regex" in source:
        try:
            re.compile(source["regex"])
        except re.error as exc:
            raise wrong(where, f"the regex for {name} is not valid, {exc}", "Correct capture.") from exc


def _body(where: str, body: t.Any, body_format: str | None) -> None:
    if body is None or isinstance(body, str) and body_format != "form-multipart":
        return
    if body_format == "raw":
        raise wrong(where, "body_format raw needs a text", "Give a text, or another body_format.")
    if body_format == "form-urlencoded":
        pairs = isinstance(body, list) and all(isinstance(one, list) and len(one) == 2 for one in body)
        if not isinstance(body, dict) and not pairs:
            raise wrong(where, "the body is no form", "Give a dictionary or a list of pairs.")
    if body_format == "form-multipart":
        parts = body.values() if isinstance(body, dict) else [{}]
        for part in parts:
            if isinstance(part, dict) and not _is_part(part):
                raise wrong(
                    where, "the body is no multipart form",
                    "Give a dictionary; each part is a text, or has content, filename (without content, of a file to "
                    "read) and mime_type.",
                )


def _is_part(part: dict[str, t.Any]) -> bool:
    texts = all(isinstance(part.get(name, ""), str) for name in ("filename", "mime_type"))
    enough = part.get("content") is not None or bool(part.get("filename"))
    return texts and enough and not set(part) - set(_flow_values.MULTIPART_KEYS)


def _repeat(repeat: dict[str, t.Any]) -> None:
    for name, least in _LIMITS.items():
        if repeat[name] is not None and repeat[name] < least:
            raise wrong("repeat", f"{name} is below {least}", f"Correct {name}.")
    if not 1 <= repeat["concurrency"] <= _MAX_CONCURRENCY:
        raise wrong("repeat", f"concurrency is not from 1 to {_MAX_CONCURRENCY}", "Correct concurrency.")
    if repeat["samples"] < (repeat["min_samples"] or 1) or repeat["max_error_percent"] > 100:
        raise wrong("repeat", "there can never be enough samples", "Raise samples, or lower min_samples.")
