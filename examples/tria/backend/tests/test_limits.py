# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rate limits, CORS and security headers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator

import pytest

from clients import PASSWORD, Client
from servers import Answer, Process, app_environment, request, start_app

Environment = Callable[..., dict[str, str]]
Start = Callable[[dict[str, str]], Process]
ALLOWED = "https://shop.example.com"


def address() -> dict[str, str]:
    """A client's address that no other test has, as the edge passes it on."""
    return {"X-Real-IP": "2001:db8::" + ":".join(secrets.token_hex(2) for _attempt in range(3))}


@pytest.fixture
def limited(environment: Environment, start: Start) -> Process:
    """30 requests a minute, 6 attempts to sign in."""
    limits = {"RATE_LIMIT_PER_MINUTE": "30", "RATE_LIMIT_LOGIN_PER_MINUTE": "6", "RATE_LIMIT_UPLOAD_PER_MINUTE": "2"}
    app = start(environment(ENABLE_RATE_LIMITING="true", **limits))
    app.wait_listening()
    return app


def test_a_burst_is_bounded_and_the_limit_recovers(limited: Process) -> None:
    client = address()
    answers = [request(f"{limited.url}/gdpr/privacy-policy", headers=client) for _attempt in range(32)]
    assert [answer.status for answer in answers[:30]] == [200] * 30
    assert answers[0].headers["X-RateLimit-Limit"] == "30"
    assert [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers[:3]] == [29, 28, 27]
    refused = answers[-1]
    assert (refused.status, refused.body["error"]) == (429, "rate_limited")
    wait = int(refused.headers["Retry-After"])
    assert 1 <= wait <= 2
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    time.sleep(wait)
    assert request(f"{limited.url}/gdpr/privacy-policy", headers=client).status == 200


def test_another_address_and_probes_are_not_affected(limited: Process) -> None:
    client = address()
    for _attempt in range(31):
        last = request(f"{limited.url}/gdpr/privacy-policy", headers=client)
    assert last.status == 429
    assert request(f"{limited.url}/gdpr/privacy-policy", headers=address()).status == 200
    for path in ("/health", "/health/detailed", "/api/v1/health/readiness", "/metrics", "/docs"):
        assert request(limited.url + path, headers=client).status == 200


def login(app: Process, username: str, headers: dict[str, str]) -> Answer:
    return request(f"{app.url}/users/login-json", {"username": username, "password": "wrong password"}, headers)


def test_guessing_passwords_is_limited_by_address_and_by_name(limited: Process) -> None:
    client = address()
    answers = [login(limited, f"name-{number}", client) for number in range(7)]
    assert [answer.status for answer in answers] == [401] * 6 + [429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 10
    name = f"name-{secrets.token_hex(6)}"
    assert [login(limited, name, address()).status for _attempt in range(7)] == [401] * 6 + [429]


def test_an_account_is_limited_wherever_it_comes_from(limited: Process) -> None:
    account = {"username": f"user-{secrets.token_hex(6)}", "password": PASSWORD}
    assert request(f"{limited.url}/users/register", account, address()).status == 201
    token = request(f"{limited.url}/users/login-json", account, address()).body["access_token"]
    client = Client(limited, token=token)
    assert [client.upload().status for _attempt in range(3)] == [201, 201, 429]
    statuses = [client.call("/contents", **address()).status for _attempt in range(30)]
    assert statuses[:20] == [200] * 20 and statuses[-1] == 429


def test_switched_off_nothing_is_limited(environment: Environment, start: Start) -> None:
    app = start(environment(ENABLE_RATE_LIMITING="false", RATE_LIMIT_PER_MINUTE="1"))
    app.wait_listening()
    assert [request(f"{app.url}/gdpr/privacy-policy").status for _attempt in range(5)] == [200] * 5


@pytest.fixture(scope="module")
def shared(database_url: str, redis_url: str, sandbox: Process,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One running application with allowed origins."""
    origins = f"{ALLOWED},http://localhost:3000"
    environment = app_environment(database_url, redis_url, sandbox.port, CORS_ORIGINS=origins)
    process = start_app(environment, tmp_path_factory.mktemp("cors") / "log")
    process.wait_listening()
    yield process
    process.stop()


def preflight(app: Process, origin: str) -> Answer:
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET",
               "Access-Control-Request-Headers": "authorization"}
    return request(f"{app.url}/contents", headers=headers, method="OPTIONS")


def test_cors_lets_the_listed_origins_in(shared: Process) -> None:
    answer = preflight(shared, ALLOWED)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, ALLOWED)
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()
    plain = request(f"{shared.url}/health", headers={"Origin": ALLOWED})
    assert plain.headers["Access-Control-Allow-Origin"] == ALLOWED
    assert plain.headers["Access-Control-Allow-Credentials"] is None


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "null", f"{ALLOWED}.evil.example", "http://shop.example.com"]
)
def test_cors_keeps_every_other_origin_out(shared: Process, app: Process, origin: str) -> None:
    for process in (shared, app):
        for answer in (preflight(process, origin), request(f"{process.url}/health", headers={"Origin": origin})):
            assert answer.headers["Access-Control-Allow-Origin"] is None
    assert preflight(shared, origin).status == 400


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/nothing", 404), ("/contents", 401), ("/docs", 200)])
def test_security_headers_are_on_every_answer(app: Process, path: str, status: int) -> None:
    answer = request(app.url + path)
    assert answer.status == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Strict-Transport-Security"] is None
    secure = request(app.url + path, headers={"X-Forwarded-Proto": "https"})
    assert secure.headers["Strict-Transport-Security"].startswith("max-age=31536000")
