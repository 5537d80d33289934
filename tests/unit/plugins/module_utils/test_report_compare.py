# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report held against the one before it."""

from __future__ import annotations

import json
import os

from report_runs import NAME, check, options, runs

from ansible_collections.tria.production.plugins.module_utils import _report, _report_compare


def report(base, release, *checks, **changed):
    """Write a report, return its comparison."""
    changed.setdefault("started_at", "")
    _report.report(options(base, release=release, results={"app1": list(checks) or [check()]}, **changed))
    return compared(base, changed.get("name", NAME))


def compared(base, name=NAME):
    return json.loads((base / "latest" / f"{name}.json").read_text(encoding="utf-8"))["comparison"]


def names(rows):
    return [(row["name"], row["before"], row["now"]) for row in rows]


def test_the_first_report_has_nothing_to_compare_with(tmp_path):
    assert report(tmp_path, "r1") == {"note": "There is no earlier report to compare with."}


def test_worse_better_new_and_gone(tmp_path):
    report(
        tmp_path,
        "r1",
        check("pass", "a"),
        check("fail", "b"),
        check("warn", "c", critical=False),
        check("pass", "d"),
        check("pass", "e"),
        check("skip", "f"),
        check("error", "g"),
        check("pass", "h"),
    )
    found = report(
        tmp_path,
        "r2",
        check("fail", "a"),
        check("pass", "b"),
        check("fail", "c", critical=False),
        check("skip", "d"),
        check("pass", "f"),
        check("fail", "g"),
        check("fail", "h", critical=False),
    )
    assert (found["release"], found["overall_status"], found["note"]) == ("r1", "NOT_READY", "")
    assert (found["passed_checks"], found["total_checks"]) == (4, 7)
    assert names(found["worse"]) == [("a", "pass", "fail"), ("h", "pass", "warn")]
    assert names(found["better"]) == [("b", "fail", "pass")]
    assert names(found["new"]) == [("f", "", "pass")]
    assert names(found["gone"]) == [("d", "pass", ""), ("e", "pass", "")]


def test_times_and_gates(tmp_path):
    gates = [{"name": "build", "status": "pass", "duration_s": 9.0, "host": "app1"}, {"name": "plan", "status": "pass"}]
    pairs = {"a": (100, 151), "b": (100, 149), "c": (10, 40), "d": (900, 400), "e": (0, 900), "f": (5.0, 5.0)}
    report(tmp_path, "r1", *[check(name=name, duration_ms=then) for name, (then, _now) in pairs.items()], gates=gates)
    gates[0]["duration_s"] = 12.0
    found = report(
        tmp_path, "r2", *[check(name=name, duration_ms=now) for name, (_then, now) in pairs.items()], gates=gates
    )
    changes = {row["name"]: row["change"] for row in found["times"]}
    assert changes == {"a": "slower", "b": "", "c": "", "d": "faster", "f": ""}
    assert found["gates"] == [
        {"name": "build", "host": "app1", "before_s": 9.0, "now_s": 12.0},
        {"name": "plan", "host": "", "before_s": 0.0, "now_s": 0.0},
    ]


def test_a_repeated_flow_is_compared_by_its_p95(tmp_path):
    def flow(p95):
        return check(duration_ms=9000, data={"p50_ms": 1.0, "p95_ms": p95, "p99_ms": 900.0})

    report(tmp_path, "r1", flow(100.0))
    [row] = report(tmp_path, "r2", flow(400.0))["times"]
    assert (row["before_ms"], row["now_ms"], row["change"]) == (100.0, 400.0, "slower")


def test_the_same_check_at_two_gates_is_two_checks(tmp_path):
    report(tmp_path, "r1", check(), check())
    found = report(tmp_path, "r2", check(), check("fail"))
    assert [(row["name"], row["again"]) for row in found["worse"]] == [("Health check", 2)]


def test_two_runs_as_they_come(tmp_path):
    for run in runs():
        _report.report({**run, "path": str(tmp_path)})
    found = compared(tmp_path)
    assert len(found["worse"]) == 4 and names(found["better"]) == [("Sentry", "warn", "pass")]
    assert {row["change"] for row in found["times"]} == {"", "slower", "faster"}


def test_the_same_release_again(tmp_path):
    report(tmp_path, "r1", check("fail"))
    assert names(report(tmp_path, "r1")["better"]) == [("Health check", "fail", "pass")]


def test_a_later_batch_of_the_same_run_is_compared_with_the_run_before(tmp_path):
    report(tmp_path, "r1")
    for _batch in range(2):
        assert report(tmp_path, "r2", started_at="2025-01-24T10:30:00Z")["release"] == "r1"


def test_only_reports_of_the_same_name_and_stack(tmp_path):
    report(tmp_path, "r1")
    assert set(report(tmp_path, "r1", name="production-readiness-report")) == {"note"}
    assert set(report(tmp_path, "r2", stack="other")) == {"note"}
    assert report(tmp_path, "r3")["release"] == "r1"  # although `latest` shows the other stack


def test_the_newest_where_latest_shows_none(tmp_path):
    for number, release in enumerate(("r2", "r1")):
        report(tmp_path, release)
        os.utime(tmp_path / release / f"{NAME}.json", (number, number))
    report(tmp_path, "r3", name="production-readiness-report")
    assert report(tmp_path, "r4")["release"] == "r1"


def damaged(tmp_path):
    """What may be there instead of a report."""
    report(tmp_path, "whole")
    whole = (tmp_path / "whole" / f"{NAME}.json").read_text(encoding="utf-8")
    made = json.loads(whole)

    def changed(**keys):
        return json.dumps({**made, **keys})

    row = made["categories"]["API"][0]
    yield from ("", whole[:100], "[]", "null", "1", '"text"', "{}", "\x00", "[" * 100_000, '{"a":' * 100_000)
    yield changed(categories=None)
    yield changed(categories=[])
    yield changed(categories={"API": [1]})
    yield changed(gates={"a": 1})
    yield changed(gates=None)
    yield changed(timestamp="soon")
    yield changed(timestamp=1e400)
    yield changed(timestamp=-1)
    yield changed(timestamp=10**30)
    yield changed(overall_status="<b>")
    for key, value in (("status", "passed"), ("status", ["pass"]), ("name", 1), ("host", None), ("category", {})):
        yield changed(categories={"API": [{**row, key: value}]})
    yield changed(categories={"API": [{key: value for key, value in row.items() if key != "critical"}]})


def test_damaged_ones_are_left_out_and_said(tmp_path):
    for number, content in enumerate(damaged(tmp_path / "other")):
        base = tmp_path / str(number)
        report(base, "r1")
        (base / "r1" / f"{NAME}.json").write_text(content, encoding="utf-8")
        found = report(base, "r2")
        assert set(found) == {"note"} and found["note"].startswith(f"r1/{NAME}.json was not compared with: it is "), (
            content[:80]
        )
        assert number or "damaged" in found["note"]


def test_bytes_that_are_no_text_a_folder_and_a_link_to_nowhere(tmp_path):
    for release in ("r1", "r2", "r3", "r4"):
        report(tmp_path, release)
    (tmp_path / "r4" / f"{NAME}.json").write_bytes(b"\xff\xfe{}")
    (tmp_path / "r3" / f"{NAME}.json").unlink()
    (tmp_path / "r3" / f"{NAME}.json").mkdir()
    (tmp_path / "r2" / f"{NAME}.json").unlink()
    (tmp_path / "r2" / f"{NAME}.json").symlink_to("nowhere")
    found = report(tmp_path, "r5")
    assert found["release"] == "r1"
    for told in ("r4/", "it is damaged", "r3/", "it is not a file", "No such file"):
        assert told in found["note"]


def test_a_report_that_is_too_large(tmp_path, monkeypatch):
    report(tmp_path, "r1")
    monkeypatch.setattr(_report_compare, "MAX_BYTES", 100)
    assert "too large" in report(tmp_path, "r2")["note"]


def test_not_more_reports_are_read_than_needed(tmp_path, monkeypatch):
    for number in range(5):
        report(tmp_path, f"r{number}", stack=f"stack{number}")
    monkeypatch.setattr(_report_compare, "LOOKED_AT", 2)
    assert set(report(tmp_path, "r9", stack="stack0")) == {"note"}


def test_secrets_of_an_old_report_do_not_come_back(tmp_path):
    report(tmp_path, "r1", check(name="CANARY-0815"))
    assert "CANARY" not in json.dumps(report(tmp_path, "r2", secrets=["CANARY-0815"]))
