# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads in S3 and Supabase, against receivers that check what they are sent."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from clients import PNG, Client
from production.startup_orchestrator import EXIT_CODES
from receivers import Bucket, Receiver, Received, signed_for_s3
from servers import Process, request

Environment = Callable[..., dict[str, str]]
Start = Callable[[dict[str, str]], Process]


@dataclass
class Service:
    """A storage service and the variables that configure it."""

    name: str
    receiver: Receiver
    bucket: Bucket
    variables: dict[str, str]
    secret: str


def s3() -> tuple[Bucket, Callable[[str], dict[str, str]], str]:
    secret = secrets.token_hex(20)
    bucket = Bucket("/tria-uploads", signed_for_s3(secret), "PUT")
    return bucket, lambda url: {"S3_ENDPOINT_URL": url, "S3_BUCKET": "tria-uploads", "S3_REGION": "eu-central-1",
                                "S3_ACCESS_KEY_ID": "AKIA0TEST", "S3_SECRET_ACCESS_KEY": secret}, secret


def supabase() -> tuple[Bucket, Callable[[str], dict[str, str]], str]:
    secret = secrets.token_hex(20)

    def allowed(received: Received) -> bool:
        return (received.headers.get("apikey"), received.headers.get("authorization")) == (secret, f"Bearer {secret}")

    bucket = Bucket("/storage/v1/bucket/uploads", allowed, "POST")
    return bucket, lambda url: {"SUPABASE_URL": url, "SUPABASE_ANON_KEY": secret}, secret


@pytest.fixture(params=["s3", "supabase"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    bucket, variables, secret = {"s3": s3, "supabase": supabase}[request.param]()
    with Receiver(bucket) as receiver:
        values = {"BHIV_STORAGE_BACKEND": request.param, **variables(receiver.url)}
        yield Service(request.param, receiver, bucket, values, secret)


def test_upload_fetch_delete(service: Service, environment: Environment, start: Start) -> None:
    app = start(environment(**service.variables))
    app.wait_listening()
    client = Client(app).join()
    content = PNG + secrets.token_bytes(200_000)
    item = client.upload(content).body
    assert item["storage_backend"] == service.name
    assert list(service.bucket.objects.values()) == [content]
    assert client.call(item["url"]).body == content
    assert client.call(f"/contents/{item['id']}", method="DELETE").status == 204
    assert service.bucket.objects == {}
    document = request(f"{app.url}/storage/status").body
    assert (document["backend"], document["healthy"]) == (service.name, True)
    assert document["backends"][service.name]["active"] and document["backends"]["local"]["configured"]
    assert service.secret not in str(document)
    assert not [line for line in app.lines if service.secret in line]


def test_a_storage_that_fails_is_502_and_leaves_nothing(
    service: Service, environment: Environment, start: Start
) -> None:
    app = start(environment(**service.variables))
    app.wait_listening()
    client = Client(app).join()
    item = client.upload().body
    service.receiver.failing = True
    answers = [client.upload(), client.call(item["url"]), client.call(f"/contents/{item['id']}", method="DELETE"),
               client.call("/gdpr/delete-data", method="DELETE")]
    assert [(answer.status, answer.body["error"]) for answer in answers] == [(502, "storage_failed")] * 4
    assert client.call("/contents").body["total"] == 1
    status = request(f"{app.url}/storage/status").body
    assert status["healthy"] is False
    assert status["backends"][service.name]["error"] == f"{service.name}: answered with 500"
    service.receiver.failing = False
    assert client.call("/gdpr/delete-data", method="DELETE").body["contents"] == 1
    assert service.bucket.objects == {}


def test_the_application_does_not_start_without_its_storage(
    service: Service, environment: Environment, start: Start
) -> None:
    name = "S3_SECRET_ACCESS_KEY" if service.name == "s3" else "SUPABASE_ANON_KEY"
    app = start(environment(**{**service.variables, name: secrets.token_hex(20)}))
    assert app.wait_exit() == EXIT_CODES["components"]
    assert f"reason={service.name}: answered with 403" in app.lines[-1]


def test_a_folder_that_cannot_be_made_stops_the_start(environment: Environment, start: Start) -> None:
    app = start(environment(UPLOAD_PATH="/proc/uploads"))
    assert app.wait_exit() == EXIT_CODES["components"]


def test_after_a_change_of_backend_earlier_uploads_are_still_there(service: Service, environment: Environment,
                                                                   start: Start) -> None:
    variables = {**environment(), "JWT_SECRET_KEY": secrets.token_hex(32)}
    first = start(variables)
    first.wait_listening()
    client = Client(first).join()
    item = client.upload().body
    first.stop()
    second = start({**variables, **service.variables})
    second.wait_listening()
    client.app = second
    assert client.call(item["url"]).body == PNG
    assert client.upload().body["storage_backend"] == service.name


def test_supabase_auth_health(environment: Environment, start: Start, app: Process) -> None:
    assert request(f"{app.url}/users/supabase-auth-health").body == {"configured": False}
    with Receiver(lambda received: (200, b"{}")) as receiver:
        process = start(environment(SUPABASE_URL=receiver.url, SUPABASE_ANON_KEY="k" * 20))
        process.wait_listening()
        path = f"{process.url}/users/supabase-auth-health"
        assert request(path).body == {"configured": True, "healthy": True, "status": 200}
        assert receiver.requests[-1].path == "/auth/v1/health"
        receiver.failing = True
        assert request(path).body == {"configured": True, "healthy": False, "status": 500}
    assert request(path).body["healthy"] is False
