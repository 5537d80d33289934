# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind flow: what it made is removed, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from flow_server import DELETE, LOGIN, PASSWORD, UPLOAD, shop
from probe_peers import entries, free_port, look

from ansible_collections.tria.production.plugins.module_utils import _health, _waiting
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import _base

SLOW = {"name": "slow", "path": "/slow"}
BAD = {"name": "bad", "path": "/echo", "status": [201]}


def options(site, *steps, **more):
    return {"url": site.url, "steps": [UPLOAD, *steps], "cleanup": [DELETE], **more}


def probing():
    """Threads of probes that do not end at once."""
    threads = [one for one in threading.enumerate() if one.name == "probe"]
    for thread in threads:
        thread.join(0.5)
    return [one for one in threads if one.is_alive()]


def test_after_success_and_after_failure():
    with shop() as site:
        seen = look("flow", **options(site))
        assert seen.status == "pass" and not site.files and seen.data["cleanup"][0]["status_code"] == 204
        seen = look("flow", **options(site, BAD))
        assert seen.message == "step bad failed: status 200 instead of 201" and not site.files
        assert seen.data["cleanup"][0]["status_code"] == 204


def test_after_a_timeout_in_its_own_time():
    with shop() as site:
        site.slow = 1.0
        seen = look("flow", timeout=0.3, **options(site, SLOW))
        assert "step slow failed: no answer within 0.3 s" in seen.message and not site.files
        assert seen.duration_ms < 900


def test_all_steps_of_it_run_and_their_failures_come_after_the_first_one():
    clean = [{"name": "hang", "path": "/slow"}, {**DELETE, "name": "wrong", "path": "/files/none"}, DELETE]
    with shop() as site:
        site.slow = 2.0
        seen = look("flow", **{**options(site, cleanup_timeout=0.6), "cleanup": clean})
        assert seen.status == "fail" and not site.files
        assert seen.message == (
            "clean-up step hang failed: no answer within 0.2 s; "
            "clean-up step wrong failed: status 404 instead of 204"
        )
        seen = look("flow", **{**options(site, BAD), "cleanup": clean[1:]})
        assert seen.message.startswith("step bad failed: status 200 instead of 201; clean-up step wrong failed")
        assert not site.files and "Read the body" in seen.remedy


def test_what_cannot_be_removed_for_want_of_a_value_is_said():
    with shop() as site:
        steps = [{**BAD, "capture": {"id": {"json": "no.id"}}}]
        seen = look("flow", url=site.url, steps=steps, cleanup=[DELETE, {"name": "all", "path": "/echo"}])
        assert seen.message.endswith("clean-up step delete was skipped, as id was not captured")
        assert seen.data["cleanup"][0] == {"name": "delete", "skipped": "id was not captured"}
        assert [one["name"] for one in seen.data["cleanup"]] == ["delete", "all"] and site.asked[-1] == "GET /echo"


def test_a_bad_answer_that_made_something_is_cleaned_up_too():
    with shop() as site:
        seen = look("flow", **{**options(site), "steps": [{**UPLOAD, "status": [200]}]})
        assert "status 201 instead of 200" in seen.message and "POST /files" in site.asked and not site.files


def test_nothing_is_cleaned_up_where_nothing_was_sent():
    seen = look("flow", url=f"http://127.0.0.1:{free_port()}", steps=[UPLOAD], cleanup=[DELETE])
    assert "step upload failed: cannot connect" in seen.message and "clean-up" not in seen.message
    assert not seen.data["cleanup"]


@pytest.mark.parametrize("how", ["timeout", "deadline"])
def test_an_answer_that_says_what_to_remove_is_waited_for_in_the_time_of_the_clean_up(how):
    with shop() as site:
        site.slow_upload = 0.7
        if how == "timeout":
            seen = look("flow", timeout=0.3, **options(site))
            assert seen.message == "step upload failed: no answer within 0.3 s" and seen.duration_ms < 1500
        else:
            with pytest.raises(ProductionError):
                _waiting.wait(entries({"name": "it", "flow": options(site)}), _waiting.Settings(0.3))
        assert [one.partition("/")[0] for one in site.asked] == ["POST ", "DELETE "] and not site.files
        site.slow_upload = 1.5
        begun = time.monotonic()
        seen = look("flow", timeout=0.3, **options(site, cleanup_timeout=0.6))
        assert "id was not captured" in seen.message and time.monotonic() - begun < 1.2


@pytest.mark.parametrize("deadline", [0.3, 0.35])
def test_when_the_wait_ends_in_the_middle(deadline):
    with shop() as site:
        site.slow = 3.0
        target = {"name": "it", "timeout": 10, "flow": options(site, SLOW)}
        begun = time.monotonic()
        with pytest.raises(ProductionError):
            _waiting.wait(entries(target), _waiting.Settings(deadline))
        assert time.monotonic() - begun < deadline + 1
        assert any(one.startswith("DELETE") for one in site.asked) and not site.files


def test_when_the_clean_up_takes_longer_than_engines_wait_for_their_threads():
    """The engine gives its threads a second; the session lets the clean-up take what it needs."""
    with shop() as site:
        site.slow = 1.2
        sleepy = {"name": "sleepy", "path": "/slow"}
        targets = entries(
            {"name": "it", "timeout": 10, "flow": {**options(site, SLOW), "cleanup": [sleepy, DELETE]}},
        )
        with pytest.raises(ProductionError):
            _waiting.wait(targets, _waiting.Settings(0.3))
        assert not site.files and not probing()
        with pytest.raises(ProductionError):
            _health.check(targets, 0.3)
        assert not site.files and not probing()


def test_closing_a_session_waits_no_longer_than_the_clean_up_may_take():
    session = _base.Session()
    release = threading.Event()

    def work():
        with session.unfinished(0.2):
            release.wait(5)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        begun = time.monotonic()
        session.close()
        assert 0.2 <= time.monotonic() - begun < 1.0
    finally:
        release.set()
        thread.join()
    begun = time.monotonic()
    session.close()
    assert time.monotonic() - begun < 0.1


MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.tria.production.plugins.modules import {module}
with patch_module_args(json.load(sys.stdin)):
    {module}.main()
"""


@pytest.mark.parametrize("module", ["readiness_wait", "service_health"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_when_the_module_is_terminated(module, number):
    with shop() as site:
        site.slow = 30.0
        target = {"name": "it", "timeout": 20, "flow": options(site, SLOW)}
        process = subprocess.Popen(
            [sys.executable, "-c", MODULE.format(module=module)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        with process:
            process.stdin.write(json.dumps({"targets": [target], "timeout": 20}).encode())
            process.stdin.close()
            assert site.wait_for("GET /slow", timeout=15) and site.files
            process.send_signal(number)
            begun = time.monotonic()
            process.wait(10)
        assert time.monotonic() - begun < 2 and process.returncode != 0
        assert any(one.startswith("DELETE /files/") for one in site.asked) and not site.files


def test_what_was_not_captured_is_got_in_another_way():
    again = {**LOGIN, "name": "again", "without": "token"}
    out = {"name": "out", "path": "/logout", "headers": {"Authorization": "Bearer ${token}"}}
    with shop() as site:
        flow = {"url": site.url, "vars": {"user": "a", "password": PASSWORD}, "cleanup": [again, out]}
        seen = look("flow", **flow, steps=[LOGIN])
        assert seen.status == "pass" and site.asked == ["POST /login", "GET /logout"]
        assert seen.data["cleanup"][0] == {"name": "again", "skipped": "token was captured"}
        site.asked.clear()
        lost = {**LOGIN, "path": "/echo"}
        seen = look("flow", **flow, steps=[lost])
        assert seen.status == "fail" and site.asked == ["POST /echo", "POST /login", "GET /logout"]
        assert "clean-up" not in seen.message
        seen = look("flow", **{**flow, "cleanup": [{**out, "without": "tokn"}]}, steps=[LOGIN])
        assert "'tokn' is not known" in seen.message
