# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a run: one document, and views of it. Private to the collection.

`document` builds the model, `_report_compare` holds it against the previous one, each function in `VIEWS` renders it as
a file, `lines` renders it for a terminal.
"""

from __future__ import annotations

import calendar
import contextlib
import dataclasses
import json
import os
import re
import shutil
import tempfile
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic, _report_compare
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._redact import printable, redact_tree
from ansible_collections.tria.production.plugins.module_utils._report_html import as_html
from ansible_collections.tria.production.plugins.module_utils._report_junit import as_junit
from ansible_collections.tria.production.plugins.module_utils._report_reading import (
    NOT_READY,
    READY,
    READY_WITH_WARNINGS,
)
from ansible_collections.tria.production.plugins.module_utils._result import (
    ERROR,
    FAIL,
    PASS,
    SKIP,
    WARN,
    CheckResult,
    by_category,
    overall,
)

LATEST = "latest"
MARKS = {PASS: "✓", WARN: "⚠️", FAIL: "❌", ERROR: "❌", SKIP: "⏭️"}
_VERDICTS = {"healthy": READY, "degraded": READY_WITH_WARNINGS, "unhealthy": NOT_READY}
_VERDICT_LINES = {
    READY: "🎉 ✓ PRODUCTION READY!",
    READY_WITH_WARNINGS: "⚠️ PRODUCTION READY, WITH WARNINGS",
    NOT_READY: "❌ NOT PRODUCTION READY",
}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z")
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_CHECK_FIELDS = [field.name for field in dataclasses.fields(CheckResult)]


def report(options: dict[str, t.Any], check_mode: bool = False) -> dict[str, t.Any]:
    """Build the document, write every view of it, point `latest` at it.

    Returns `report` (path of the JSON file), `reports` (path of each view), `overall_status`, the counts, `lines` and
    `verdict`. Raises `ProductionError`; when only the writing failed, with the verdict and the lines as `details`.
    """
    folder = os.path.join(_checked(options, "path"), _checked(options, "release"))
    paths = {extension: os.path.join(folder, f"{_checked(options, 'name')}.{extension}") for extension in VIEWS}
    made = document(options, time.time())
    made["comparison"] = _report_compare.comparison(made, options["path"], LATEST)
    made = redact_tree(made, options["secrets"], guess=False)
    told = {key: made[key] for key in ("overall_status", "total_checks", "passed_checks", "skipped_checks")}
    told.update(lines=lines(made), verdict=verdict(made))
    if not check_mode:
        try:
            _write(made, options["path"], options["release"], options["name"])
        except OSError as exc:
            remedy = "Make room, or choose another folder for reports. The previous report is untouched."
            raise ProductionError(paths["json"], f"cannot be written: {exc}.", remedy, **told) from exc
    return {**told, "report": paths["json"], "reports": paths}


def document(options: dict[str, t.Any], now: float) -> dict[str, t.Any]:
    """The report in the structure of the guides: what ran, what was checked, what came of it.

    A check that was skipped counts neither as passed nor into the total. A run that checked nothing is not ready.
    """
    checks = [(host, _check(host, raw)) for host in sorted(options["results"]) for raw in options["results"][host]]
    gates = [{key: value for key, value in gate.items() if value is not None} for gate in options["gates"]]
    counted = [check for _host, check in checks if check.status != SKIP]
    verdict = _VERDICTS[overall(counted)]
    if options["failure"] or not counted or any(gate["status"] in (FAIL, ERROR) for gate in gates):
        verdict = NOT_READY
    finished_at = options["finished_at"] or time.strftime(_TIME_FORMAT, time.gmtime(now))
    made = {
        "timestamp": int(now),
        "overall_status": verdict,
        "total_checks": len(counted),
        "passed_checks": sum(check.status == PASS for check in counted),
        "warned_checks": sum(check.degrades and not check.blocks for check in counted),
        "failed_checks": sum(check.blocks for check in counted),
        "skipped_checks": len(checks) - len(counted),
        "report": options["name"],
        "stack": options["stack"],
        "release": options["release"],
        "started_at": options["started_at"],
        "finished_at": finished_at,
        "duration_s": _duration_s(options["started_at"], finished_at),
        "categories": _categories(checks),
        "gates": gates,
        "hosts": _hosts(options, gates),
    }
    return {**made, "failure": options["failure"]} if options["failure"] else made


def _check(host: str, raw: dict[str, t.Any]) -> CheckResult:
    """A check as a module returned it, held against the model: what is not one must not pass for one."""
    try:
        check = CheckResult(**{key: value for key, value in raw.items() if key in _CHECK_FIELDS})
    except (TypeError, AttributeError) as exc:
        raise ProductionError(
            f"results of {host}", f"hold what is not a check: {exc}", "Pass `results` of a module."
        ) from exc
    if check.status not in MARKS:
        raise ProductionError(
            f"results of {host}", f"{check.name} has status {check.status!r}", f"Use one of {', '.join(MARKS)}."
        )
    return check


def _categories(checks: list[tuple[str, CheckResult]]) -> dict[str, list[dict[str, t.Any]]]:
    grouped = by_category(check for _host, check in checks)
    for category, rows in grouped.items():
        hosts = [host for host, check in checks if check.category == category]
        for host, row in zip(hosts, rows):
            row["host"] = host
    return grouped


def _hosts(options: dict[str, t.Any], gates: list[dict[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """Each host with its diagnostics and the gates it went through; a gate without `host` concerns all of them."""
    names = set(options["results"]) | set(options["diagnostics"])
    names |= {gate["host"] for gate in gates if "host" in gate}
    return {
        name: {
            **(options["diagnostics"].get(name) or {}),
            "gates": [gate for gate in gates if gate.get("host", name) == name],
        }
        for name in sorted(names)
    }


def _duration_s(started_at: str, finished_at: str) -> int | None:
    """Seconds between two times in UTC; None when they do not have the form `2025-01-24T10:30:00Z`."""
    with contextlib.suppress(ValueError, TypeError):
        started, finished = (calendar.timegm(time.strptime(at, _TIME_FORMAT)) for at in (started_at, finished_at))
        return finished - started
    return None


def as_json(made: dict[str, t.Any]) -> str:
    """Half a surrogate pair, which UTF-8 cannot hold, stays an escape sequence."""
    text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


VIEWS: dict[str, t.Callable[[dict[str, t.Any]], str]] = {"json": as_json, "xml": as_junit, "html": as_html}


def lines(made: dict[str, t.Any]) -> list[str]:
    """The report for a terminal, category by category, the verdict last."""
    several = len(made["hosts"]) > 1
    shown = [f"🚀 {made['stack'] or 'Stack'}, release {made['release']}", "=" * 60]
    for category, rows in made["categories"].items():
        shown += ["", f"📋 {category}"]
        for row in rows:
            shown.extend(_check_lines(row, several))
    return [*shown, "", *verdict(made)]


def verdict(made: dict[str, t.Any]) -> list[str]:
    """The last lines of the report: the count, what stopped the run, the verdict."""
    skipped = f" ({made['skipped_checks']} skipped)" if made["skipped_checks"] else ""
    shown = [f"📊 OVERALL STATUS: {made['passed_checks']}/{made['total_checks']} checks passed{skipped}"]
    failure = made.get("failure")
    if failure:
        where = " on ".join(filter(None, [failure.get("gate"), failure.get("host")]))
        shown.extend(_indented(f"❌ {where or 'The run'}: ", failure.get("msg") or failure.get("cause") or "failed"))
    elif not made["total_checks"]:
        shown.append("❌ Nothing was checked.")
    return [*shown, _VERDICT_LINES[made["overall_status"]]]


def _check_lines(row: dict[str, t.Any], several_hosts: bool) -> t.Iterator[str]:
    took = f" ({row['duration_ms']:.0f}ms)" if row["duration_ms"] >= 1 else ""
    host = f" [{row['host']}]" if several_hosts else ""
    status = WARN if row["status"] == FAIL and not row["critical"] else row["status"]
    yield f"{MARKS[status]} {printable(row['category'])}: {printable(row['name'])}{took}{host}"
    if row["status"] != PASS:
        yield from _indented("    ", row["message"])
        if row["remedy"]:
            yield from _indented("    Remedy: ", row["remedy"])


def _indented(head: str, text: str) -> list[str]:
    first, *rest = printable(str(text)).splitlines() or [""]
    return [head + first] + ["    " + line for line in rest]


def _checked(options: dict[str, t.Any], name: str) -> str:
    """An option that becomes part of a path; `release` and `name` may not leave the folder of the reports."""
    value = options[name]
    if name != "path" and (not _PLAIN_NAME.match(value) or value == LATEST):
        raise ProductionError(
            name, f"{value!r} cannot name a file.", "Use letters, digits and . _ + -, but not latest."
        )
    return value


def _write(made: dict[str, t.Any], base: str, release: str, name: str) -> None:
    """Every view first, then all of them into place, then `latest`: whoever follows the link finds a complete report.

    What needs room on the disk is done beside the folder, so that a release's previous report does not end up half new.
    """
    views = {f"{name}.{extension}": view(made) for extension, view in VIEWS.items()}
    folder = os.path.join(base, release)
    os.makedirs(base, mode=0o700, exist_ok=True)
    staging = tempfile.mkdtemp(prefix=f".{release}.", dir=base)
    try:
        for file_name, content in views.items():
            _atomic.write_file(os.path.join(staging, file_name), content, 0o600)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for file_name in views:
            os.replace(os.path.join(staging, file_name), os.path.join(folder, file_name))
        _atomic.sync_folder(folder)
        _atomic.switch_link(os.path.join(base, LATEST), release)
    finally:
        shutil.rmtree(staging)
