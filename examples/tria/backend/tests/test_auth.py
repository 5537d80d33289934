# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts and tokens: the whole way in, and every way to be refused."""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import jwt
import psycopg
import pytest

from clients import PASSWORD, Client
from servers import Process, request

PROTECTED = [
    ("GET", "/users/profile"), ("POST", "/users/refresh"), ("POST", "/users/logout"), ("POST", "/upload"),
    ("GET", "/contents"), ("GET", f"/contents/{uuid.uuid4()}"), ("GET", f"/contents/{uuid.uuid4()}/file"),
    ("DELETE", f"/contents/{uuid.uuid4()}"), ("GET", "/gdpr/export-data"), ("GET", "/gdpr/data-summary"),
    ("DELETE", "/gdpr/delete-data"),
]


@pytest.fixture(scope="module")
def client(app: Process) -> Client:
    return Client(app).join()


def test_login_token_protected_call(client: Client) -> None:
    body = urlencode({"username": client.username, "password": PASSWORD}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = request(f"{client.app.url}/users/login", body, headers)
    assert answer.status == 200
    assert (answer.body["token_type"], answer.body["expires_in"]) == ("bearer", 1800)
    assert answer.headers["Cache-Control"] == "no-store"
    token = answer.body["access_token"]
    profile = request(f"{client.app.url}/users/profile", headers={"Authorization": f"Bearer {token}"})
    assert profile.status == 200
    assert set(profile.body) == {"id", "username", "demo", "created_at"}
    assert (profile.body["username"], profile.body["demo"]) == (client.username, False)


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_protected_routes_are_401_without_a_token(app: Process, method: str, path: str) -> None:
    answer = request(app.url + path, headers={"Content-Type": "text/plain"}, method=method)
    assert (answer.status, answer.body["error"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def claims(client: Client, **changes: Any) -> dict[str, Any]:
    known = jwt.decode(client.token, options={"verify_signature": False})
    return {name: value for name, value in {**known, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - 60}, "the token has expired"),
        ({"exp": None}, "the token is not valid"),
        ({"jti": None}, "the token is not valid"),
        ({"iss": "another"}, "the token is not valid"),
        ({"aud": "another"}, "the token is not valid"),
        ({"sub": "not-an-id"}, "the token is not valid"),
        ({"sub": str(uuid.uuid4())}, "the account does not exist"),
    ],
)
def test_a_signed_token_with_a_wrong_claim_is_refused(client: Client, changes: dict[str, Any], reason: str) -> None:
    token = jwt.encode(claims(client, **changes), client.app.environment["JWT_SECRET_KEY"], "HS256")
    answer = Client(client.app, token=token).call("/users/profile")
    assert (answer.status, answer.body["message"]) == (401, reason)
    assert f'error_description="{reason}"' in answer.headers["WWW-Authenticate"]


def test_a_forged_token_is_refused(client: Client) -> None:
    def part(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    body = claims(client)
    forged = [
        jwt.encode(body, secrets.token_hex(32), "HS256"),
        jwt.encode(body, client.app.environment["JWT_SECRET_KEY"], "HS512"),
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(body)}.",
        client.token[:-4],
        "x",
    ]
    for token in forged:
        assert Client(client.app, token=token).call("/users/profile").status == 401


def test_a_token_is_void_after_logout_and_refresh(app: Process) -> None:
    client = Client(app).join()
    fresh = client.call("/users/refresh", method="POST")
    assert fresh.status == 200
    assert client.call("/users/profile").body["message"] == "the token was revoked"
    renewed = Client(app, client.username, fresh.body["access_token"])
    assert renewed.call("/users/logout", method="POST").status == 204
    assert renewed.call("/users/profile").status == 401


def test_wrong_passwords_and_unknown_users_are_told_the_same(client: Client) -> None:
    cases = [(client.username, "wrong password!"), ("nobody-at-all", PASSWORD), ("nul\x00", PASSWORD),
             (client.username, ""), ("ünknown", PASSWORD)]
    for username, password in cases:
        answer = request(f"{client.app.url}/users/login-json", {"username": username, "password": password})
        assert (answer.status, answer.body["message"]) == (401, "user name or password is wrong"), username
    assert "auth_failed_logins_total" in request(f"{client.app.url}/metrics").body


@pytest.mark.parametrize(
    ("username", "password"),
    [("ab", PASSWORD), ("../etc", PASSWORD), ("x" * 65, PASSWORD), ("short-password", "eleven char"),
     ("long-password", "x" * 129)],
)
def test_an_invalid_registration_is_refused(app: Process, username: str, password: str) -> None:
    answer = request(f"{app.url}/users/register", {"username": username, "password": password})
    assert answer.status == 422
    assert password not in json.dumps(answer.body)


def test_a_user_name_is_taken_once(client: Client) -> None:
    answer = request(f"{client.app.url}/users/register", {"username": client.username, "password": PASSWORD})
    assert answer.status == 409


def test_passwords_are_stored_as_hashes(client: Client, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT password_hash FROM users WHERE username = %s", [client.username]).fetchone()
    assert row is not None and row[0].startswith("scrypt$16384$8$5$") and PASSWORD not in row[0]


def test_the_demo_login_makes_an_account_of_its_own(app: Process) -> None:
    assert request(f"{app.url}/demo-login").body == {"available": True, "method": "POST", "expires_in": 1800}
    first, second = (request(f"{app.url}/demo-login", b"").body for _attempt in range(2))
    assert first["user"]["id"] != second["user"]["id"]
    demo = Client(app, token=first["access_token"])
    assert demo.call("/users/profile").body["demo"] is True
    assert request(f"{app.url}/users/login-json",
                   {"username": first["user"]["username"], "password": "any password at all"}).status == 401


def test_old_demo_accounts_are_swept_with_their_files(app: Process, owner_url: str) -> None:
    made = request(f"{app.url}/demo-login", b"").body
    demo = Client(app, token=made["access_token"])
    item = demo.upload().body
    assert (app.log.parent / "uploads" / item["id"]).is_file()
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE users SET created_at = now() - interval '25 hours' WHERE id = %s",
                           [made["user"]["id"]])
    request(f"{app.url}/demo-login", b"")
    assert demo.call("/contents").status == 401
    assert not (app.log.parent / "uploads" / item["id"]).exists()


def test_debug_shows_what_becomes_of_a_token(client: Client) -> None:
    assert request(f"{client.app.url}/debug-auth").body == {
        "authenticated": False, "token_sent": False, "algorithm": "HS256",
    }
    document = client.call("/debug-auth").body
    assert document["authenticated"] is True and document["user"]["username"] == client.username
    broken = Client(client.app, token="x.y.z").call("/debug-auth").body
    assert (broken["authenticated"], broken["reason"]) == (False, "the token is not valid")
    assert client.app.environment["JWT_SECRET_KEY"] not in json.dumps(document)


def test_production_hides_debug_and_demo_is_off_by_default(environment: Callable[..., dict[str, str]],
                                                           start: Callable[[dict[str, str]], Process]) -> None:
    app = start(environment(ENVIRONMENT="production", ENABLE_DEMO_LOGIN=None))
    app.wait_listening()
    assert request(f"{app.url}/debug-auth").status == 404
    assert "/debug-auth" not in request(f"{app.url}/openapi.json").body["paths"]
    assert request(f"{app.url}/demo-login").status == 404
    assert request(f"{app.url}/demo-login", b"").status == 404
