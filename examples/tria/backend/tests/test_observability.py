# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sentry and PostHog against receivers; detailed health; performance; Prometheus."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

from clients import PASSWORD, Client
from receivers import Receiver
from servers import Process, free_port, request, until

Environment = Callable[..., dict[str, str]]
Start = Callable[[dict[str, str]], Process]


def events(receiver: Receiver) -> list[dict[str, Any]]:
    """Events of the envelopes that Sentry was sent."""
    lines = [line for received in receiver.requests if received.path.endswith("/envelope/")
             for line in received.body.splitlines() if line]
    return [document for document in map(json.loads, lines) if "level" in document]


def test_sentry_is_told_errors_without_secrets(environment: Environment, start: Start) -> None:
    with Receiver(lambda received: (200, b"{}")) as sentry, Receiver(lambda received: (200, b"{}")) as storage:
        variables = environment(SENTRY_DSN=f"http://{secrets.token_hex(16)}@127.0.0.1:{sentry.port}/1",
                                BHIV_STORAGE_BACKEND="s3", S3_ENDPOINT_URL=storage.url, S3_BUCKET="tria-uploads",
                                S3_ACCESS_KEY_ID="AKIA0TEST", S3_SECRET_ACCESS_KEY=secrets.token_hex(20))
        app = start(variables)
        app.wait_listening()
        client = Client(app).join()
        assert client.upload(b"a private text", "private.txt").status == 201
        assert request(f"{app.url}/observability/health").body["sentry"] == {"configured": True, "active": True}
        assert events(sentry) == []
        storage.failing = True
        assert client.upload(b"a private text", "private.txt").status == 502
        sent = until(lambda: events(sentry), 10, "an event")
        assert (sent[-1]["environment"], sent[-1]["release"]) == ("staging", "tria@1.0.0")
        assert sent[-1]["logentry"]["formatted"] == "storage: s3: answered with 500"
        text = json.dumps(sent)
        names = ("SECRET_KEY", "JWT_SECRET_KEY", "REDIS_PASSWORD", "DATABASE_URL", "S3_SECRET_ACCESS_KEY", "SENTRY_DSN")
        assert not [name for name in names if variables[name] in text]
        assert client.token not in text and "a private text" not in text and "private.txt" not in text
        app.stop()
        assert app.child.returncode == 0


def test_sentry_is_told_why_a_start_failed(environment: Environment, start: Start) -> None:
    with Receiver(lambda received: (200, b"{}")) as receiver:
        url = environment()["DATABASE_URL"]
        password = secrets.token_hex(12)
        broken = url.split("@")[0].rsplit(":", 1)[0] + f":{password}@127.0.0.1:{free_port()}/tria"
        app = start(environment(SENTRY_DSN=f"http://k@127.0.0.1:{receiver.port}/1", DATABASE_URL=broken))
        assert app.wait_exit() == 11
        text = json.dumps(events(receiver))
        assert "phase=database" in text and password not in text
        assert "startup failed: phase=database" in app.lines[-1]


def test_posthog_is_told_what_happened_and_not_who_did_it(environment: Environment, start: Start) -> None:
    key = "phc_" + secrets.token_hex(16)
    with Receiver(lambda received: (200, b'{"status": 1}')) as receiver:
        app = start(environment(POSTHOG_API_KEY=key, POSTHOG_HOST=receiver.url))
        app.wait_listening()
        client = Client(app).join()
        client.upload()

        def names() -> set[str]:
            batches = [json.loads(received.body) for received in receiver.requests if "batch" in received.path]
            return {event["event"] for batch in batches for event in batch["batch"]}

        until(lambda: names() >= {"account registered", "signed in", "file uploaded"}, 10, "the events")
        text = " ".join(received.body.decode() for received in receiver.requests)
        assert client.username not in text and PASSWORD not in text and client.token not in text
        assert client.call("/users/profile").body["id"] in text
        policy = request(f"{app.url}/gdpr/privacy-policy").body
        assert [line for line in policy["recipients"] if "PostHog" in line]
        assert not [line for line in app.lines if key in line]


def test_receivers_that_are_away_harm_nobody(environment: Environment, start: Start) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    app = start(environment(POSTHOG_API_KEY="phc_0123456789", POSTHOG_HOST=away,
                            SENTRY_DSN=away.replace("//", "//k@") + "/1"))
    app.wait_listening()
    assert Client(app).join().upload().status == 201
    app.child.terminate()
    assert app.wait_exit(20) == 0


def test_without_configuration_nothing_is_sent(app: Process) -> None:
    assert request(f"{app.url}/observability/health").body == {
        "sentry": {"configured": False, "active": False},
        "posthog": {"configured": False, "active": False},
        "prometheus": {"configured": True, "active": True, "path": "/metrics/prometheus"},
    }


def test_detailed_health(app: Process) -> None:
    answer = request(f"{app.url}/health/detailed")
    assert answer.status == 200
    document = answer.body
    assert set(document) == {"status", "overall_healthy", "timestamp", "uptime_seconds", "version", "environment",
                             "services", "storage", "observability", "metrics"}
    assert (document["status"], document["environment"]) == ("healthy", "staging")
    assert set(document["services"]) == {"database", "redis", "openai"}
    assert document["storage"] == {"backend": "local", "healthy": True}


def test_performance_metrics(app: Process) -> None:
    for _attempt in range(5):
        request(f"{app.url}/health")
    document = request(f"{app.url}/metrics/performance").body
    assert set(document) == {"uptime_seconds", "http", "system", "process"}
    route = document["http"]["routes"]["GET /health"]
    assert route["count"] >= 5 and route["errors"] == 0
    assert 0 < route["p50_ms"] <= route["p95_ms"] <= route["p99_ms"] <= route["max_ms"] < 5000
    assert document["http"]["requests"] >= 5 and 0 <= document["http"]["error_rate"] <= 1


def test_prometheus_has_two_addresses(app: Process) -> None:
    answer = request(f"{app.url}/metrics/prometheus")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "http_requests_total" in answer.body and "auth_failed_logins_total" in answer.body
