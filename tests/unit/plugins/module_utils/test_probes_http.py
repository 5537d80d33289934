# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind http: every expectation, with the answer that breaks it."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import time

import pytest
from probe_peers import drip, free_port, http_server, look, server, silence

from ansible_collections.tria.production.plugins.module_utils._probes import _expect

READY = json.dumps({"overall_healthy": True, "services": {"database": {"healthy": True}}, "list": [{"n": 1}]})


def test_good_answer():
    with http_server((200, READY)) as port:
        seen = look("http", url=f"http://127.0.0.1:{port}/x", json={"overall_healthy": True}, contains="services")
    assert (seen.status, seen.data["status_code"]) == ("pass", 200)


@pytest.mark.parametrize(
    "answer, options, expected",
    [
        ((503, "starting"), {}, "status 503 instead of 200"),
        ((302, "", ["Location: /y"]), {}, "status 302 instead of 200"),
        ((200, "no"), {"contains": "yes"}, "the body does not contain 'yes'"),
        ((200, "no"), {"json": {"a": 1}}, "the body is not JSON"),
        ((200, READY), {"json": {"overall_healthy": False}}, "overall_healthy is true instead of false"),
        ((200, READY), {"json": {"services.database.healthy": False}}, "services.database.healthy is true"),
        ((200, READY), {"json": {"services": {"cache": {"healthy": True}}}}, "services.cache is missing"),
        ((200, READY), {"json": {"overall_healthy": 1}}, "overall_healthy is true instead of 1"),
        ((200, READY), {"json": {"list.0.n": 2}}, "list.0.n is 1 instead of 2"),
        ((200, "[]"), {"json": {"a": 1}}, "instead of"),
        ((200, "x"), {"response_headers": {"X-Frame-Options": "DENY"}}, "header X-Frame-Options is None"),
        ((200, "x" * 101), {"max_body_bytes": 100}, "larger than 100 bytes"),
    ],
)
def test_each_expectation_is_held(answer, options, expected):
    with http_server(answer) as port:
        seen = look("http", url=f"http://127.0.0.1:{port}/", **options)
    assert seen.status == "fail" and expected in seen.message and not seen.permanent


def test_all_shortfalls_are_told_at_once_with_the_body():
    with http_server((500, "password=hunter22")) as port:
        seen = look("http", url=f"http://127.0.0.1:{port}/", contains="ok", secrets=["hunter22"])
    assert "status 500" in seen.message and "does not contain" in seen.message
    assert "hunter22" not in str(seen)


def test_request_as_asked_for():
    requests = []
    with http_server((201, "{}"), requests=requests) as port:
        options = {"method": "POST", "headers": {"Idempotency-Key": "k1"}, "body": {"message": "hi"}, "status": [201]}
        login = {"url_username": "me", "url_password": "secret"}
        seen = look("http", url=f"http://127.0.0.1:{port}/chat?x=1", **login, **options)
    assert seen.status == "pass"
    head, body = requests[0]
    assert head.startswith("POST /chat?x=1 HTTP/1.1") and "Idempotency-Key: k1" in head
    assert "Authorization: Basic bWU6c2VjcmV0" in head and json.loads(body) == {"message": "hi"}


def test_idempotent_finds_a_different_second_answer():
    options = {"method": "POST", "body": "x", "idempotent": True}
    with http_server((200, '{"id": 1}')) as port:
        assert look("http", url=f"http://127.0.0.1:{port}/", **options).status == "pass"
    with http_server((200, '{"id": 1}'), (200, '{"id": 2}')) as port:
        seen = look("http", url=f"http://127.0.0.1:{port}/", **options)
    assert seen.status == "fail" and "another answer the second time" in seen.message


def test_check_mode_sends_nothing_that_may_change_something():
    seen = look("http", check_mode=True, url=f"http://127.0.0.1:{free_port()}/", method="POST")
    assert seen.status == "skip" and "not sent in check mode" in seen.message


def test_redirects_are_followed_only_when_asked_and_without_the_secrets():
    requests = []
    with http_server((200, "there"), requests=requests) as other:
        with http_server((302, "", [f"Location: http://127.0.0.1:{other}/there"])) as port:
            options = {"url": f"http://127.0.0.1:{port}/", "headers": {"Authorization": "Bearer abcdef"}}
            assert look("http", follow_redirects="safe", **options).status == "pass"
            assert look("http", follow_redirects="safe", method="POST", **options).status == "fail"
    assert "Bearer" not in requests[0][0]
    with http_server((301, "", ["Location: /again"])) as port:
        seen = look("http", url=f"http://127.0.0.1:{port}/", follow_redirects="all")
    assert "more than 5 redirects" in seen.message


def test_wrong_password_is_final_only_when_one_was_given():
    with http_server((401, "")) as port:
        assert look("http", url=f"http://127.0.0.1:{port}/", url_password="wrong").permanent
        assert not look("http", url=f"http://127.0.0.1:{port}/").permanent


@pytest.mark.parametrize("behaviour", [silence, drip])
def test_a_server_that_never_finishes_costs_the_timeout_and_no_more(behaviour):
    with server(behaviour) as port:
        begun = time.monotonic()
        seen = look("http", url=f"http://127.0.0.1:{port}/", timeout=0.4)
        assert 0.3 < time.monotonic() - begun < 1.2
    assert seen.status == "fail" and "no answer within 0.4 s" in seen.message


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_broken_answers(answer):
    def handle(connection):
        connection.recv(65536)
        connection.sendall(answer)

    with server(handle) as port:
        seen = look("http", url=f"http://127.0.0.1:{port}/")
    assert seen.status == "fail" and seen.phase == "response"


def test_refused_unknown_and_impossible():
    assert look("http", url=f"http://127.0.0.1:{free_port()}/").phase == "connect"
    seen = look("http", url="http://name.invalid/")
    assert "does not resolve" in seen.message and not seen.permanent
    assert look("http", url="ftp://me:hunter22@127.0.0.1/").permanent
    assert "hunter22" not in look("http", url="ftp://me:hunter22@127.0.0.1/").message


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with http_server((200, "x")) as port:
        assert look("http", url=f"http://127.0.0.1:{port}/").status == "pass"


def test_certificates_are_verified(tmp_path):
    assert shutil.which("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def handle(connection):
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with server(handle) as port:
        url = f"https://localhost:{port}/"
        seen = look("http", url=url)
        assert seen.permanent and "certificate of localhost is not valid" in seen.message
        assert look("http", url=url, ca_path=str(certificate)).status == "pass"
        assert look("http", url=url, validate_certs=False).status == "pass"
        seen = look("http", url=f"https://127.0.0.1:{port}/", ca_path=str(certificate))
        assert seen.permanent
        assert look("http", url=url, ca_path=str(tmp_path / "none.pem")).permanent


def test_differences_of_equal_documents():
    assert _expect.differences({"a": {"b": [1, 2]}, "c": None}, {"a": {"b": [1, 2], "x": 1}, "c": None}) == []


def test_json_that_is_nested_too_deeply_is_no_json():
    with http_server((200, "[" * 100000)) as port:
        seen = look("http", url=f"http://127.0.0.1:{port}/", json={"a": 1})
    assert seen.status == "fail" and "not JSON" in seen.message


def test_no_part_of_a_secret_is_left_where_a_body_is_cut():
    secret = "abcdefgh-12345678"
    with http_server((500, "x" * 495 + secret)) as port:
        seen = look("http", url=f"http://127.0.0.1:{port}/", secrets=[secret])
    assert seen.data["body"] == "x" * 495 + "*****"


def test_an_answer_that_comes_before_the_body_was_taken_is_heard():
    def refuse(connection):
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 413 X\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")

    with server(refuse) as port:
        for _time in range(5):
            seen = look("http", url=f"http://127.0.0.1:{port}/", method="POST", body="x" * 8_000_000, status=[413])
            assert seen.status == "pass", seen.message
