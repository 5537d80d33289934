# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of an Engine, from commands that answer, fail, hang or are not there, and from files that are damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from ansible_collections.tria.production.plugins.module_utils import _engine
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A `docker` command, alone on the path, that is the given shell script."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(script):
        path = tmp_path / "docker"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return install


ANSWERS = """
case "$1" in
  version) echo '{"Client": {"Version": "26.1.5"}, "Server": {"Version": "26.1.4"}}';;
  compose) echo '{"version": "v2.26.1"}';;
esac
"""


def info(config_file="/nonexistent", libraries=(), timeout=0):
    return _engine.engine_info(str(config_file), libraries, timeout)


def test_an_engine_that_answers(docker, tmp_path):
    docker(ANSWERS)
    (tmp_path / "dockerd").write_text("")
    (tmp_path / "dockerd").chmod(0o755)
    (tmp_path / "daemon.json").write_text('{"live-restore": true}')
    found = info(tmp_path / "daemon.json", ["json", "surely_not_there"])
    assert (found["installed"], found["engine"], found["compose"]) == (True, "26.1.4", "2.26.1")
    assert found["daemon_config"] == {"live-restore": True} and found["missing_libraries"] == ["surely_not_there"]
    assert found["stale_pid_files"] == []


def test_a_bare_host(docker):
    found = info()
    assert (found["installed"], found["engine"], found["compose"], found["daemon_config"]) == (False, "", "", {})


@pytest.mark.parametrize(
    "script",
    [
        """echo '{"Client": {"Version": "26.1.5"}, "Server": null}'; exit 1""",  # the client's answer when no daemon does
        "echo 'permission denied' >&2; exit 1",
        "echo 'not JSON'",
    ],
)
def test_a_client_without_an_engine(docker, script):
    docker(script)
    assert _engine.engine_version() == ""


def test_a_command_that_hangs(monkeypatch):
    def hang(command, timeout, **_options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    assert _engine.engine_version() == ""


def test_waiting_ends_when_the_engine_answers(docker, tmp_path):
    marker = tmp_path / "up"
    docker(f"""[ -e {marker} ] || {{ : > {marker}; exit 1; }}\n{ANSWERS}""")
    started = time.monotonic()
    assert info(timeout=30)["engine"] == "26.1.4" and time.monotonic() - started < 10


def test_waiting_ends_in_vain(docker):
    started = time.monotonic()
    assert info(timeout=0.3)["engine"] == "" and 0.3 <= time.monotonic() - started < 5


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_daemon_json(tmp_path, text):
    (tmp_path / "daemon.json").write_text(text)
    assert _engine.read_daemon_config(str(tmp_path / "daemon.json")) == {}


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b'{"log-driver": "json-file",}', "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b'["debug"]', "JSON object"),
    ],
)
def test_a_damaged_daemon_json_is_never_merged(tmp_path, content, cause):
    path = tmp_path / "daemon.json"
    path.write_bytes(content)
    with pytest.raises(ProductionError) as raised:
        _engine.read_daemon_config(str(path))
    assert raised.value.culprit == str(path) and cause in raised.value.cause and "merged" in raised.value.remedy
    assert path.read_bytes() == content


def test_a_daemon_json_that_is_a_folder(tmp_path):
    with pytest.raises(ProductionError) as raised:
        _engine.read_daemon_config(str(tmp_path))
    assert raised.value.culprit == str(tmp_path) and "directory" in raised.value.cause


def gone():
    """The pid of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("content", "stale"),
    [
        (lambda: f"{gone()}\n", True),
        (lambda: f"{os.getpid()}\n", True),  # alive, but no dockerd: the number was given again
        (lambda: "", True),
        (lambda: "\0\0\0\0", True),  # after a power cut
        (lambda: "no number", True),
        (lambda: None, False),
    ],
)
def test_pid_files(docker, tmp_path, monkeypatch, content, stale):
    path, text = tmp_path / "docker.pid", content()
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(_engine, "PID_FILES", {str(path): "dockerd"})
    assert info()["stale_pid_files"] == ([str(path)] if stale else [])


def test_the_pid_file_of_a_daemon_that_runs_but_does_not_answer_yet(docker, tmp_path, monkeypatch):
    with open("/proc/self/comm", encoding="utf-8") as stream:
        own_name = stream.read().strip()
    (tmp_path / "docker.pid").write_text(str(os.getpid()))
    monkeypatch.setattr(_engine, "PID_FILES", {str(tmp_path / "docker.pid"): own_name})
    assert info()["stale_pid_files"] == []


def test_the_pid_files_of_an_engine_that_answers_are_not_looked_at(docker, tmp_path, monkeypatch):
    docker(ANSWERS)
    (tmp_path / "docker.pid").write_text("")
    monkeypatch.setattr(_engine, "PID_FILES", {str(tmp_path / "docker.pid"): "dockerd"})
    assert info()["stale_pid_files"] == [] and json.dumps(info())


@pytest.mark.parametrize(("unified", "version"), [(True, 2), (False, 1)])
def test_the_version_of_the_control_groups(monkeypatch, tmp_path, unified, version):
    marker = tmp_path / "cgroup.controllers"
    if unified:
        marker.touch()
    monkeypatch.setattr(_engine, "CGROUP2", str(marker))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _engine.engine_info(str(tmp_path / "daemon.json"), [], 0)["cgroup_version"] == version
