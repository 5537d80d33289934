# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind http against services that answer with a health document: the verdict, the words, the document of all."""

from __future__ import annotations

import json

import pytest
from probe_peers import entries, http_server, look

from ansible_collections.tria.production.plugins.module_utils import _health
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

DB_DOWN = {"status": "DOWN", "components": {"db": {"status": "DOWN", "details": {"error": "timeout"}}}}
UP = {"status": "UP", "components": {"db": {"status": "UP"}}}
PARTLY = {"status": "UP", "components": {"db": {"status": "UP"}, "mail": {"status": "DOWN"}}}
WARNS = {"status": "warn", "checks": {"disk": [{"status": "warn", "output": "91 % used"}]}}
QUARKUS = {"status": "DOWN", "checks": [{"name": "database", "status": "DOWN", "data": {"error": "refused"}}]}
READINESS = {
    "status": "healthy",
    "overall_healthy": True,
    "services": {"database": {"healthy": True, "response_time_ms": 1.9, "pool": {"size": 10, "checked_out": 2}}},
    "metrics": {"cpu_percent": 14.8},
}


def answer(status, document, content_type="application/json"):
    text = document if isinstance(document, str) else json.dumps(document)
    return http_server((status, text, [f"Content-Type: {content_type}"]))


def ask(code, document, content_type="application/json", **options):
    with answer(code, document, content_type) as port:
        return look("http", url=f"http://127.0.0.1:{port}/health", **options)


def test_a_good_document_passes_with_its_components():
    seen = ask(200, UP)
    assert (seen.status, seen.message) == ("pass", "GET answered 200")
    assert seen.data["health"]["format"] == "spring"
    assert seen.data["health"]["components"] == {"db": {"status": "pass", "reported": "UP"}}


@pytest.mark.parametrize(
    "document, content_type, message",
    [
        (DB_DOWN, "application/vnd.spring-boot.actuator.v3+json", "component db is DOWN: timeout"),
        (QUARKUS, "application/json; charset=UTF-8", "component database is DOWN: refused"),
        ({"status": "fail", "output": "disk"}, "application/health+json", "the health document says fail: disk"),
        ({**READINESS, "overall_healthy": False}, "application/json", "the health document says unhealthy"),
    ],
)
def test_a_document_that_says_down_is_a_failure_even_with_status_200(document, content_type, message):
    seen = ask(200, document, content_type)
    assert (seen.status, seen.message, seen.permanent) == ("fail", message, False)
    assert seen.data["health"]["status"] == "fail" and "data.health" in seen.remedy


def test_the_component_leads_the_message_of_a_wrong_status():
    seen = ask(503, DB_DOWN)
    assert seen.message == "component db is DOWN: timeout; status 503 instead of 200"
    assert ask(503, UP).message == "status 503 instead of 200"
    assert ask(503, PARTLY).message == "component mail is DOWN; status 503 instead of 200"


@pytest.mark.parametrize(
    "document, content_type, message",
    [
        (WARNS, "application/health+json", "GET answered 200, but component disk is warn: 91 % used"),
        (PARTLY, "application/json", "GET answered 200, but component mail is DOWN"),
        ({"status": "pass", "checks": 5}, "application/health+json", "GET answered 200, but component checks cannot"),
    ],
)
def test_a_warning_or_a_component_that_is_not_critical_degrades(document, content_type, message):
    seen = ask(200, document, content_type)
    assert seen.status == "warn" and seen.message.startswith(message)


def test_expectations_rule_over_the_document_unless_it_is_required():
    for options in ({"json": {"components.db.status": "DOWN"}}, {"contains": "DOWN"}):
        seen = ask(200, DB_DOWN, **options)
        assert (seen.status, seen.message) == ("warn", "GET answered 200, but component db is DOWN: timeout")
        assert ask(200, DB_DOWN, health="require", **options).message == "component db is DOWN: timeout"
    assert ask(503, DB_DOWN, status=[503]).status == "warn"
    assert ask(503, DB_DOWN, status=[503], health="require").status == "fail"
    seen = ask(200, DB_DOWN, json={"status": "UP"})
    assert seen.message == 'component db is DOWN: timeout; status is "DOWN" instead of "UP"'


def test_ignore_reads_none():
    seen = ask(200, DB_DOWN, health="ignore")
    assert seen.status == "pass" and "health" not in seen.data
    assert ask(503, DB_DOWN, health="ignore").message == "status 503 instead of 200"


@pytest.mark.parametrize("body", ["", "ok", "{", "[" * 100_000, '{"status": "alive"}', "NaN"])
def test_require_finds_out_what_is_no_health_document(body):
    seen = ask(200, body, health="require")
    assert seen.message == "the answer is no health document (content type application/json)"
    assert seen.status == "fail" and "data.body" in seen.remedy
    assert ask(200, body).status == "pass"


def test_secrets_in_a_document_do_not_come_out():
    details = {"error": "login hunter22 failed", "password": "other one"}
    document = {"status": "DOWN", "components": {"db": {"status": "DOWN", "details": details}}}
    seen = ask(503, document, secrets=["hunter22"])
    assert "hunter22" not in str(seen) and "other one" not in str(seen)
    assert "component db is DOWN: login ******** failed" in seen.message


def test_the_document_of_all_has_the_services_of_each():
    with answer(200, READINESS) as port:
        found = _health.check(entries({"name": "api", "http": {"url": f"http://127.0.0.1:{port}/"}}), 5)
    assert found["overall_status"] == "healthy"
    api = found["health"]["services"]["api"]
    assert api["services"] == READINESS["services"] and api["metrics"] == READINESS["metrics"] and "health" not in api
    assert found["results"][0]["data"]["health"]["components"]["database"]["pool"] == {"size": 10, "checked_out": 2}
    json.dumps(found, allow_nan=False)


def test_degraded_below_is_degraded_above_and_down_names_the_culprit():
    with answer(200, PARTLY) as port:
        targets = entries({"name": "api", "http": {"url": f"http://127.0.0.1:{port}/"}})
        found = _health.check(targets, 5)
        assert (found["overall_status"], found["health"]["overall_healthy"]) == ("degraded", True)
        assert found["health"]["services"]["api"]["services"]["mail"] == {"healthy": False}
        with pytest.raises(ProductionError, match="component mail is DOWN"):
            _health.check(targets, 5, "degraded")
    with answer(503, DB_DOWN) as port:
        with pytest.raises(ProductionError) as caught:
            _health.check(entries({"name": "api", "http": {"url": f"http://127.0.0.1:{port}/"}}), 5)
    assert "api: component db is DOWN: timeout; status 503" in caught.value.cause
    below = caught.value.details["health"]["services"]["api"]["services"]
    assert below == {"db": {"healthy": False, "message": "timeout"}}
