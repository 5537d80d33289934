# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flows within a flow: they share what it got, in order, before its clean-up; and what else flows need for that."""

from __future__ import annotations

import json
import threading
import time

import pytest
from flow_server import DELETE, LOGIN, PASSWORD, START, UPLOAD, shop
from probe_peers import entries as validated
from probe_peers import http_server, look

from ansible_collections.tria.production.plugins.module_utils import _health, _waiting
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

BEARER = {"Authorization": "Bearer ${token}"}
ME = {"name": "me", "path": "/me", "headers": BEARER}
BAD = {"name": "bad", "path": "/echo", "status": [201]}


def entries(*targets):
    """Validated copies: validation fills its argument in, and steps are shared here."""
    return validated(*json.loads(json.dumps(targets)))


def account(site, *steps, **more):
    clean = [{"name": "sign out", "path": "/logout", "headers": BEARER}]
    flow = {"url": site.url, "vars": START, "steps": [LOGIN, *steps], "cleanup": clean, **more.pop("flow", {})}
    return {"name": "account", "flow": flow, **more}


def inner(site, name, *steps, **more):
    flow = {"url": site.url, "within": "account", "steps": list(steps), **more.pop("flow", {})}
    return {"name": name, "flow": flow, **more}


def look_at(*targets, seconds=5, **more):
    found = _health.check(entries(*targets), seconds, "never", **more)
    return {one["name"]: one for one in found["results"]}


def status(results):
    return {name: one["status"] for name, one in results.items()}


def test_they_run_in_order_with_its_values_and_before_its_clean_up():
    with shop() as site:
        seen = look_at(
            inner(site, "second", {**ME, "path": "/me?second"}, category="Second"), account(site),
            inner(site, "third", UPLOAD, flow={"cleanup": [DELETE]}),
            inner(site, "many", ME, flow={"repeat": {"samples": 3, "warmup": 1}}),
        )
        assert status(seen) == dict.fromkeys(("second", "account", "third", "many"), "pass")
        assert seen["second"]["category"] == "Second" and seen["many"]["data"]["samples"] == 3
        assert [one.partition("?")[0][:12] for one in site.asked] == [
            "POST /login", "GET /me", "POST /files", "DELETE /file", *["GET /me"] * 4, "GET /logout"
        ]
        assert not site.files


def test_its_time_is_not_theirs():
    with shop() as site:
        site.slow = 0.6
        slow = inner(site, "slow", {"name": "slow", "path": "/slow"}, timeout=2)
        seen = look_at(account(site, timeout=0.5, max_ms=500), slow)
        assert status(seen) == {"account": "pass", "slow": "pass"}
        assert seen["account"]["duration_ms"] < 400 and seen["slow"]["duration_ms"] > 500


def test_what_fails_around_it_stops_only_what_needs_it():
    with shop() as site:
        seen = look_at(account(site, BAD), inner(site, "mine", ME), inner(site, "worse", BAD), inner(site, "last", ME))
        assert status(seen) == {"account": "fail", "mine": "pass", "worse": "fail", "last": "pass"}
        wrong = account(site, flow={"vars": {**START, "password": "wrong-1"}, "cleanup": []})
        seen = look_at(wrong, inner(site, "mine", ME), inner(site, "other", {"name": "index", "path": "/echo"}))
        assert status(seen) == {"account": "fail", "mine": "error", "other": "pass"}
        assert "account has not captured token" in seen["mine"]["message"] and PASSWORD not in str(seen)


def test_the_one_around_is_to_blame():
    with shop() as site:
        wrong = account(site, flow={"vars": {**START, "password": "wrong-1"}, "cleanup": []})
        with pytest.raises(ProductionError) as caught:
            _health.check(entries(inner(site, "mine", ME), wrong), 5)
    assert caught.value.culprit == "account" and "(it depends on account)" in caught.value.cause


def test_what_never_ran_is_never_a_pass():
    with shop() as site:
        impossible = account(site, {"name": "a", "path": "/${unknown}"})
        deep = inner(site, "deep", ME, flow={"within": "mine"})
        seen = look_at(impossible, inner(site, "mine", ME), deep)
        assert status(seen) == {"account": "fail", "mine": "error", "deep": "error"}
        seen = look_at(account(site, skip="no accounts here"), inner(site, "mine", ME), deep)
        assert status(seen) == dict.fromkeys(seen, "skip") and "no accounts here" in seen["deep"]["message"]
        seen = look_at(account(site), inner(site, "mine", ME), check_mode=True)
        assert status(seen) == {"account": "skip", "mine": "skip"} and "check mode" in seen["mine"]["message"]
        assert not site.asked


def test_what_is_not_configured_around_it_is_skipped_in_it():
    closed = {"name": "login", "path": "/echo", "not_configured": {"reason": "no accounts here", "status": [200]}}
    closed["capture"] = {"token": {"json": "body"}}
    with shop() as site:
        seen = look_at(account(site, flow={"steps": [closed]}), inner(site, "mine", ME))
    assert status(seen) == {"account": "skip", "mine": "skip"} and "no accounts here" in seen["mine"]["message"]


def test_flows_in_flows_in_flows():
    with shop() as site:
        up = inner(site, "up", UPLOAD, flow={"cleanup": [DELETE]})
        fetch = {"name": "fetch", "path": "/files/${id}", "equals": "hello"}
        deep = inner(site, "deep", fetch, ME, flow={"within": "up"})
        assert status(look_at(deep, up, account(site))) == dict.fromkeys(("deep", "up", "account"), "pass")
        assert not site.files


def test_at_the_deadline_each_cleans_up():
    with shop() as site:
        site.slow = 2.0
        slow = inner(site, "slow", UPLOAD, {"name": "slow", "path": "/slow"}, timeout=9, flow={"cleanup": [DELETE]})
        begun = time.monotonic()
        seen = look_at(account(site), slow, inner(site, "late", ME), seconds=0.4)
        assert time.monotonic() - begun < 2
        assert {seen["slow"]["status"], seen["late"]["status"]} <= {"fail", "error"}
        assert not site.files and "GET /logout" in site.asked
    assert not [one for one in threading.enumerate() if one.name == "probe"]


@pytest.mark.parametrize(
    "targets, message",
    [
        ([{"name": "a", "flow": {"url": "http://x", "within": "b", "steps": [ME]}}], "within names b, which is no"),
        (
            [{"name": "a", "flow": {"url": "http://x", "within": "b", "steps": [ME]}},
             {"name": "b", "tcp": {"port": 1}}],
            "within names b, which is no",
        ),
        (
            [{"name": "a", "flow": {"url": "http://x", "within": "b", "steps": [ME]}},
             {"name": "b", "flow": {"url": "http://x", "steps": [ME], "repeat": {}}}],
            "no target with a flow that runs once",
        ),
        (
            [{"name": "a", "flow": {"url": "http://x", "within": "b", "steps": [ME]}},
             {"name": "b", "flow": {"url": "http://x", "within": "a", "steps": [ME]}}],
            "depends on itself",
        ),
    ],
)
def test_only_in_a_flow_that_runs_once(targets, message):
    with pytest.raises(ProductionError, match=message):
        _health.check(entries(*targets), 5)


def test_a_name_that_nobody_gives_is_a_mistake():
    with shop() as site:
        seen = look_at(account(site), inner(site, "mine", {"name": "a", "path": "/${tokn}"}))
    assert seen["mine"]["status"] == "fail" and "'tokn' is not known" in seen["mine"]["message"]


def test_waiting_knows_no_flows_in_flows():
    with shop() as site:
        targets = entries(account(site), inner(site, "mine", ME))
        with pytest.raises(ProductionError, match="Only service_health runs flows in flows"):
            _waiting.wait(targets, _waiting.Settings(timeout=5))


def test_a_body_is_what_it_must_be_to_the_byte():
    text = "grüße\r\n"
    with http_server((200, text)) as port:
        url = f"http://127.0.0.1:{port}/"
        assert look("http", url=url, equals=text).status == "fail"  # the server counts characters
    with shop() as site:
        send = {**UPLOAD, "body": {"file": {"content": "${text}", "filename": "a.txt"}}}
        for wanted, good in (("${text}", True), ("${text} ", False), (text.strip(), False)):
            steps = [send, {"name": "fetch", "path": "/files/${id}", "equals": wanted}]
            seen = look("flow", url=site.url, vars={"text": text}, steps=steps)
            assert (seen.status == "pass") is good and ("is not what it must be" in seen.message) is not good


def test_a_rate_limit_is_waited_out_and_no_part_of_the_time():
    requests = []
    limited = (429, "slow down", ["Retry-After: 1"])
    with http_server(limited, (200, "x"), requests=requests) as port:
        seen = look("flow", timeout=3, url=f"http://127.0.0.1:{port}", steps=[{"name": "a", "max_ms": 500}])
    assert seen.status == "pass" and len(requests) == 2
    assert seen.data["steps"][0]["refused_ms"] >= 1000 and seen.data["steps"][0]["duration_ms"] < 500


@pytest.mark.parametrize("header", [[], ["Retry-After: Wed, 21 Oct 2026 07:28:00 GMT"], ["Retry-After: 60"]])
def test_a_rate_limit_that_lasts_too_long_is_a_failure_at_once(header):
    with http_server((429, "slow down", header)) as port:
        seen = look("flow", timeout=1, url=f"http://127.0.0.1:{port}", steps=[{"name": "a"}])
    assert "status 429 instead of 200" in seen.message and seen.duration_ms < 500


def test_a_rate_limit_that_is_asked_for_is_good():
    with http_server((429, "slow down", ["Retry-After: 1"])) as port:
        seen = look("flow", url=f"http://127.0.0.1:{port}", steps=[{"name": "a", "status": [429]}])
    assert seen.status == "pass" and "refused_ms" not in seen.data["steps"][0]


def test_secrets_among_the_values_to_start_with_are_masked():
    with shop() as site:
        values = {"a_password": "p-${random}", "shown": "s-1234567"}
        steps = [{"name": "a", "path": "/echo?q=${a_password}&s=${shown}", "status": [201]}]
        seen = look("flow", url=site.url, vars=values, steps=steps)
        sent = site.asked[0].partition("q=")[2].partition("&")[0]
    assert sent.startswith("p-") and sent not in str(seen) and "s-1234567" in str(seen)
