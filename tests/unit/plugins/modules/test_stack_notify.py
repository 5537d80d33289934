# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`stack_notify` from its arguments to its JSON: whatever the receiver does, it is told and nothing fails."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import socket
import threading

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.modules import stack_notify

SECRET = "T000/B000/CANARY0815"


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed; the secret is never in it."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        stack_notify.main()
    output = capsys.readouterr().out
    assert "CANARY" not in output
    return ended.value.code, json.loads(output)


@contextlib.contextmanager
def receiver(status=200, headers=()):
    """An HTTP server that answers every POST so; yields its port and the requests: (path, headers, body)."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format, *args):
            """No words about requests."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port, got
        finally:
            server.shutdown()
            thread.join()


def test_delivery(capsys):
    with receiver() as (port, got):
        code, result = run(capsys, url=f"http://127.0.0.1:{port}/{SECRET}", stack="shop")
    assert (code, result["changed"], result["sent"], result["status"], result["reason"]) == (0, False, True, 200, "")
    [(path, headers, body)] = got
    assert path == f"/{SECRET}" and headers["Content-Type"] == "application/json"
    assert json.loads(body)["text"] == "❌ shop: deploy NOT_READY" and "warnings" not in result


def test_a_user_in_the_url(capsys):
    with receiver() as (port, got):
        assert run(capsys, url=f"http://me:CANARY@127.0.0.1:{port}/x", format="json")[1]["sent"]
    assert got[0][1]["Authorization"] == "Basic " + base64.b64encode(b"me:CANARY").decode()
    assert json.loads(got[0][2])["event"] == "deploy"


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
def test_another_answer(capsys, status):
    with receiver() as (elsewhere, redirected):
        with receiver(status, [("Location", f"http://127.0.0.1:{elsewhere}/{SECRET}")]) as (port, _got):
            code, result = run(capsys, url=f"http://127.0.0.1:{port}/{SECRET}")
    assert (code, result["sent"], result["status"]) == (0, False, status) and not redirected
    assert f"the webhook answered {status}" in result["reason"] and ("redirect" in result["reason"]) is (status < 400)
    [warning] = result["warnings"]
    assert f"The notification was not sent: {result['reason']}." in json.dumps(warning)


def test_silence(capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, result = run(capsys, url=f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}", timeout=0.3)
    assert (code, result["sent"], result["status"], result["reason"]) == (0, False, 0, "no answer within 0.3 s")


def test_nobody_there(capsys):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    code, result = run(capsys, url=f"http://127.0.0.1:{port}/{SECRET}")
    assert code == 0 and result["reason"] == f"cannot connect to 127.0.0.1 port {port}: Connection refused"


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://hooks.example.com/{SECRET}",
        SECRET,
        f"https://hooks.example.com/a b/{SECRET}",
        f"http://[::1/{SECRET}",
        f"http://hooks:x/{SECRET}",
        f"http:///{SECRET}",
        f"https://hooks.example.com/é{SECRET}",
        f"https://hooks.example.com/\r\nX: {SECRET}",
    ],
)
def test_no_url(capsys, url):
    code, result = run(capsys, url=url)
    assert (code, result["sent"], result["reason"]) == (0, False, "the webhook's URL is none of HTTP")


def test_a_server_that_repeats_what_it_got(capsys):
    def echo(server):
        connection, _peer = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(f"POST /{SECRET} HTTP/9 what?\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=echo, args=(server,))
        thread.start()
        code, result = run(capsys, url=f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}")
        thread.join()
    assert code == 0 and not result["sent"] and "no valid HTTP answer" in result["reason"]


def test_check_mode(capsys):
    with receiver() as (port, got):
        code, result = run(capsys, True, url=f"http://127.0.0.1:{port}/{SECRET}")
    assert (code, result["sent"], got) == (0, False, []) and "warnings" not in result
