# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind flow: steps, captures, cookies, origins, secrets; each with the fault that it looks for."""

from __future__ import annotations

import json
import re

import pytest
from flow_server import DELETE, LOGIN, PASSWORD, START, UPLOAD, shop
from probe_peers import entries, free_port, look, server, silence

from ansible_collections.tria.production.plugins.module_utils import _probes
from ansible_collections.tria.production.plugins.module_utils._probes import _flow_run
from ansible_collections.tria.production.plugins.module_utils._probes._base import Attempt, Budget, Session


def flow(site, *steps, **options):
    return look("flow", url=site if isinstance(site, str) else site.url, steps=list(steps), **options)


def step(path="/", **options):
    return {"name": "it", "path": path, **options}


def test_log_in_upload_fetch_delete():
    fetch = {"name": "fetch", "path": "/files/${id}", "contains": "hello", "response_headers": {"content-type": "text"}}
    gone = {"name": "gone", "path": "/files/${id}", "status": [404]}
    protected = {"name": "me", "path": "/me", "json": {"known": True}}
    with shop() as site:
        seen = flow(
            site, LOGIN, protected, UPLOAD, fetch, DELETE, gone,
            vars=START, headers={"Authorization": "Bearer ${token}"}, cleanup=[{**DELETE, "status": [204, 404]}],
        )
    assert seen.status == "pass" and re.fullmatch(r"6 steps in [\d.]+ ms", seen.message)
    assert [(one["name"], one["status_code"]) for one in seen.data["steps"]] == [
        ("login", 200), ("me", 200), ("upload", 201), ("fetch", 200), ("delete", 204), ("gone", 404)
    ]
    assert seen.data["cleanup"][0]["status_code"] == 404 and seen.data["url"] == site.url
    assert "Authorization" not in site.sent_headers[0] and site.sent_headers[1]["Authorization"].startswith("Bearer ")


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"path": "/me"}, "step it failed: status 401 instead of 200"),
        ({"contains": "nothing"}, "step it failed: the body does not contain 'nothing'"),
        ({"contains": "${user}s"}, "does not contain 'check-1s'"),
        ({"json": {"query.a": 1}}, "query.a is missing"),
        ({"path": "/echo?n=${n}", "json": {"query.n": "${n}"}}, 'query.n is "7" instead of 7'),
        ({"response_headers": {"Server": "nginx"}}, "header Server is"),
        ({"capture": {"it": {"json": "no.such"}}}, "cannot capture it from json no.such"),
        ({"capture": {"it": {"cookie": "session"}}}, "cannot capture it from cookie session"),
        ({"capture": {"it": {"header": "Location"}}}, "cannot capture it from header Location"),
        ({"capture": {"it": {"regex": "id=(.*)"}}}, "cannot capture it from regex id=(.*)"),
        ({"path": "/files/x", "capture": {"it": {"json": "x"}}}, "status 404 instead of 200"),
    ],
)
def test_each_expectation_is_held_and_names_its_step(options, expected):
    with shop() as site:
        seen = flow(site, {"name": "first"}, step(**{"path": "/echo", **options}), vars={"user": "check-1", "n": 7})
        assert seen.status == "fail" and "step first failed" in seen.message and not seen.permanent
        seen = flow(
            site, {"name": "first", "path": "/echo"}, step(**{"path": "/echo", **options}), {"name": "last"},
            vars={"user": "check-1", "n": 7},
        )
    assert seen.status == "fail" and expected in seen.message and not seen.permanent
    assert seen.data["steps"][2] == {"name": "last", "skipped": "a step before it failed"}
    assert seen.data["body"]


def test_values_come_from_every_place_of_an_answer_and_keep_their_type():
    sent = {"id": "${id}", "text": "no. ${id}", "list": [{"from": "${id}"}], "${user}": "$${id} $5", "cookie": "${sid}"}
    sources = {
        "id": {"json": "user.id"}, "sid": {"cookie": "session"}, "kind": {"header": "Set-Cookie"},
        "name": {"regex": r'"name": "(\w+-\d)"'}, "whole": {"regex": "access_.oken"},
    }
    with shop() as site:
        seen = flow(
            site, {**LOGIN, "capture": sources}, step("/echo/${name}/${whole}", method="POST", body=sent), vars=START
        )
        session = site.sessions.pop()
    assert seen.status == "pass", seen.message
    assert json.loads(site.bodies[1]) == {
        "id": 4711, "text": "no. 4711", "list": [{"from": 4711}], "check-1": "${id} $5", "cookie": session
    }
    assert site.asked[1] == "POST /echo/check-1/access_token"


def test_values_cannot_leave_their_place():
    evil = {"evil": "a/b?c=d&e#f %\u00e4", "line": "x\r\nX-More: 1", "quote": 'a"\r\nb'}
    with shop() as site:
        seen = flow(site, step("/echo/${evil}?q=${evil}", json={"query": {"q": "${evil}"}}), vars=evil)
        assert seen.status == "pass", seen.message
        form = {"body_format": "form-urlencoded", "body": {"a": "${evil}"}, "method": "POST"}
        assert flow(site, step("/echo", **form), vars=evil).status == "pass"
        upload = {**UPLOAD, "body": {"file": {"content": "${line}", "filename": "${quote}"}}}
        assert flow(site, upload, vars=evil).status == "pass"
        asked = len(site.asked)
        seen = flow(site, step("/echo", headers={"X-Name": "${line}"}), vars=evil)
    assert site.asked[0].endswith("?q=a%2Fb%3Fc%3Dd%26e%23f%20%25%C3%A4")
    assert site.bodies[1] == b"a=a%2Fb%3Fc%3Dd%26e%23f+%25%C3%A4"
    assert [one[0] for one in site.files.values()] == ["a%22%0D%0Ab"]
    assert seen.permanent and "step it failed: header X-Name would have a line break in it" in seen.message
    assert len(site.asked) == asked


def test_body_formats(tmp_path):
    picture = tmp_path / "dot.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\0")
    post = {"path": "/echo", "method": "POST"}
    with shop() as site:
        steps = [
            {"name": "text", "body": "plain ${n}", **post},
            {"name": "json", "body": [1, {"n": "${n}"}], **post},
            {"name": "json text", "body": '{"a": 1}', "body_format": "json", **post},
            {"name": "pairs", "body": [["a", 1], ["a", "${n}"]], "body_format": "form-urlencoded", **post},
            {**UPLOAD, "body": {"file": {"filename": str(picture)}}},
        ]
        assert flow(site, *steps, vars={"n": 7}).status == "pass"
        missing = {**UPLOAD, "body": {"file": {"filename": str(tmp_path / "none")}}}
        seen = flow(site, missing)
    assert site.bodies[:4] == [b"plain 7", b'[1, {"n": 7}]', b'{"a": 1}', b"a=1&a=7"]
    assert [one.get("Content-Type") for one in site.sent_headers[:4]] == [
        None, "application/json", "application/json", "application/x-www-form-urlencoded"
    ]
    assert list(site.files.values()) == [("dot.png", "image/png", picture.read_bytes())]
    assert seen.permanent and "No such file" in seen.message


def test_cookies_belong_to_one_run_and_obey_path_secure_and_deletion():
    ask = {"name": "before", "path": "/cookies", "json": {"cookie": ""}}
    with shop() as site:
        steps = [ask, LOGIN, step("/cookies", capture={"sent": {"json": "cookie"}}), {"name": "out", "path": "/logout"}]
        for _time in range(2):
            seen = flow(site, *steps, {**ask, "name": "after"}, vars=START)
            assert seen.status == "pass", seen.message
        user = site.url.replace("//", "//me:hunter22@")
        back = {"name": "back", "path": f"/redirect?to={site.url}/cookies", "contains": "session="}
        assert flow(user, LOGIN, back, vars=START, follow_redirects="safe").status == "pass"
    sent = site.sent_headers[2]["Cookie"]
    assert sent.startswith("session=") and "hidden" not in sent and "safe" not in sent


def test_built_in_values_differ_between_runs():
    with shop() as site:
        for _time in range(2):
            flow(site, step("/echo/${random}/${timestamp}"), step("/echo/${name}", name="b"),
                 vars={"name": "check-${random}"})
    first, second, third, fourth = (one.partition("/echo/")[2] for one in site.asked)
    assert re.fullmatch(r"[0-9a-f]{16}/\d{10}", first) and second == f"check-{first[:16]}"
    assert first[:16] != third[:16] and fourth == f"check-{third[:16]}"


def test_other_origins_are_refused_before_anything_is_sent():
    with shop() as site, shop() as other:
        here, there = {"vars": START, "headers": {"Authorization": "Bearer abcdef"}}, f"{other.url}/echo"
        for one in (step(there), step(f"/redirect?to={there}"), step("${there}")):
            seen = flow(site, LOGIN, one, follow_redirects="all", **{**here, "vars": {**START, "there": there}})
            assert seen.permanent and f"{other.url} is not an origin that this flow may go to" in seen.message
        assert not other.asked
        steps = [LOGIN, step(f"/redirect?to={there}", headers={"X-Step": "1"}), step(there, name="direct")]
        seen = flow(site, *steps, follow_redirects="safe", allowed_origins=[other.url], **here)
        assert seen.status == "pass", seen.message
    assert site.sent_headers[-1]["Authorization"] == "Bearer abcdef" and site.sent_headers[-1]["X-Step"] == "1"
    assert len(other.asked) == 2
    assert not any({"Authorization", "X-Step"} & set(headers) for headers in other.sent_headers)


def test_cookies_are_not_sent_to_another_host():
    with shop() as site, shop() as other:
        there = other.url.replace("127.0.0.1", "localhost")
        ask = {"path": f"{there}/cookies", "json": {"cookie": ""}}
        steps = [LOGIN, step(**ask), step(f"/redirect?to={there}/cookies", name="again", json={"cookie": ""})]
        seen = flow(site, *steps, vars=START, allowed_origins=[there], follow_redirects="safe")
    assert seen.status == "pass", seen.message
    assert "session=" in site.sent_headers[-1]["Cookie"]


def test_redirects_after_a_form_and_a_location_as_next_path():
    target = {"name": "go", "path": "/redirect?to=/echo", "method": "POST", "body": {"a": 1}}
    with shop() as site:
        assert flow(site, {**target, "status": [302]}, follow_redirects="safe").status == "pass"
        assert flow(site, target, follow_redirects="all").status == "pass"
        assert site.asked[-1] == "GET /echo" and site.bodies[-1] == b""
        steps = [{**UPLOAD, "capture": {"id": {"header": "Location"}}}, step("${id}", contains="hello")]
        assert flow(site, *steps).status == "pass"


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"steps": []}, "there are none"),
        ({"url": "ftp://x"}, "not an http or https URL"),
        ({"url": "http://[::1"}, "not an http or https URL"),
        ({"url": "http://x:99999"}, "not an http or https URL"),
        ({"allowed_origins": ["https://x.org/path"]}, "is more than an origin"),
        ({"allowed_origins": ["x.org"]}, "not an http or https URL"),
        ({"vars": {"a b": 1}}, "'a b' cannot be a name"),
        ({"vars": {"random": 1}}, "'random' cannot be a name"),
        ({"vars": {"a": "${b}", "b": 1}}, "vars: the name 'b' is not known there"),
        ({"headers": {"X": "${b}"}}, "headers: the name 'b' is not known there"),
        ({"steps": [step("/${b}")]}, "step it: the name 'b' is not known there"),
        ({"steps": [step("/${b")]}, "the name 'b' is not known there"),
        ({"steps": [step("/${}")]}, "the name '' is not known there"),
        ({"steps": [step("/${x}", capture={"x": {"json": "x"}})]}, "the name 'x' is not known there"),
        ({"steps": [step(body={"a": ["${b}"]})]}, "the name 'b' is not known"),
        ({"steps": [step(json={"a": "${b}"})]}, "the name 'b' is not known"),
        ({"steps": [step(), step()]}, "it is there twice"),
        ({"steps": [step(method="GET /x")]}, "is not a method"),
        ({"steps": [step(headers={"a:b": 1})]}, "is not the name of a header"),
        ({"steps": [step(capture={"x": "json:a"})]}, "not clear where to capture x from"),
        ({"steps": [step(capture={"x": {"json": "a", "regex": "b"}})]}, "not clear where to capture x from"),
        ({"steps": [step(capture={"x": {"jsonpath": "a"}})]}, "not clear where to capture x from"),
        ({"steps": [step(capture={"x": {"regex": "("}})]}, "the regex for x is not valid"),
        ({"steps": [step(capture={"x-y": {"json": "a"}})]}, "'x-y' cannot be a name"),
        ({"steps": [step(body={"a": 1}, body_format="raw")]}, "raw needs a text"),
        ({"steps": [step(body=[1], body_format="form-urlencoded")]}, "the body is no form"),
        ({"steps": [step(body="x", body_format="form-multipart")]}, "no multipart form"),
        ({"steps": [step(body={"a": {"file": "x"}}, body_format="form-multipart")]}, "no multipart form"),
        ({"steps": [step(retries=-1)]}, "below 0"),
        ({"cleanup": [step("/${b}")]}, "clean-up step it: the name 'b' is not known"),
        ({"cleanup_timeout": 0}, "it is not above 0"),
        ({"repeat": {"samples": 5, "min_samples": 6}}, "there can never be enough samples"),
        ({"repeat": {"samples": 0}}, "there can never be enough samples"),
        ({"repeat": {"concurrency": 65}}, "concurrency is not from 1 to 64"),
        ({"repeat": {"warmup": -1}}, "warmup is below 0"),
    ],
)
def test_a_flow_that_can_never_work_is_refused_before_its_first_request(options, expected):
    with shop() as site:
        seen = look("flow", **{"url": site.url, "steps": [step("/echo")], **options})
        assert not site.asked
    assert (seen.status, seen.permanent) == ("fail", True) and expected in seen.message


def test_check_mode_runs_only_what_changes_nothing():
    with shop() as site:
        seen = flow(site, step("/echo"), step(name="b", method="post"), check_mode=True)
        assert seen.status == "skip" and "not run in check mode, as b may change something" in seen.message
        assert flow(site, step("/echo"), cleanup=[step(method="DELETE")], check_mode=True).status == "skip"
        assert not site.asked
        assert flow(site, step("/echo"), check_mode=True).status == "pass"


def test_a_step_is_tried_again_until_its_answer_is_as_expected():
    with shop() as site:
        site.failures = 2
        seen = flow(site, step("/flaky", retries=2, delay=0.02))
        assert seen.status == "pass" and seen.data["steps"][0]["attempts"] == 3
        site.failures = 9
        seen = flow(site, step("/flaky", retries=1, delay=0.02))
        assert "step it failed 2 times: status 503" in seen.message
        seen = flow(site, step("/flaky", retries=9, delay=5), timeout=0.2)
        assert "status 503" in seen.message and seen.duration_ms < 1000


def test_a_slow_step_is_a_warning():
    with shop() as site:
        seen = flow(site, step("/slow", max_ms=10), step("/echo", name="quick", max_ms=5000))
    assert seen.status == "warn" and "step it took" in seen.message and "quick" not in seen.message


def test_wrong_password_is_final_only_for_basic_authentication():
    with shop() as site:
        seen = flow(site, LOGIN, vars={**START, "password": "wrong"})
        assert "step login failed: status 401" in seen.message and not seen.permanent
        seen = flow(site, step("/me"), url_username="me", url_password="wrong")
        assert seen.permanent and site.sent_headers[-1]["Authorization"] == "Basic bWU6d3Jvbmc="


def test_timeout_and_refusal_name_the_step():
    with server(silence) as port:
        seen = flow(f"http://127.0.0.1:{port}", step(), timeout=0.3)
        assert "step it failed: no answer within 0.3 s" in seen.message and seen.duration_ms < 1000
    seen = flow(f"http://127.0.0.1:{free_port()}", step())
    assert seen.phase == "connect" and "step it failed: cannot connect" in seen.message
    with shop() as site:
        seen = flow(site, step("/slow"), max_body_bytes=1)
    assert "step it failed: the body is larger than 1 bytes" in seen.message


def test_nothing_secret_shows():
    with shop() as site:
        url = site.url.replace("//", "//me:hunter22@")
        expect = {"Set-Cookie": "other"}
        told = step("/echo?t=${token}", contains="absent", headers={"X-API-Key": "key-5678"})
        target = {"url": url, "steps": [LOGIN, told], "vars": START}
        seen = look("flow", **target)
        text, token = str(seen), site.tokens.pop()
        assert site.asked[-1].endswith(token) and token not in text and "does not contain" in text
        text = str(look("flow", **{**target, "steps": [{**LOGIN, "response_headers": expect}]}))
        assert "header Set-Cookie is" in text
        assert not any(session in text for session in site.sessions)
        leak = step("/echo", method="POST", contains="absent", headers={"x-api-key": "k-567"})
        seen = look("flow", **{**target, "steps": [{**leak, "body": f"hunter22 {PASSWORD} body-1234 k-567"}]})
        assert not any(secret in str(seen) for secret in (PASSWORD, "hunter22", "k-567"))
        target = {**target, "steps": [{**leak, "body": {"list": [{"token": "body-1234"}]}}]}
        hidden = _probes.secrets_of(_probes.parse(entries({"name": "it", "flow": target})))
    assert {PASSWORD, "body-1234", "k-567", "hunter22"} <= set(hidden)


def test_captured_values_are_masked_for_the_whole_session():
    with shop() as site:
        options = entries({"name": "it", "flow": {"url": site.url, "steps": [LOGIN], "vars": START}})[0]["flow"]
        with Session() as session:
            assert _flow_run.run(options, Attempt(session, Budget(2))).failure is None
            assert session.clean([f"seen: {site.tokens.copy().pop()}"]) == ["seen: ********"]


def test_the_address_of_a_container_is_for_the_base_url_only():
    with shop() as site, shop() as other:
        port = site.server_address[1]
        steps = [step("/echo"), step(f"{other.url}/echo", name="other")]
        flow_options = {"url": f"http://shop.invalid:{port}", "allowed_origins": [other.url], "steps": steps}
        options = entries({"name": "it", "flow": flow_options})[0]["flow"]
        with Session() as session:
            record = _flow_run.run(options, Attempt(session, Budget(2), host="127.0.0.1"))
    assert record.failure is None and [len(one.asked) for one in (site, other)] == [1, 1]
    assert site.sent_headers[0]["Host"] == f"shop.invalid:{port}"


def test_certificates_and_the_base_path():
    with shop() as site:
        assert flow(f"{site.url}/echo/", step("/inner", json={"path": "/echo/inner"})).status == "pass"
        seen = flow(site.url.replace("http:", "https:"), step())
        assert seen.phase == "tls"
