# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rights of data subjects: informed, given everything, erased without a trace."""

from __future__ import annotations

import json
import secrets

import psycopg
import pytest
from redis import Redis

from clients import PNG, Client
from servers import Process, request


@pytest.fixture
def client(app: Process) -> Client:
    """An account with two files and a conversation."""
    client = Client(app).join()
    client.upload(PNG, "one.png", title="first")
    client.upload(b"words", "two.txt")
    for message in ("Do you have paper straws?", "And what do they cost?"):
        key = {"Idempotency-Key": secrets.token_hex(8)}
        assert client.call("/api/chatbot", {"message": message, "user_id": "test"}, **key).status == 200
    return client


def traces(user_id: str, owner_url: str, redis_url: str) -> list[str]:
    """Every place that still holds something of an account."""
    found = []
    with psycopg.connect(owner_url) as connection:
        for query in ("SELECT 1 FROM users WHERE id::text = %s", "SELECT 1 FROM contents WHERE user_id::text = %s",
                      "SELECT 1 FROM conversations WHERE user_id = '@' || %s",
                      "SELECT 1 FROM messages m JOIN conversations c ON c.id = m.conversation_id "
                      "WHERE c.user_id = '@' || %s"):
            found += [query] if connection.execute(query, [user_id]).fetchone() else []
    with Redis.from_url(redis_url) as redis:
        found += [name.decode() for name in redis.scan_iter(f"*{user_id}*")]
    return found


def test_the_policy_says_what_the_law_asks_for(app: Process) -> None:
    policy = request(f"{app.url}/gdpr/privacy-policy").body
    assert set(policy) == {"version", "controller", "purpose", "legal_basis", "data", "retention", "recipients",
                           "rights"}
    assert {"GET /gdpr/export-data", "DELETE /gdpr/delete-data"} == set(policy["rights"].values())
    assert not [line for line in policy["recipients"] if "Sentry" in line or "PostHog" in line]


def test_the_export_is_complete(client: Client, owner_url: str) -> None:
    document = client.call("/gdpr/export-data").body
    assert set(document) == {"account", "contents", "conversations", "running_conversation"}
    assert document["account"] == client.call("/users/profile").body
    assert document["contents"] == client.call("/contents").body["items"]
    assert {item["filename"] for item in document["contents"]} == {"one.png", "two.txt"}
    assert [client.call(item["url"]).status for item in document["contents"]] == [200, 200]
    (conversation,) = document["conversations"]
    assert [message["role"] for message in conversation["messages"]] == ["user", "assistant"] * 2
    assert conversation["messages"][0]["content"] == "Do you have paper straws?"
    assert [message["content"] for message in document["running_conversation"]] == [
        message["content"] for message in conversation["messages"]
    ]
    with psycopg.connect(owner_url) as connection:
        columns = connection.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'users'")
        stored = {row[0] for row in columns}
    assert stored - {"password_hash"} == set(document["account"])
    assert "scrypt" not in json.dumps(document)
    assert client.call("/gdpr/data-summary").body == {
        "account": document["account"], "contents": 2, "conversations": 1, "messages": 4,
    }


def test_after_the_erasure_nothing_is_left(client: Client, owner_url: str, redis_url: str) -> None:
    user_id = client.call("/users/profile").body["id"]
    folder = client.app.log.parent / "uploads"
    files = [folder / item["id"] for item in client.call("/contents").body["items"]]
    assert len(files) == 2 and all(path.is_file() for path in files)
    # Four tables, two idempotency keys.
    assert len(traces(user_id, owner_url, redis_url)) >= 6
    answer = client.call("/gdpr/delete-data", method="DELETE")
    assert answer.body == {"deleted": True, "account": 1, "contents": 2, "conversations": 1, "messages": 4}
    assert traces(user_id, owner_url, redis_url) == []
    assert not [path for path in files if path.exists()]
    assert client.call("/users/profile").status == 401
    assert client.call("/gdpr/export-data").status == 401
    assert request(f"{client.app.url}/users/login-json",
                   {"username": client.username, "password": "correct horse battery"}).status == 401


def test_another_account_keeps_everything(client: Client) -> None:
    other = Client(client.app).join()
    other.upload()
    client.call("/gdpr/delete-data", method="DELETE")
    assert other.call("/contents").body["total"] == 1


def test_nobody_passes_for_an_account_in_the_chatbot(client: Client) -> None:
    user_id = client.call("/users/profile").body["id"]
    answer = request(f"{client.app.url}/api/chatbot", {"message": "hello", "user_id": f"@{user_id}"})
    assert answer.status == 422
    body = {"message": "hello", "user_id": "test"}
    assert request(f"{client.app.url}/api/chatbot", body, {"Authorization": "Bearer x.y.z"}).status == 401
