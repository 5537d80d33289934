# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every view reads out of the report's document in the same way. Private to the collection."""

from __future__ import annotations

import math
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._redact import printable
from ansible_collections.tria.production.plugins.module_utils._result import ERROR, FAIL, PASS, SKIP, WARN

READY = "READY"
READY_WITH_WARNINGS = "READY_WITH_WARNINGS"
NOT_READY = "NOT_READY"
PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")
STATUSES = (PASS, WARN, FAIL, ERROR, SKIP)

_LOG_KEYS = {
    "health_log": "Health checks",
    "log_tail": "Log",
    "logs": "Log",
    "body": "Body of the answer",
    "stdout_tail": "Output",
    "stderr_tail": "Error output",
}
_REMEDY = re.compile(r"\s*\bRemedy:\s*")
# What XML cannot hold and what no text needs; a lone surrogate cannot even be encoded.
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

Row = t.Dict[str, t.Any]


def readable(value: t.Any) -> str:
    """`value` as text without escape sequences and control characters; line ends and tabs stay."""
    return _NO_CHARACTER.sub("\ufffd", printable(str(value)))


def number(value: t.Any) -> float:
    """`value` as a finite number that is not negative, 0 for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and value > 0 else 0.0


def is_repeated(row: Row) -> bool:
    """Whether a check is a flow that was run again and again: then it has percentiles."""
    return isinstance(row.get("data"), dict) and all(number(row["data"].get(key)) for key in PERCENTILES)


def response_ms(row: Row) -> float:
    """How long an answer took: the 95th percentile where there are many, else the time of the check."""
    return number(row["data"]["p95_ms"] if is_repeated(row) else row["duration_ms"])


def grade(row: Row) -> str:
    """The status as the verdict counts it: what is not critical only warns."""
    return WARN if row["status"] in (FAIL, ERROR) and not row["critical"] else row["status"]


def rows(made: Row) -> list[Row]:
    """All checks, category by category."""
    return [row for found in made["categories"].values() for row in found]


def keyed(found: t.Iterable[Row]) -> dict[tuple[str, str, str, int], Row]:
    """Checks by host, category, name and how often that was there before: a check may be made at several gates."""
    named: dict[tuple[str, str, str, int], Row] = {}
    seen: dict[tuple[str, str, str], int] = {}
    for row in found:
        key = (row["host"], row["category"], row["name"])
        seen[key] = seen.get(key, 0) + 1
        named[key + (seen[key],)] = row
    return named


def title(row: Row, several_hosts: bool, again: int = 1) -> str:
    """The name of a check, told apart from those of other hosts and from itself at an earlier gate."""
    host = f" [{row['host']}]" if several_hosts else ""
    return f"{row['name']}{host}" + (f" ({again})" if again > 1 else "")


def red_gates(made: Row) -> list[Row]:
    return [gate for gate in made["gates"] if gate["status"] in (FAIL, ERROR)]


def failure(made: Row) -> tuple[str, str, str]:
    """What stopped the run: where, cause and remedy; three times nothing when nothing did."""
    stopped = made.get("failure")
    if not stopped:
        return "", "", ""
    where = " on ".join(str(stopped[key]) for key in ("gate", "host") if stopped.get(key))
    cause, remedy = (_REMEDY.split(str(stopped.get("msg") or ""), maxsplit=1) + [""])[:2]
    return where or "The run", str(cause or stopped.get("cause") or "failed"), str(stopped.get("remedy") or remedy)


def logs(data: t.Any, owner: str = "") -> t.Iterator[tuple[str, str]]:
    """Whatever log or output a check kept in its `data`, as title and text."""
    if isinstance(data, list):
        for item in data:
            yield from logs(item, owner)
    if not isinstance(data, dict):
        return
    owner = str(data.get("name") or owner)
    for key, value in data.items():
        if key not in _LOG_KEYS:
            yield from logs(value, owner)
        elif value:
            lines = value if isinstance(value, list) else [value]
            yield _LOG_KEYS[key] + (f" of {owner}" if owner else ""), "\n".join(map(log_line, lines)).rstrip()


def log_line(entry: t.Any) -> str:
    """One line of a log; an entry of a health log tells its exit code first."""
    if isinstance(entry, dict):
        return f"{entry.get('exit_code', '')}: {entry.get('output', '')}"
    return str(entry)


def duration(seconds: float) -> str:
    """Seconds for a person: `0.9 s`, `1 min 5 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def milliseconds(value: float) -> str:
    """Milliseconds for a person: `127 ms`, `2.5 s`."""
    if value < 1000:
        return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"
    return duration(value / 1000)
