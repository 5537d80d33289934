# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Diagnostics without an Engine: what is trouble, what the facts say, what a person reads."""

from __future__ import annotations

import json
import os
import re
import stat
import time

import pytest
from release_project import BY, Project

from ansible_collections.tria.production.plugins.module_utils import _atomic, _diagnostics, _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


@pytest.fixture(autouse=True)
def no_engine(monkeypatch):
    def connect():
        raise ProductionError("Docker Engine", "does not answer: tcp://u:CANARY-0815@db")

    monkeypatch.setattr(_docker, "connect", connect)


def options(**changed):
    defaults = {
        "project": "tria",
        "release": "r1",
        "status": "failed",
        "checks": {"total": 3, "passed": 2},
        "secrets": ["CANARY-0815"],
        "logs": "failed",
        "log_lines": 30,
        "root": "/opt/tria",
        "facts_path": None,
    }
    return {**defaults, **changed}


def container(**changed):
    plain = {
        "name": "tria-backend-1",
        "service": "backend",
        "image": "tria/backend:1",
        "state": "running",
        "exit_code": 0,
        "oom_killed": False,
        "error": "",
        "restarts": 0,
        "started_at": "2025-01-24T10:30:00.123456789Z",
        "health": "none",
        "health_log": [],
        "logs": [],
    }
    return {**plain, **changed}


def docker_time(age_s):
    return time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(time.time() - age_s))


@pytest.mark.parametrize(
    ("changed", "policy", "words"),
    [
        ({}, "no", ""),
        ({"health": "healthy"}, "always", ""),
        ({"health": "unhealthy"}, "no", "running but unhealthy"),
        ({"restarts": 4, "started_at": lambda: docker_time(5)}, "always", "running, restarted 4 times, just now again"),
        ({"restarts": 4, "started_at": lambda: docker_time(3600)}, "always", ""),
        ({"state": "exited"}, "no", ""),
        ({"state": "exited"}, "on-failure", ""),
        ({"state": "exited"}, "unless-stopped", "exited (exit code 0)"),
        ({"state": "exited", "exit_code": 1}, "no", "exited (exit code 1)"),
        ({"state": "exited", "exit_code": 127}, "no", "exited (exit code 127, command not found)"),
        ({"state": "exited", "exit_code": 255}, "no", "exited (exit code 255)"),
        (
            {"state": "exited", "exit_code": 137, "oom_killed": True},
            "no",
            "exited (exit code 137, SIGKILL, out of memory)",
        ),
        (
            {"state": "restarting", "exit_code": 143, "restarts": 2},
            "always",
            "restarting (exit code 143, SIGTERM), 2 restarts",
        ),
        ({"state": "created"}, "no", "never started (something it depends on is not there)"),
        ({"state": "created", "error": "no such device"}, "no", "never started (no such device)"),
        ({"state": "paused"}, "no", "paused"),
        ({"state": "dead", "exit_code": 1}, "no", "dead (exit code 1)"),
    ],
)
def test_trouble(changed, policy, words):
    now = {key: value() if callable(value) else value for key, value in changed.items()}
    assert _diagnostics.trouble(container(**now), policy) == words


def test_without_an_engine_it_says_so_and_tells_of_the_host():
    result = _diagnostics.diagnose(options())
    engine, host = result["diagnostics"]["engine"], result["diagnostics"]["host"]
    assert engine["answers"] is False and "does not answer" in engine["error"]
    assert "does not answer" in result["summary"] and "tria: no containers" in result["summary"]
    assert "CANARY" not in json.dumps(result)
    assert 0 <= host["cpu_percent"] <= 100 and 0 < host["memory_percent"] <= 100 and 0 < host["disk_percent"] <= 100
    assert len(host["load"]) == 3 and host["disks"][0]["path"] == "/opt/tria"
    assert (result["changed"], result["warnings"]) == (False, [])


def test_the_disk_of_the_stack_comes_first():
    assert _diagnostics.host_metrics(["/proc", "/"])["disk_percent"] == 0.0


def test_facts_are_json_readable_by_all_and_say_what_changed(tmp_path):
    path = tmp_path / "facts.d" / "tria.fact"
    first = _diagnostics.diagnose(options(facts_path=str(path)))
    written = json.loads(path.read_text())
    assert first["changed"] is True and written == first["facts"]
    assert written["checks"] == {"total": 3, "passed": 2}
    assert (written["release"], written["status"], written["services"]) == ("r1", "failed", {})
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", written["checked_at"])
    assert set(written["host"]) == {"disk_percent", "memory_percent", "cpu_percent"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["tria.fact"]

    path.write_text(json.dumps({**written, "checked_at": "2020-01-01T00:00:00Z", "host": {}}))
    assert _diagnostics.diagnose(options(facts_path=str(path)))["changed"] is False
    assert json.loads(path.read_text())["checked_at"] != "2020-01-01T00:00:00Z", "times are renewed all the same"
    assert _diagnostics.diagnose(options(facts_path=str(path), release="r2"))["changed"] is True


def test_which_release_to_go_back_to(tmp_path):
    assert _diagnostics.releases(str(tmp_path)) == {"current": "", "last_good": "", "not_good": []}
    project = Project(tmp_path)
    first = project.deploy("20260101T000000Z-a")
    project.deploy("20260102T000000Z-b")
    project.releases.note("20260102T000000Z-b", "bad", BY, "slow")
    third = project.deploy("20260103T000000Z-c")
    project.stage("20260104T000000Z-d")
    project.releases.note("20260104T000000Z-d", "failed", BY, "no")
    known = {"current": third, "last_good": first, "not_good": ["20260104T000000Z-d", "20260102T000000Z-b"]}
    assert _diagnostics.releases(project.releases.root) == known
    facts = _diagnostics.diagnose(options(root=project.releases.root))["facts"]
    assert {key: facts[key] for key in known} == known


@pytest.mark.parametrize("before", ["no json", "[]", '"text"'])
def test_broken_facts_are_replaced(tmp_path, before):
    path = tmp_path / "tria.fact"
    path.write_text(before)
    assert _diagnostics.diagnose(options(facts_path=str(path)))["changed"] is True
    assert json.loads(path.read_text())["release"] == "r1"


def test_check_mode_foretells_and_writes_nothing(tmp_path):
    path = tmp_path / "facts.d" / "tria.fact"
    assert _diagnostics.diagnose(options(facts_path=str(path)), check_mode=True)["changed"] is True
    assert not path.parent.exists()


def test_facts_that_cannot_be_written_are_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    result = _diagnostics.diagnose(options(facts_path=str(tmp_path / "file" / "tria.fact")))
    assert "Not a directory" in result["warnings"][0]
    assert result["changed"] is False and result["summary"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "tria.fact"
    path.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _atomic.write_file(str(path), "new", 0o600)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["tria.fact"]


def test_facts_of_a_service_are_those_of_its_worst_container():
    containers = [
        container(trouble=""),
        container(state="exited", exit_code=3, trouble="exited (exit code 3)"),
        container(service="cache", trouble=""),
    ]
    percents = {"disk_percent": 1, "memory_percent": 2, "cpu_percent": 3, "hostname": "x"}
    collected = {"release": "", "status": "", "collected_at": "", "containers": containers, "host": percents}
    services = _diagnostics.stack_facts(collected, {})["services"]
    assert services["backend"] == {
        "state": "exited",
        "health": "none",
        "image": "tria/backend:1",
        "restarts": 0,
        "exit_code": 3,
    }
    assert services["cache"]["state"] == "running"


def test_the_summary_starts_with_the_trouble():
    collected = _diagnostics.diagnose(options())["diagnostics"]
    collected["engine"]["error"] = ""
    collected["containers"] = [
        container(service="cache", name="tria-cache-1", health="healthy", trouble=""),
        container(
            trouble="running but unhealthy",
            error="an error",
            health_log=[{"exit_code": 1, "output": "connection refused", "end": ""}],
            logs=[f"line {number}" for number in range(20)],
        ),
    ]
    lines = _diagnostics.summarise(collected).splitlines()
    assert lines[0] == "tria: 1 of 2 containers in trouble"
    assert lines[1:4] == [
        "❌ backend (tria-backend-1): running but unhealthy",
        "    an error",
        "    health check ended with 1: connection refused",
    ]
    assert lines[4] == "    | line 10" and lines[13] == "    | line 19"
    assert lines[14] == "✓ cache (tria-cache-1): running, healthy"
    assert lines[15].startswith("Host ") and lines[16].startswith("Disk /opt/tria: ")


def test_long_text_is_cut():
    assert _diagnostics._bounded("x" * 600, []) == "x" * 500 + "… (100 more characters)"
    assert "CANARY"[:3] not in _diagnostics._bounded("x" * 497 + "CANARY-0815", ["CANARY-0815"])
