# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP surface of a running application: health documents, metrics, the chatbot, refusals."""

from __future__ import annotations

import json
import re
import secrets

import pytest

from servers import Answer, Process, request


def ask(app: Process, message: str, user: str | None = None, **headers: str) -> Answer:
    body = {"message": message, "user_id": user or f"user-{secrets.token_hex(6)}"}
    return request(f"{app.url}/api/chatbot", body, headers)


@pytest.mark.parametrize("path", ["/health", "/api/v1/health/liveness"])
def test_liveness_has_the_documented_shape(app: Process, path: str) -> None:
    answer = request(app.url + path)
    assert answer.status == 200
    assert set(answer.body) == {"status", "timestamp", "uptime_seconds"}
    assert answer.body["status"] == "alive"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.body["timestamp"])
    assert isinstance(answer.body["uptime_seconds"], int)


def test_readiness_has_the_documented_shape(app: Process) -> None:
    answer = request(f"{app.url}/api/v1/health/readiness")
    assert answer.status == 200
    document = answer.body
    assert set(document) == {"status", "overall_healthy", "services", "metrics"}
    assert (document["status"], document["overall_healthy"]) == ("healthy", True)
    assert set(document["services"]) == {"database", "redis", "openai"}
    database, redis = document["services"]["database"], document["services"]["redis"]
    assert set(database) == {"healthy", "response_time_ms", "pool"}
    assert set(database["pool"]) == {"size", "checked_in", "checked_out"}
    assert database["pool"]["size"] == 10
    assert set(redis) == {"healthy", "response_time_ms", "host", "port"}
    assert document["services"]["openai"] == {"healthy": True, "api_key_set": True, "model": "gpt-4-turbo-preview"}
    assert set(document["metrics"]) == {"cpu_percent", "memory_percent", "disk_percent"}
    assert all(0 <= value <= 100 for value in document["metrics"].values())


def test_diagnostics_explain_and_hold_no_secret(app: Process) -> None:
    answer = request(f"{app.url}/api/v1/health/diagnostics")
    assert answer.status == 200
    assert [phase["phase"] for phase in answer.body["startup"]] == [
        "environment", "database", "redis", "openai", "chromadb", "components", "health_checks",
    ]
    assert answer.body["schema"]["current"] == answer.body["schema"]["expected"]
    assert answer.body["background_tasks"] == ["openai watch"]
    assert answer.body["configuration"]["secret_key"] == {"set": True}
    text = json.dumps(answer.body)
    names = ("REDIS_PASSWORD", "SECRET_KEY", "JWT_SECRET_KEY", "OPENAI_API_KEY", "DATABASE_URL")
    assert not [name for name in names if app.environment[name] in text]


def test_metrics_are_prometheus_text(app: Process) -> None:
    request(f"{app.url}/api/v1/health/readiness")
    answer = request(f"{app.url}/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'dependency_up{service="database"} 1.0' in answer.body
    assert 'http_requests_total{method="GET",route="/api/v1/health/readiness",status="200"}' in answer.body
    assert 'database_pool_connections{state="size"} 10.0' in answer.body


def test_the_chatbot_answers_from_the_catalog(app: Process) -> None:
    answer = ask(app, "What do your pizza boxes cost?")
    assert answer.status == 200
    assert answer.body["intent"] == "pricing"
    assert {product["sku"] for product in answer.body["products"]} >= {"BOX-PIZ-25", "BOX-PIZ-32"}
    assert "BOX-PIZ" in answer.body["response"]


def test_the_chatbot_quotes_an_order_with_tax(app: Process) -> None:
    answer = ask(app, "I want to order 3 x BOX-PIZ-32 and 2 bamboo cups")
    assert answer.body["quote"] == {
        "items": [{"sku": "BOX-PIZ-32", "quantity": 3}, {"sku": "CUP-BAM-350", "quantity": 2}],
        "subtotal": 113.8, "tax": 9.1, "total": 122.9, "problems": [],
    }
    assert "122.90" in answer.body["response"]


def test_a_conversation_goes_on(app: Process) -> None:
    user = f"user-{secrets.token_hex(6)}"
    first, second = ask(app, "hello", user), ask(app, "Do you have paper straws?", user)
    assert first.body["conversation_id"] == second.body["conversation_id"]
    assert ask(app, "hello").body["conversation_id"] != first.body["conversation_id"]


def test_an_opening_question_is_answered_from_the_cache_the_second_time(app: Process) -> None:
    question = f"Tell me about napkins {secrets.token_hex(4)}"
    first, second = ask(app, question), ask(app, f"  {question.upper()} ")
    assert (first.body["cached"], second.body["cached"]) == (False, True)
    assert first.body["response"] == second.body["response"]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"message": "hello"}, {"user_id": "test"}, [], "hello", {"message": "", "user_id": "test"},
        {"message": "   ", "user_id": "test"}, {"message": "x" * 2001, "user_id": "test"},
        {"message": "hello", "user_id": ""}, {"message": "hello", "user_id": "u" * 129},
        {"message": "hello", "user_id": "../etc"}, {"message": 1, "user_id": "test"},
        {"message": "nul \x00", "user_id": "test"}, {"message": "half \ud800", "user_id": "test"},
    ],
)
def test_an_invalid_body_is_refused(app: Process, body: object) -> None:
    answer = request(f"{app.url}/api/chatbot", body)
    assert answer.status == 422
    assert answer.body["error"] == "invalid_request"


def test_broken_json_and_oversize_bodies_are_refused(app: Process) -> None:
    assert request(f"{app.url}/api/chatbot", b'{"message": ').status == 422
    assert request(f"{app.url}/api/chatbot", b"x" * 70_000).status == 413


@pytest.mark.parametrize("key", ["", "k" * 256, "two words"])
def test_an_invalid_idempotency_key_is_refused(app: Process, key: str) -> None:
    assert ask(app, "hello", **{"Idempotency-Key": key}).status == 422


def test_unknown_paths_and_methods_are_json(app: Process) -> None:
    assert request(f"{app.url}/nothing").body["error"] == "http_error"
    assert request(f"{app.url}/api/chatbot").status == 405


def test_requests_carry_an_id(app: Process) -> None:
    assert request(f"{app.url}/health", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    assert re.fullmatch(r"[0-9a-f]{32}", request(f"{app.url}/health", headers={"X-Request-ID": "a b"})
                        .headers["X-Request-ID"])


def test_the_api_documents_itself(app: Process) -> None:
    assert request(f"{app.url}/docs").status == 200
    paths = request(f"{app.url}/openapi.json").body["paths"]
    documented = {"/health", "/health/detailed", "/metrics", "/metrics/performance", "/metrics/prometheus", "/contents",
                  "/upload", "/storage/status", "/gdpr/privacy-policy", "/api/chatbot", "/api/v1/health/readiness"}
    assert documented <= set(paths)
