# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small service with login, cookies and uploads for the tests of flows; it remembers what it was asked."""

from __future__ import annotations

import contextlib
import email
import email.policy
import http.server
import json
import secrets
import threading
import time
import urllib.parse

PASSWORD = "pass-1234"


class Shop(http.server.ThreadingHTTPServer):
    """`files` is what it holds; `asked` every request line, `bodies` and `sent_headers` what came with them."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked, self.bodies, self.sent_headers = [], [], []
        self.tokens, self.sessions, self.files = set(), set(), {}
        self.failures = 0  # how many requests for /flaky fail
        self.slow, self.slow_upload = 0.05, 0.0  # s
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.asked_for = threading.Condition(self.lock)

    def wait_for(self, request, timeout=5):
        """Until a request of that start has come; False when it does not."""
        with self.asked_for:
            return self.asked_for.wait_for(lambda: any(one.startswith(request) for one in self.asked), timeout)

    def handle_error(self, request, client_address):
        """Clients of these tests hang up when they like."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_args):
        """Not to the terminal."""

    def _serve(self):
        shop = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with shop.asked_for:
            shop.asked.append(f"{self.command} {self.path}")
            shop.bodies.append(body)
            shop.sent_headers.append(dict(self.headers))
            shop.at_once += 1
            shop.most_at_once = max(shop.at_once, shop.most_at_once)
            shop.asked_for.notify_all()
        route = urllib.parse.urlsplit(self.path)
        name = route.path.strip("/").split("/")[0] or "index"
        getattr(self, f"do_{name.replace('-', '_')}")(route, body)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _answer(self, status, document=None, **headers):
        with self.server.lock:  # before a byte of it is sent: a client that has it all may ask again at once
            self.server.at_once -= 1
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for key, value in headers.items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(key.replace("_", "-"), one)
        self.end_headers()
        self.wfile.write(content)

    def _known(self):
        return self.headers.get("Authorization", "")[7:] in self.server.tokens

    def do_login(self, _route, body):
        given = json.loads(body)
        if given.get("password") != PASSWORD:
            return self._answer(401, {"detail": "bad credentials"})
        token, session = secrets.token_hex(20), secrets.token_hex(20)
        self.server.tokens.add(token)
        self.server.sessions.add(session)
        self._answer(
            200, {"access_token": token, "user": {"name": given.get("username"), "id": 4711}},
            Set_Cookie=[f"session={session}; HttpOnly; Path=/", "hidden=1; Path=/elsewhere", "safe=1; Secure"],
        )

    def do_me(self, _route, _body):
        self._answer(200 if self._known() else 401, {"known": self._known()})

    def do_cookies(self, _route, _body):
        self._answer(200, {"cookie": self.headers.get("Cookie", "")})

    def do_logout(self, _route, _body):
        self._answer(200, {}, Set_Cookie="session=; Max-Age=0; Path=/")

    def do_files(self, route, body):
        shop, name = self.server, urllib.parse.unquote(route.path[7:])
        if self.command == "POST":
            time.sleep(shop.slow_upload)
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            form = email.message_from_bytes(head + body, policy=email.policy.HTTP)
            parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
            key = parts["key"].get_content().strip() if "key" in parts else secrets.token_hex(4)
            shop.files[key] = (parts["file"].get_filename(), parts["file"].get_content_type(),
                               parts["file"].get_payload(decode=True))
            self._answer(201, {"id": key}, Location=f"/files/{key}")
        elif name not in shop.files:
            self._answer(404, {"detail": "no such file"})
        elif self.command == "DELETE":
            del shop.files[name]
            self._answer(204, b"")
        else:
            self._answer(200, shop.files[name][2], Content_Type=shop.files[name][1])

    def do_flaky(self, _route, _body):
        with self.server.lock:
            self.server.failures -= 1
            failing = self.server.failures >= 0
        self._answer(503 if failing else 200, {"failing": failing})

    def do_slow(self, _route, _body):
        time.sleep(self.server.slow)
        self._answer(200, {})

    def do_echo(self, route, body):
        query = dict(urllib.parse.parse_qsl(route.query))
        self._answer(200, {"path": route.path, "query": query, "body": body.decode()})

    def do_redirect(self, route, _body):
        query = dict(urllib.parse.parse_qsl(route.query))
        self._answer(int(query.get("status", 302)), {}, Location=query["to"])


@contextlib.contextmanager
def shop():
    """A running service; yields the server."""
    with Shop() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


LOGIN = {
    "name": "login", "path": "/login", "method": "POST", "body": {"username": "${user}", "password": "${password}"},
    "capture": {"token": {"json": "access_token"}},
}
UPLOAD = {
    "name": "upload", "path": "/files", "method": "POST", "body_format": "form-multipart", "status": [201],
    "body": {"key": "check-${random}", "file": {"content": "hello", "filename": "a.txt"}},
    "capture": {"id": {"json": "id"}},
}
DELETE = {"name": "delete", "path": "/files/${id}", "method": "DELETE", "status": [204]}
START = {"user": "check-1", "password": PASSWORD}
