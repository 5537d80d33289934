# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is not looked at, and what says that it was set up without it: a skip that neither delays nor fails."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from flow_server import DELETE, LOGIN, START, UPLOAD, shop
from probe_peers import entries, free_port, http_server, look
from waiting_peers import Late, http, refused, tcp, wait

from ansible_collections.tria.production.plugins.module_utils import _health, _probes
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

WITHOUT = {"reason": "uploads are switched off", "status": [501, 503], "json": {"error.code": "not_configured"}}
ANSWER = json.dumps({"error": {"code": "not_configured"}})
REFUSED = {"name": "me", "path": "/me", "not_configured": {"reason": "no accounts here", "json": {"known": False}}}
AS_IT_IS = "this stack has no search"


def test_a_skipped_target_is_not_looked_at():
    target = tcp(free_port(), skip=f" {AS_IT_IS}\n")
    found = _health.check(entries(target, tcp(free_port(), name="other", critical=False)), 5)
    result = found["results"][0]
    assert (result["status"], result["message"], result["data"]["kind"]) == ("skip", AS_IT_IS, "tcp")
    assert found["health"]["services"]["port"]["healthy"] is None
    assert found["overall_status"] == "degraded", "the other one was looked at"
    assert _health.check(entries(target), 5, "degraded")["overall_status"] == "healthy"


@pytest.mark.parametrize("kind", ["tcp", "container"])
def test_nobody_waits_for_a_skipped_target(kind):
    options = {"port": free_port()} if kind == "tcp" else {"project": "none", "service": "none"}
    target = {"name": "it", "skip": AS_IT_IS, kind: options}
    found = wait(target, stable_for=5, successes=9)
    data = found["results"][0]["data"]
    assert found["overall_status"] == "healthy" and found["elapsed"] < 0.5
    assert found["results"][0]["status"] == "skip" and data["ready"] and data["attempts"] == 1


def test_a_skipped_target_holds_up_no_other_and_watches_no_container():
    target = {"name": "it", "skip": AS_IT_IS, "tcp": {"port": 1, "project": "none", "service": "none"}}
    with http_server((503, "wait"), (200, "ok")) as port:
        found = wait(target, http(port, depends_on=["it"]), stable_for=0.2)
    assert found["elapsed"] < 2 and [one["status"] for one in found["results"]] == ["skip", "pass"]
    assert found["results"][0]["data"]["attempts"] == 1


def test_what_depends_on_a_skipped_target_is_no_victim_of_it():
    targets = (tcp(1, name="database", skip=AS_IT_IS), tcp(free_port(), depends_on=["database"]))
    error = refused(*targets, timeout=0.3)
    assert error.culprit == "port" and error.details["victims"] == [] and "Not ready" not in error.cause
    with pytest.raises(ProductionError) as caught:
        _health.check(entries(*targets), 5)
    assert caught.value.culprit == "port" and "depends on" not in caught.value.cause


def test_a_skipped_target_has_to_make_sense_all_the_same():
    with pytest.raises(ProductionError, match="two targets have this name"):
        _probes.parse(entries(tcp(1, skip=AS_IT_IS), tcp(2)))
    with pytest.raises(ProductionError, match="which is no target"):
        _probes.parse(entries(tcp(1, skip=AS_IT_IS, depends_on=["nothing"])))
    for reason in (True, False):
        with pytest.raises(ProductionError, match="skip is no reason"):
            _probes.parse(entries(tcp(1, skip=reason)))
    targets = [{"name": "it", "skip": AS_IT_IS, "tcp": {}}]
    found = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": targets})
    assert "missing required arguments: port" in found.error_messages[0]


@pytest.mark.parametrize(
    "answer, sign",
    [
        ((503, ANSWER), WITHOUT),
        ((501, "none"), {"reason": WITHOUT["reason"], "status": [501]}),
        ((200, ANSWER), {"reason": WITHOUT["reason"], "json": WITHOUT["json"]}),
        ((200, ANSWER), {"reason": WITHOUT["reason"], "json": WITHOUT["json"], "status": []}),
    ],
)
def test_an_answer_that_says_so_is_a_skip_whatever_else_is_expected(answer, sign):
    with http_server(answer) as port:
        url = f"http://127.0.0.1:{port}/"
        seen = look("http", url=url, not_configured=sign, contains="nothing", health="require", max_ms=0.001)
    assert (seen.status, seen.message) == ("skip", "uploads are switched off")
    assert seen.data == {"url": url, "status_code": answer[0]}


@pytest.mark.parametrize(
    "answer, sign",
    [
        ((500, ANSWER), WITHOUT),
        ((503, '{"error": {"code": "broken"}}'), WITHOUT),
        ((503, '["not_configured"]'), WITHOUT),
        ((503, "not_configured"), WITHOUT),
        ((503, ANSWER), {"reason": "empty", "status": []}),
        ((503, ANSWER), {"reason": "empty", "json": {}}),
    ],
)
def test_any_other_answer_is_held_against_the_expectations(answer, sign):
    with http_server(answer) as port:
        seen = look("http", url=f"http://127.0.0.1:{port}/", not_configured=sign)
    assert seen.status == "fail" and f"status {answer[0]} instead of 200" in seen.message


@pytest.mark.parametrize("kind", [{"url": "http://x/"}, {"url": "http://x/", "steps": [{"name": "a"}]}])
@pytest.mark.parametrize(
    "sign, told", [({"reason": "x"}, "one of the following is required: status, json"), ({"status": [1]}, "reason")]
)
def test_not_configured_needs_a_reason_and_a_sign(kind, sign, told):
    flow = "steps" in kind
    options = {**kind, "steps": [{"name": "a", "not_configured": sign}]} if flow else {**kind, "not_configured": sign}
    targets = [{"name": "it", "flow" if flow else "http": options}]
    found = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": targets})
    assert told in found.error_messages[0]


def test_a_wait_ends_with_not_configured():
    with http_server((502, "starting"), (503, ANSWER)) as port:
        target = {"name": "api", "http": {"url": f"http://127.0.0.1:{port}/", "not_configured": WITHOUT}}
        found = wait(target, stable_for=5, successes=3)
    assert found["elapsed"] < 2 and found["overall_status"] == "healthy"
    assert [one["status"] for one in found["results"][0]["data"]["timeline"]] == ["fail", "skip"]


def test_what_is_not_configured_is_asked_once_however_long_the_others_take():
    requests = []
    with http_server((503, ANSWER), requests=requests) as port, Late(1.3) as late:
        target = {"name": "api", "http": {"url": f"http://127.0.0.1:{port}/", "not_configured": WITHOUT}}
        wait(target, tcp(late.port))
    assert len(requests) == 1


def test_a_flow_ends_there_and_removes_what_it_made():
    with shop() as site:
        steps = [UPLOAD, REFUSED, {"name": "echo", "path": "/echo"}]
        seen = look("flow", url=site.url, steps=steps, cleanup=[DELETE])
        assert (seen.status, seen.message) == ("skip", "no accounts here") and not site.files
        assert site.asked[-1].startswith("DELETE") and "GET /echo" not in site.asked
    assert seen.data["status_code"] == 401 and seen.data["url"] == site.url
    assert seen.data["steps"][2] == {"name": "echo", "skipped": "a step before it is not configured"}
    assert seen.data["cleanup"][0]["status_code"] == 204


def test_a_flow_that_made_nothing_has_nothing_to_remove():
    with shop() as site:
        seen = look("flow", url=site.url, steps=[{**REFUSED, "retries": 3}, UPLOAD], cleanup=[DELETE])
    assert seen.status == "skip" and site.asked == ["GET /me"]
    assert seen.data["cleanup"] == [{"name": "delete", "skipped": "id was not captured"}]


def test_a_flow_that_cannot_clean_up_has_failed():
    with shop() as site:
        seen = look("flow", url=site.url, steps=[UPLOAD, REFUSED], cleanup=[{**DELETE, "status": [200]}])
    assert seen.status == "fail" and seen.message == "clean-up step delete failed: status 204 instead of 200"


def test_a_flow_that_is_configured_goes_on():
    with shop() as site:
        headers = {"Authorization": "Bearer ${token}"}
        seen = look("flow", url=site.url, steps=[LOGIN, REFUSED], vars=START, headers=headers)
    assert seen.status == "pass"


@pytest.mark.parametrize("warmup", [0, 2])
def test_a_repeated_flow_ends_with_the_first_run_that_says_so(warmup):
    with shop() as site:
        seen = look("flow", url=site.url, steps=[REFUSED], repeat={"samples": 50, "warmup": warmup, "max_p95_ms": 0})
    assert (seen.status, seen.message) == ("skip", "no accounts here") and site.asked == ["GET /me"]
    assert seen.data["status_code"] == 401 and [step["name"] for step in seen.data["steps"]] == ["me"]


def test_a_repeated_flow_that_failed_too_often_before_has_failed():
    with shop() as site:
        site.failures = 2
        steps = [{"name": "flaky", "path": "/flaky"}, REFUSED]
        repeat = {"samples": 20, "warmup": 0, "concurrency": 1}
        assert look("flow", url=site.url, steps=steps, repeat=repeat).status == "fail"
        site.failures = 2
        assert look("flow", url=site.url, steps=steps, repeat={**repeat, "max_error_percent": 10}).status == "skip"
