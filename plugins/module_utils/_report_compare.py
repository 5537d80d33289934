# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report held against the previous one of its name: what got worse, what got better, and times. Private."""

from __future__ import annotations

import glob
import json
import os
import stat
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _report_reading as reading
from ansible_collections.tria.production.plugins.module_utils._result import ERROR, FAIL, PASS, SKIP, WARN

MAX_BYTES = 32 * 1024 * 1024
LOOKED_AT = 20  # reports, newest first, in search of one of the same stack
# Less than both is how times vary anyway.
_MUCH_RATIO = 1.5
_MUCH_MS = 50.0
_RANKS = {PASS: 0, WARN: 1, FAIL: 2, ERROR: 2}
_END_OF_TIME = 2**40  # what is later than that cannot be shown as a date
_KEY = ("host", "category", "name", "again")

Document = t.Dict[str, t.Any]


class _NoReport(ValueError):
    """A file that can be read, but is no report."""


def comparison(made: Document, base: str, latest: str) -> Document:
    """What changed since the previous report of the same name and stack below `base`.

    `release`, `timestamp`, `overall_status`, `passed_checks` and `total_checks` are those of that report; `worse`,
    `better`, `new` and `gone` are checks, `times` those measured in both, `gates` the gates with their seconds. Without
    one, there is only `note`, which also says why a report was not read.
    """
    before, notes = _previous(made, base, latest)
    if before is None:
        return {"note": " ".join(notes) or "There is no earlier report to compare with."}
    kept = ("release", "timestamp", "overall_status", "passed_checks", "total_checks")
    then, now = (_ran(document) for document in (before, made))
    return {
        "note": " ".join(notes),
        **{key: before[key] for key in kept},
        "worse": [_change(key, then, now) for key in now if key in then and _step(then[key], now[key]) > 0],
        "better": [_change(key, then, now) for key in now if key in then and _step(then[key], now[key]) < 0],
        "new": [_change(key, then, now) for key in now if key not in then],
        "gone": [_change(key, then, now) for key in then if key not in now],
        "times": [_times(key, then, now) for key in now if key in then and _is_timed(then[key], now[key])],
        "gates": _gates(before["gates"], made["gates"]),
    }


def _previous(made: Document, base: str, latest: str) -> tuple[Document | None, list[str]]:
    """The one `latest` shows, else the newest of the same stack; with a note on each that could not be read."""
    name = f"{made['report']}.json"
    shown = os.path.join(base, latest, name)
    others = glob.glob(os.path.join(glob.escape(base), "*", glob.escape(name)))
    others.sort(key=_changed_at, reverse=True)
    notes = []
    looked_at = set()
    for path in [shown, *others][:LOOKED_AT]:
        real = os.path.realpath(path)
        if real in looked_at or not os.path.lexists(path):
            continue
        looked_at.add(real)
        try:
            found = _read(path)
        except (OSError, ValueError, RecursionError) as exc:
            notes.append(f"{os.path.basename(os.path.dirname(real))}/{name} was not compared with: {_why(exc)}.")
            continue
        if found["stack"] == made["stack"] and not _is_same_run(found, made):
            return found, notes
    return None, notes


def _is_same_run(found: Document, made: Document) -> bool:
    """Hosts that are deployed in batches: each batch writes the report of the whole run anew."""
    return bool(made["started_at"]) and all(found[key] == made[key] for key in ("release", "started_at"))


def _changed_at(path: str) -> float:
    return os.lstat(path).st_mtime if os.path.lexists(path) else 0.0


def _why(exc: Exception) -> str:
    if isinstance(exc, OSError):
        return str(exc.strerror or exc)
    return str(exc) if isinstance(exc, _NoReport) else "it is damaged"


def _read(path: str) -> Document:
    """A report from a file. Raises `OSError`, or `ValueError` for what is none."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise _NoReport("it is not a file")
    if status.st_size > MAX_BYTES:
        raise _NoReport("it is too large for a report")
    with open(path, encoding="utf-8") as stream:
        found = json.load(stream)
    try:
        return _verified(found)
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as exc:
        raise _NoReport("it is not a report of this collection") from exc


def _verified(found: Document) -> Document:
    """Only what is compared, in the types that it must have."""
    checks: list[dict[str, t.Any]] = []
    for rows in found["categories"].values():
        for row in rows:
            if row["status"] not in reading.STATUSES or not all(isinstance(row[key], str) for key in _KEY[:3]):
                raise TypeError
            measured = {"critical": bool(row["critical"]), "duration_ms": reading.response_ms(row)}
            checks.append({**{key: row[key] for key in (*_KEY[:3], "status")}, **measured})
    gates = []
    for gate in found["gates"]:
        words = {"name": str(gate["name"]), "host": str(gate.get("host", ""))}
        gates.append({**words, "duration_s": reading.number(gate.get("duration_s"))})
    if found["overall_status"] not in (reading.READY, reading.READY_WITH_WARNINGS, reading.NOT_READY):
        raise TypeError
    counts = {key: int(found[key]) for key in ("timestamp", "passed_checks", "total_checks")}
    if not 0 <= counts["timestamp"] < _END_OF_TIME:
        raise ValueError
    words = {key: str(found[key]) for key in ("stack", "release", "overall_status", "started_at")}
    return {**words, **counts, "categories": {"all": checks}, "gates": gates}


def _ran(document: Document) -> dict[tuple[str, str, str, int], dict[str, t.Any]]:
    return {key: row for key, row in reading.keyed(reading.rows(document)).items() if row["status"] != SKIP}


def _step(then: Document, now: Document) -> int:
    return _RANKS[reading.grade(now)] - _RANKS[reading.grade(then)]


def _change(key: tuple[str, str, str, int], then: Document, now: Document) -> Document:
    """One check with its grade `before` and `now`, empty where it was not made."""
    grades = {when: reading.grade(rows[key]) if key in rows else "" for when, rows in (("before", then), ("now", now))}
    return {**dict(zip(_KEY, key)), **grades}


def _is_timed(then: Document, now: Document) -> bool:
    return min(reading.response_ms(then), reading.response_ms(now)) >= 1


def _times(key: tuple[str, str, str, int], then: Document, now: Document) -> Document:
    before_ms, now_ms = (reading.response_ms(rows[key]) for rows in (then, now))
    change = ""
    if abs(now_ms - before_ms) >= _MUCH_MS and max(now_ms, before_ms) >= _MUCH_RATIO * min(now_ms, before_ms):
        change = "slower" if now_ms > before_ms else "faster"
    return {**dict(zip(_KEY, key)), "before_ms": before_ms, "now_ms": now_ms, "change": change}


def _gates(then: list[Document], now: list[Document]) -> list[Document]:
    seconds = {(gate["name"], gate["host"]): gate["duration_s"] for gate in then}
    return [
        {"name": gate["name"], "host": host, "before_s": seconds[gate["name"], host], "now_s": took}
        for gate, host, took in ((gate, gate.get("host", ""), reading.number(gate.get("duration_s"))) for gate in now)
        if (gate["name"], host) in seconds
    ]
