# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports: the verdict, the counts, the files."""

from __future__ import annotations

import errno
import json
import os
import stat

import pytest
import report_runs
from report_runs import check

from ansible_collections.tria.production.plugins.module_utils import _atomic, _report
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def options(path="/nonexistent", **changed):
    return report_runs.options(path, **{"release": "20250124-103000-3f1c9a", **changed})


def verdict(**changed):
    return _report.document(options(**changed), 0)["overall_status"]


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([check()], "READY"),
        ([check(), check("skip")], "READY"),
        ([check("skip")], "NOT_READY"),
        ([], "NOT_READY"),
        ([check(), check("warn", critical=False)], "READY_WITH_WARNINGS"),
        ([check(), check("fail", critical=False)], "READY_WITH_WARNINGS"),
        ([check(), check("fail")], "NOT_READY"),
        ([check(), check("error")], "NOT_READY"),
    ],
)
def test_verdict_of_checks(results, expected):
    assert verdict(results={"app1": results}) == expected


def test_a_failed_gate_or_run_is_not_ready():
    assert verdict(gates=[{"name": "backup", "status": "pass"}]) == "READY"
    assert verdict(gates=[{"name": "backup", "status": "fail"}]) == "NOT_READY"
    assert verdict(failure={"gate": "backup", "msg": "disk full"}) == "NOT_READY"


def test_the_structure_of_the_guide():
    results = {
        "app2": [check("fail", data={"status": 500})],
        "app1": [check(), check("skip", "CDN", "Upload"), check("warn", "Sentry", "Monitoring", critical=False)],
    }
    gates = [
        {"name": "lock", "status": "pass", "duration_s": 0.5, "host": None},
        {"name": "rollout", "status": "fail", "duration_s": 9.0, "host": "app2"},
    ]
    made = _report.document(
        options(results=results, gates=gates, diagnostics={"app2": {"project": "tria"}}, failure={"msg": "x"}),
        1640995200.9,
    )
    assert made["timestamp"] == 1640995200
    assert list(made["categories"]) == ["API", "Upload", "Monitoring"]
    assert [(row["host"], row["status"]) for row in made["categories"]["API"]] == [("app1", "pass"), ("app2", "fail")]
    counts = ("total_checks", "passed_checks", "warned_checks", "failed_checks", "skipped_checks")
    assert [made[count] for count in counts] == [3, 1, 1, 1, 1]
    assert made["hosts"]["app1"] == {"gates": [{"name": "lock", "status": "pass", "duration_s": 0.5}]}
    assert made["hosts"]["app2"]["project"] == "tria"
    assert [gate["name"] for gate in made["hosts"]["app2"]["gates"]] == ["lock", "rollout"]
    assert (made["stack"], made["duration_s"], made["failure"]) == ("tria", 125, {"msg": "x"})
    assert "failure" not in _report.document(options(), 0)


@pytest.mark.parametrize("started_at", ["", "yesterday", "2025-01-24T10:30:00+01:00"])
def test_a_time_in_another_form_gives_no_duration(started_at):
    assert _report.document(options(started_at=started_at), 0)["duration_s"] is None


@pytest.mark.parametrize("raw", [{"name": "x", "category": "y"}, "text", check("passed"), check("PASS")])
def test_what_is_no_check_never_passes_for_one(raw):
    with pytest.raises(ProductionError, match="results of app1"):
        _report.document(options(results={"app1": [raw]}), 0)


def test_lines_in_the_manner_of_the_guide():
    results = [
        check(name="DATABASE_URL configured", category="Environment"),
        check(duration_ms=127.3),
        check("fail", "Detailed health", duration_ms=203, message="Status: 500", remedy="See the log."),
        check("fail", "Docs", critical=False, message="slow\x1b[31m\nvery"),
        check("skip", "CDN", "Upload", message="not configured"),
    ]
    failure = {"gate": "validation", "host": "app1", "msg": "1 check failed\nsee above"}
    made = _report.document(options(results={"app1": results}, failure=failure), 0)
    assert _report.lines(made)[2:] == [
        "",
        "📋 Environment",
        "✓ Environment: DATABASE_URL configured",
        "",
        "📋 API",
        "✓ API: Health check (127ms)",
        "❌ API: Detailed health (203ms)",
        "    Status: 500",
        "    Remedy: See the log.",
        "⚠️ API: Docs",
        "    slow",
        "    very",
        "",
        "📋 Upload",
        "⏭️ Upload: CDN",
        "    not configured",
        "",
        "📊 OVERALL STATUS: 2/4 checks passed (1 skipped)",
        "❌ validation on app1: 1 check failed",
        "    see above",
        "❌ NOT PRODUCTION READY",
    ]


def test_the_last_lines():
    def last(**changed):
        return _report.lines(_report.document(options(**changed), 0))[-2:]

    assert last() == ["📊 OVERALL STATUS: 1/1 checks passed", "🎉 ✓ PRODUCTION READY!"]
    assert last(results={"app1": [check(), check("warn", critical=False)]})[-1] == "⚠️ PRODUCTION READY, WITH WARNINGS"
    assert last(results={}) == ["❌ Nothing was checked.", "❌ NOT PRODUCTION READY"]


def test_several_hosts_are_told_apart():
    made = _report.document(options(results={"app1": [check()], "app2": [check()]}), 0)
    assert "✓ API: Health check [app2]" in _report.lines(made)


def test_files_modes_and_the_link(tmp_path):
    base = tmp_path / "new" / "reports"
    for release in ("r1", "r2"):
        told = _report.report(options(base, release=release))
    path = base / "latest" / "deployment-validation-report.json"
    assert os.readlink(base / "latest") == "r2" and told["report"] == str(base / "r2" / path.name)
    assert json.loads(path.read_text())["release"] == "r2"
    assert (base / "r1" / path.name).exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (base, base / "r1", base / "r2")} == {0o700}
    assert sorted(os.listdir(base)) == ["latest", "r1", "r2"]
    assert sorted(os.listdir(base / "r2")) == [f"deployment-validation-report.{end}" for end in ("html", "json", "xml")]
    assert {stat.S_IMODE((base / "r2" / name).stat().st_mode) for name in os.listdir(base / "r2")} == {0o600}
    assert told["reports"] == {end: str(base / "r2" / f"deployment-validation-report.{end}") for end in _report.VIEWS}


def test_every_view_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(_report.VIEWS, "txt", lambda made: made["overall_status"])
    _report.report(options(tmp_path, release="r1", name="production-readiness-report"))
    assert (tmp_path / "latest" / "production-readiness-report.txt").read_text() == "READY"
    ends = ("html", "json", "txt", "xml")
    assert sorted(os.listdir(tmp_path / "r1")) == [f"production-readiness-report.{end}" for end in ends]


def test_check_mode_writes_nothing(tmp_path):
    assert _report.report(options(tmp_path), check_mode=True)["overall_status"] == "READY"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["../r1", "a/b", "", ".", "..", ".hidden", "latest", "r1\n"])
def test_a_release_stays_within_the_folder(tmp_path, name):
    with pytest.raises(ProductionError, match="cannot name a file"):
        _report.report(options(tmp_path, release=name))
    assert os.listdir(tmp_path) == []


def test_no_secret_is_written_or_returned(tmp_path):
    results = {
        "app1": [check(message="CANARY-0815 refused", data={"url": "redis://:OTHER@cache", "x": ["CANARY-0815"]})]
    }
    failure = {"msg": "postgres said: CANARY-0815"}
    diagnostics = {"app1": {"containers": [{"logs": ["CANARY-0815"]}]}}
    told = _report.report(
        options(tmp_path, results=results, failure=failure, diagnostics=diagnostics, secrets=["CANARY-0815"])
    )
    files = [path.read_text() for path in (tmp_path / "latest").iterdir()]
    assert len(files) == 3
    for text in (*files, json.dumps(told)):
        assert "CANARY" not in text and "OTHER" not in text and "********" in text


def test_a_full_disk_leaves_the_previous_report(tmp_path, monkeypatch):
    _report.report(options(tmp_path, release="r1"))

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProductionError, match="No space left on device") as raised:
        _report.report(options(tmp_path, release="r2"))
    assert raised.value.details["overall_status"] == "READY" and raised.value.details["lines"]
    assert os.readlink(tmp_path / "latest") == "r1" and sorted(os.listdir(tmp_path)) == ["latest", "r1"]


def test_a_full_disk_leaves_no_half_of_a_release(tmp_path, monkeypatch):
    _report.report(options(tmp_path, release="r1"))
    before = {path.name: path.read_text() for path in (tmp_path / "r1").iterdir()}
    written = []

    def full(descriptor):
        written.append(descriptor)
        if len(written) > 2:  # room for one file and its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProductionError, match="No space left on device"):
        _report.report(options(tmp_path, release="r1", results={"app1": [check("fail")]}))
    assert {path.name: path.read_text() for path in (tmp_path / "r1").iterdir()} == before
    assert sorted(os.listdir(tmp_path)) == ["latest", "r1"]


def test_half_a_surrogate_pair_can_be_written_and_read(tmp_path):
    _report.report(options(tmp_path, results={"app1": [check("fail", message="half \udc80")]}))
    written = json.loads((tmp_path / "latest" / "deployment-validation-report.json").read_text(encoding="utf-8"))
    assert written["categories"]["API"][0]["message"] == "half \udc80"


def test_a_real_folder_named_latest_is_not_replaced(tmp_path):
    (tmp_path / "latest").mkdir()
    with pytest.raises(ProductionError, match="cannot be written"):
        _report.report(options(tmp_path, release="r1"))
    assert sorted(os.listdir(tmp_path)) == ["latest", "r1"]


def test_switch_link_from_nothing_and_from_another(tmp_path):
    link = tmp_path / "current"
    for target in ("a", "b"):
        _atomic.switch_link(str(link), target)
        assert os.readlink(link) == target
    assert os.listdir(tmp_path) == ["current"]
