# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads to the local storage: in, listed, out, deleted; everything that is refused."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from clients import PNG, Client, form
from servers import BACKEND, Process, request

SAMPLES = [
    ("a.png", PNG, "image/png"), ("a.jpeg", b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg"),
    ("a.gif", b"GIF89a" + bytes(20), "image/gif"), ("a.webp", b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
    ("a.pdf", b"%PDF-1.7\n", "application/pdf"), ("a.mp4", b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
    ("a.txt", "Grüße\n".encode(), "text/plain"), ("A.CSV", b"a,b\n1,2\n", "text/csv"),
]


@pytest.fixture(scope="module")
def client(app: Process) -> Client:
    return Client(app).join()


def stored(app: Process) -> list[str]:
    return sorted(path.name for path in app.log.parent.glob("uploads/*") if path.is_file())


@pytest.mark.parametrize(("name", "content", "content_type"), SAMPLES)
def test_upload_fetch_delete(client: Client, name: str, content: bytes, content_type: str) -> None:
    answer = client.upload(content, name, title="  A title ")
    assert answer.status == 201
    item = answer.body
    assert (item["filename"], item["title"], item["content_type"]) == (name, "A title", content_type)
    assert (item["size"], item["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert item["storage_backend"] == "local" and item["id"] in stored(client.app)
    assert client.call(f"/contents/{item['id']}").body == item
    raw = client.call(item["url"])
    assert (raw.status, raw.headers["Content-Type"].split(";")[0]) == (200, content_type)
    assert raw.headers["Content-Disposition"].startswith("attachment")
    assert raw.headers["X-Content-Type-Options"] == "nosniff"
    assert raw.body in (content, content.decode("utf-8", "replace"))
    assert client.call(f"/contents/{item['id']}", method="DELETE").status == 204
    assert client.call(f"/contents/{item['id']}").status == 404
    assert client.call(item["url"]).status == 404
    assert item["id"] not in stored(client.app)


def test_contents_are_listed_by_page_the_newest_first(app: Process) -> None:
    client = Client(app).join()
    assert client.call("/contents").body == {"items": [], "total": 0, "limit": 20, "offset": 0}
    ids = [client.upload().body["id"] for _attempt in range(3)]
    page = client.call("/contents?limit=2&offset=1").body
    assert (page["total"], [item["id"] for item in page["items"]]) == (3, [ids[1], ids[0]])
    assert client.call("/contents?limit=101").status == 422
    assert client.call("/contents?offset=-1").status == 422


def test_another_account_sees_nothing(client: Client) -> None:
    item, other = client.upload().body, Client(client.app).join()
    assert other.call("/contents").body["total"] == 0
    for method, path in (("GET", ""), ("GET", "/file"), ("DELETE", "")):
        assert other.call(f"/contents/{item['id']}{path}", method=method).status == 404
    assert client.call(item["url"]).status == 200


@pytest.mark.parametrize(
    ("name", "content", "status", "error"),
    [
        ("tool.exe", b"MZ\x90\x00", 415, "type_not_allowed"),
        ("page.html", b"<script>alert(1)</script>", 415, "type_not_allowed"),
        ("drawing.svg", b"<svg onload='alert(1)'/>", 415, "type_not_allowed"),
        ("none", PNG, 415, "type_not_allowed"),
        ("picture.png.exe", PNG, 415, "type_not_allowed"),
        ("picture.png", b"MZ\x90\x00", 415, "type_mismatch"),
        ("picture.png", b"<html></html>", 415, "type_mismatch"),
        ("notes.txt", b"\x7fELF\x02\x01\x01\x00", 415, "type_mismatch"),
        ("picture.jpg", PNG, 415, "type_mismatch"),
        ("../../etc/cron.d/x.png", PNG, 422, "invalid_filename"),
        ("..\\\\..\\\\x.png", PNG, 422, "invalid_filename"),
        ("/etc/x.png", PNG, 422, "invalid_filename"),
        (".htaccess.png", PNG, 422, "invalid_filename"),
        ("x\x00.png", PNG, 422, "invalid_filename"),
        ("x" * 201 + ".png", PNG, 422, "invalid_filename"),
        ("empty.png", b"", 422, "empty_file"),
    ],
)
def test_a_file_that_may_not_be_uploaded(client: Client, name: str, content: bytes, status: int, error: str) -> None:
    before = stored(client.app)
    answer = client.upload(content, name)
    assert (answer.status, answer.body["error"]) == (status, error)
    assert stored(client.app) == before


def test_malformed_forms_are_refused(client: Client) -> None:
    body, headers = form(PNG)
    assert client.call("/upload", b"").status == 422
    assert client.call("/upload", {"file": "text"}).status == 422
    renamed = body.replace(b'name="file"', b'name="data"')
    assert client.call("/upload", renamed, **headers).body["error"] == "file_missing"
    assert client.call("/upload", body, **{"Content-Type": "multipart/form-data"}).status == 400
    assert client.call("/upload", body + body.replace(b"\r\n", b""), **headers).status in (201, 400)
    assert client.upload(PNG, title="x" * 201).body["error"] == "invalid_title"
    assert client.call("/contents/not-an-id").status == 422


@pytest.fixture
def small(environment: Callable[..., dict[str, str]], start: Callable[[dict[str, str]], Process]) -> Client:
    """An application that takes files of one megabyte."""
    app = start(environment(MAX_UPLOAD_SIZE_MB="1"))
    app.wait_listening()
    return Client(app).join()


def test_the_greatest_upload_is_taken_and_one_byte_more_is_not(small: Client) -> None:
    assert small.upload(PNG + bytes(2**20 - len(PNG))).status == 201
    answer = small.upload(PNG + bytes(2**20 - len(PNG) + 1))
    assert (answer.status, answer.body["error"]) == (413, "too_large")
    assert len(stored(small.app)) == 1


def test_what_announces_too_much_is_refused_before_it_is_read(small: Client) -> None:
    head = (f"POST /upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {small.token}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 99000000\r\n\r\n")
    with socket.create_connection(("127.0.0.1", small.app.port), 5) as connection:
        connection.sendall(head.encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


def test_a_body_of_unknown_length_is_cut_off(small: Client) -> None:
    head = (f"POST /upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {small.token}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n")
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG
    block = bytes(16384)
    with socket.create_connection(("127.0.0.1", small.app.port), 10) as connection:
        connection.sendall(head.encode() + f"{len(part):x}\r\n".encode() + part + b"\r\n")
        for _attempt in range(70):
            connection.sendall(f"{len(block):x}\r\n".encode() + block + b"\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 413")
    assert stored(small.app) == []


def test_nothing_is_received_without_a_token(app: Process) -> None:
    head = ("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n")
    with socket.create_connection(("127.0.0.1", app.port), 5) as connection:
        connection.sendall(head.encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 401")


def test_a_file_that_the_storage_lost_is_404(client: Client) -> None:
    item = client.upload().body
    next(client.app.log.parent.glob(f"uploads/{item['id']}")).unlink()
    answer = client.call(item["url"])
    assert (answer.status, answer.body["error"]) == (404, "content_lost")
    assert client.call(f"/contents/{item['id']}", method="DELETE").status == 204


def test_storage_status(client: Client) -> None:
    document = request(f"{client.app.url}/storage/status").body
    assert set(document) == {"backend", "healthy", "max_upload_size_mb", "backends", "cdn"}
    assert (document["backend"], document["healthy"], document["max_upload_size_mb"]) == ("local", True, 100)
    local = document["backends"]["local"]
    assert local["configured"] and local["active"] and local["healthy"] and local["free_bytes"] > 0
    assert document["backends"]["s3"] == {"configured": False, "active": False}
    assert document["backends"]["supabase"] == {"configured": False, "active": False}
    assert str(uuid.UUID(client.call("/users/profile").body["id"])) not in str(document)


# Begins an upload to the folder in its argument, says so, and does not get to its end.
_UPLOADING = """
import asyncio, sys, time, uuid
from storage.base import Upload
from storage.local import LocalStorage

class Endless:
    def seek(self, position):
        self.chunks = iter([b"first"])
    def read(self, size):
        for chunk in self.chunks:
            return chunk
        print("writing", flush=True)
        time.sleep(60)

upload = Upload(Endless(), 2**20, "", "text/plain")
asyncio.run(LocalStorage(sys.argv[1]).put(str(uuid.uuid4()), upload))
"""


def uploading(folder: Path) -> subprocess.Popen[bytes]:
    """A process in the middle of an upload to a folder."""
    environment = {**os.environ, "PYTHONPATH": str(BACKEND / "src")}
    process = subprocess.Popen([sys.executable, "-c", _UPLOADING, str(folder)], env=environment, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"writing\n"
    return process


def test_what_a_killed_process_left_unfinished_is_removed_at_the_next_start(
    environment: Callable[..., dict[str, str]], start: Callable[[dict[str, str]], Process], tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / str(uuid.uuid4())).write_bytes(PNG)
    with uploading(folder) as killed:
        killed.kill()
    left = list(folder.glob(".partial-*"))
    with uploading(folder) as alive:
        app = start(environment(UPLOAD_PATH=str(folder)))
        app.wait_listening()
        unfinished = list(folder.glob(".partial-*"))
        alive.kill()
    # The one whose writer lives is another replica's: it stays.
    assert len(left) == len(unfinished) == 1 and left != unfinished
    assert len(list(folder.glob("[!.]*"))) == 1
    assert any("1 unfinished uploads" in line for line in app.lines)
