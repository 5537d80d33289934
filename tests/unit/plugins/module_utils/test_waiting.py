# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wait engine against servers that open late, flap, hang and lie."""

from __future__ import annotations

import statistics
import time

import pytest
from probe_peers import entries, free_port, http_server, server, silence
from waiting_peers import BAD, FINAL, GOOD, Late, http, refused, scripted, tcp, wait

from ansible_collections.tria.production.plugins.module_utils import _probes, _result, _waiting


def test_ready_at_once():
    with http_server((200, "x")) as port:
        found = wait(http(port))
    assert found["overall_status"] == "healthy" and found["elapsed"] < 0.5
    data = found["results"][0]["data"]
    assert data["ready"] and data["attempts"] == 1 and data["flaps"] == 0


def test_a_late_port_is_noticed_soon():
    latencies = []
    for delay in (0.2, 0.4, 0.6):
        with Late(delay) as late:
            wait(tcp(late.port))
            latencies.append(time.monotonic() - late.opened)
    assert statistics.median(latencies) < 0.25  # the goal is 0.05 s; a busy machine must not make this fail


def test_503_then_200():
    with http_server((503, ""), (503, ""), (503, ""), (200, "ok")) as port:
        found = wait(http(port))
    messages = [entry["message"] for entry in found["results"][0]["data"]["timeline"]]
    assert messages == ["status 503 instead of 200", "GET answered 200"]


def test_a_black_hole_ends_with_the_deadline():
    with server(silence) as port:
        begun = time.monotonic()
        error = refused(http(port), timeout=0.8)
        assert 0.7 < time.monotonic() - begun < 1.8
    assert error.culprit == "api" and "no answer within" in error.cause and "not ready within 0.8 s" in error.cause


def test_a_black_hole_does_not_hold_up_the_others():
    with server(silence) as hole, Late(0.3) as late:
        error = refused(*(http(hole, f"hole{n}") for n in range(8)), tcp(late.port), timeout=1.0)
    assert error.details["results"][-1]["data"]["ready_after"] < 0.8


def test_stable_for_and_successes_and_flaps(monkeypatch):
    scripted(monkeypatch, GOOD, BAD, GOOD)
    found = wait(tcp(1), stable_for=0.3, successes=3)
    assert found["elapsed"] > 0.3
    data = found["results"][0]["data"]
    assert data["flaps"] == 1 and data["attempts"] >= 5
    assert [entry["status"] for entry in data["timeline"]] == ["pass", "fail", "pass"]


def test_good_but_not_for_long_enough_is_not_ready(monkeypatch):
    scripted(monkeypatch, GOOD)
    error = refused(tcp(1), timeout=0.3, stable_for=5)
    assert "good, but not for long enough" in error.cause and error.details["phase"] == "stability"


def test_a_final_error_ends_the_wait_at_once(monkeypatch):
    scripted(monkeypatch, BAD, FINAL)
    error = refused(tcp(1))
    assert error.details["elapsed"] < 1 and error.remedy == "Correct it."
    assert (error.details["last_error"], error.details["phase"], error.details["attempts"]) == ("never", "login", 2)


def test_a_target_that_is_not_critical_only_degrades():
    with http_server((200, "x")) as port:
        found = wait(http(port), tcp(free_port(), critical=False), timeout=0.5)
    assert found["overall_status"] == "degraded"
    assert [one["status"] for one in found["results"]] == ["pass", "warn"]
    assert found["elapsed"] >= 0.5


def test_a_final_error_of_one_that_is_not_critical_is_not_waited_out():
    with http_server((401, "")) as port:
        target = http(port, critical=False)
        target["http"]["url_password"] = "wrong-one"
        found = wait(target)
    assert found["overall_status"] == "degraded" and found["elapsed"] < 1


def test_an_old_success_is_confirmed_before_it_counts():
    early = http_server((200, "x"), (503, ""))
    with early as port, Late(1.5) as late:
        error = refused(http(port), tcp(late.port), timeout=3)
    assert error.culprit == "api" and error.details["results"][0]["data"]["flaps"] == 1


def test_every_target_is_told_of():
    with http_server((200, "x")) as port:
        error = refused(http(port), tcp(free_port(), "one"), tcp(free_port(), "two"), timeout=0.2)
    assert error.culprit == "one" and "Not ready either: two (cannot connect" in error.cause
    assert [one["data"]["ready"] for one in error.details["results"]] == [True, False, False]


def test_localhost_means_both_address_families():
    with http_server((200, "x")) as port:
        target = {"name": "api", "http": {"url": f"http://localhost:{port}/"}}
        assert wait(target)["overall_status"] == "healthy"


def test_secrets_do_not_show():
    with http_server((500, "the key is abc-def-ghi")) as port:
        error = refused(http(port), timeout=0.2, secrets=["abc-def-ghi"])
    assert "abc-def-ghi" not in str(error.as_result()) and "the key is ********" in str(error.as_result())


def test_check_mode_skips_what_would_write():
    target = {"name": "order", "http": {"url": f"http://127.0.0.1:{free_port()}/", "method": "POST"}}
    with Late(0.0) as late:
        target["http"]["url"] = f"http://127.0.0.1:{late.port}/"
        assert wait(target, check_mode=True)["results"][0]["status"] == "skip"


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"successes": 0}, {"interval_min": 2}, {"interval_min": 0}])
def test_impossible_settings(settings):
    assert "do not make sense" in refused(tcp(1), **settings).cause


def test_the_interval_grows_with_the_time_waited():
    settings = _waiting.Settings(100)
    assert 0.015 < settings.interval(0) < 0.025
    assert 0.07 < settings.interval(10) < 0.13
    assert settings.interval(10**6) <= 1.2


def test_startup_grace(monkeypatch):
    missing = _probes.Observation(_result.FAIL, "none", phase="missing", permanent=True)
    scripted(monkeypatch, missing)
    error = refused(tcp(1), startup_grace=0.4)
    assert 0.4 <= error.details["elapsed"] < 2


def test_the_deadline_does_not_hide_the_last_error():
    requests = []

    def warming_up_then_silent(connection):
        if len(requests) == 2:
            return silence(connection)
        requests.append(connection.recv(65536))
        return connection.sendall(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")

    with server(warming_up_then_silent) as port:
        error = refused(http(port), timeout=0.6)
    assert len(requests) == 2 and "status 503 instead of 200" in error.details["last_error"]


def test_every_target_is_heard_even_when_one_is_lost_at_once():
    with http_server((401, "")) as port:
        lost = http(port, "lost")
        lost["http"]["url_password"] = "wrong-one"
        error = refused(lost, *(tcp(free_port(), f"other{number}") for number in range(20)))
    assert error.culprit == "lost" and error.details["elapsed"] < 0.6
    assert all("cannot connect" in one["message"] for one in error.details["results"][1:])


def test_who_says_nothing_does_not_hold_up_the_verdict_on_others():
    with http_server((401, "")) as port, server(silence) as hole:
        lost = http(port, "lost")
        lost["http"]["url_password"] = "wrong-one"
        error = refused(lost, http(hole, "hole"))
    assert error.details["elapsed"] < 0.6 and "gave no answer yet" in error.details["results"][1]["message"]


def test_an_event_during_a_connect_is_not_forgotten():
    target = _probes.parse(entries(tcp(1)))[0]
    watch = _waiting.Watch(target, _waiting.Settings(10), 0.0, due=None, busy=True)
    watch.wake(5.0)
    watch.refused_again(7.0)
    assert watch.due == 5.0 and not watch.busy
    watch.due = None
    watch.refused_again(7.0)
    assert watch.due == 7.0
