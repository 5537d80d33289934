# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs to make reports of: two in a row that are like real ones, and small ones."""

from __future__ import annotations

import json
import pathlib

from ansible_collections.tria.production.plugins.module_utils import _report

NAME = "deployment-validation-report"
FILE = pathlib.Path(__file__).with_name("report_runs.json")
# Markup, quotes, controls, escape sequences, marks that reorder text, what no encoding holds, what ends other syntaxes.
HOSTILE = (
    "</script></style></pre>--><img src=x onerror=alert(1)>\"' `${7*7}` {{7*7}} &lt; ]]> "
    "\x1b[31m\x00\x08\ud800\uffff\u202egnp.\u2066 ü 🎉"
)


def runs() -> list[dict]:
    """The arguments of two runs: one that came out well, then one that did not."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def write(folder: pathlib.Path) -> pathlib.Path:
    """Both reports below a folder; the folder of the later one."""
    for run in runs():
        _report.report({**run, "path": str(folder)})
    return folder / "latest"


def check(status="pass", name="Health check", category="API", **more):
    return {"name": name, "category": category, "status": status, **more}


def options(path="/nonexistent", **changed):
    defaults = {
        "path": str(path),
        "release": "r1",
        "name": NAME,
        "stack": "tria",
        "results": {"app1": [check()]},
        "diagnostics": {},
        "gates": [],
        "failure": {},
        "started_at": "2025-01-24T10:30:00Z",
        "finished_at": "2025-01-24T10:32:05Z",
        "secrets": [],
    }
    return {**defaults, **changed}


def document(**changed):
    """The document of a small run, with what was not compared."""
    return _report.document(options(**changed), 0)


def hostile():
    """A document that says hostile things wherever it can."""
    log = {"name": HOSTILE, "log_tail": [HOSTILE], "health_log": [{"exit_code": 1, "output": HOSTILE}]}
    checks = [
        check(
            status,
            HOSTILE,
            HOSTILE,
            message=HOSTILE,
            remedy=HOSTILE,
            duration_ms=2.5,
            critical=critical,
            data={
                "url": HOSTILE,
                HOSTILE: HOSTILE,
                "containers": [log],
                "body": HOSTILE,
                "p50_ms": 1.0,
                "p95_ms": 2.0,
                "p99_ms": 3.0,
                "steps": [{"name": HOSTILE}, "no step"],
            },
        )
        for status, critical in (("pass", True), ("warn", False), ("fail", True), ("error", True), ("skip", True))
    ]
    container = {"name": HOSTILE, "service": HOSTILE, "image": HOSTILE, "trouble": HOSTILE, "logs": [HOSTILE]}
    engine = {"answers": False, "error": HOSTILE}
    disks = [{"path": HOSTILE, "percent": HOSTILE, "free_gb": HOSTILE}]
    diagnostics = {
        "release": HOSTILE,
        "status": HOSTILE,
        "containers": [container],
        "engine": engine,
        "host": {"load": [HOSTILE], "cores": HOSTILE, "disks": disks},
    }
    made = document(
        stack=HOSTILE,
        release=HOSTILE,
        started_at=HOSTILE,
        finished_at=HOSTILE,
        results={HOSTILE: checks, "app2": checks},
        diagnostics={HOSTILE: diagnostics},
        failure={"gate": HOSTILE, "host": HOSTILE, "msg": f"{HOSTILE} Remedy: {HOSTILE}"},
        gates=[{"name": HOSTILE, "status": "fail", "host": HOSTILE, "cause": HOSTILE, "duration_s": 1.0}],
    )
    change = {"host": HOSTILE, "category": HOSTILE, "name": HOSTILE, "again": 1, "before": "pass", "now": "fail"}
    times = {**change, "before_ms": 1.0, "now_ms": 100.0, "change": "slower"}
    made["comparison"] = {
        "note": HOSTILE,
        "release": HOSTILE,
        "timestamp": 0,
        "overall_status": "READY",
        "passed_checks": 1,
        "total_checks": 1,
        "worse": [change],
        "better": [change],
        "new": [change],
        "gone": [change],
        "times": [times],
        "gates": [{"name": HOSTILE, "host": HOSTILE, "before_s": 1.0, "now_s": 2.0}],
    }
    return made
