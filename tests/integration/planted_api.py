# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small API of the guide's shape in which every fault is a switch; it remembers what it holds and was asked."""

from __future__ import annotations

import contextlib
import email
import email.policy
import http.server
import json
import secrets
import threading
import time
import typing as t
import urllib.parse

METRICS = b"# TYPE requests_total counter\nrequests_total 1\n"


class PlantedApi(http.server.ThreadingHTTPServer):
    """`faults` are the switches. `accounts` has passwords by name, `uploads` (owner, content) by ID."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *faults: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.faults = set(faults)
        self.ready_at = 0.0
        self.accounts: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.uploads: dict[str, tuple[str, bytes]] = {}
        self.answers: dict[str, str] = {}
        self.secrets: list[str] = []  # every password and token there ever was
        self.asked: list[str] = []
        self.sign_ins = 0

    @property
    def is_empty(self) -> bool:
        return not self.accounts and not self.uploads

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Who declares more than is sent hangs up."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: PlantedApi

    def log_message(self, *_args: t.Any) -> None:
        """Not to the terminal."""

    def has(self, fault: str) -> bool:
        return fault in self.server.faults

    def answer(self, status: int, document: t.Any = None, **headers: str) -> None:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def serve(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        parts = urllib.parse.urlsplit(self.path).path.strip("/").replace("-", "_").split("/")
        if parts[0] == "contents" and len(parts) > 1:
            return self.content(*parts[1:])
        route = getattr(self, f"{self.command.lower()}_{'_'.join(parts)}", None)
        return route() if route else self.answer(404, {"error": "not_found"})

    do_GET = do_POST = do_DELETE = serve

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def signed_in(self) -> str:
        """Name of the account, "" after having refused."""
        token = self.headers.get("Authorization", "")[7:]
        if self.has("any token that begins like one"):
            token = next((one for one in self.server.tokens if token.startswith(one)), token)
        user = self.server.tokens.get(token, "")
        if not user:
            self.answer(401, {"error": "unauthorized"})
        return user

    # --- health -------------------------------------------------------------------------------------------------------

    def get_health(self) -> None:
        time.sleep(0.3 if self.has("slow health") else 0)
        self.answer(200, {"status": "alive"})

    get_api_v1_health_liveness = get_health

    def get_api_v1_health_readiness(self) -> None:
        healthy = not self.has("not ready") and time.monotonic() >= self.server.ready_at
        self.answer(200, {"status": "healthy", "overall_healthy": healthy, "services": {}})

    def get_health_detailed(self) -> None:
        self.answer(500 if self.has("no detailed health") else 200, {"status": "healthy"})

    def get_api_v1_health_diagnostics(self) -> None:
        self.answer(200, {"versions": {}})

    def get_docs(self) -> None:
        self.answer(404 if self.has("no documentation") else 200, b"<title>docs</title>")

    def get_metrics(self) -> None:
        self.answer(*((404, {}) if self.has("no metrics") else (200, METRICS)))

    def get_metrics_prometheus(self) -> None:
        self.answer(*((404, {}) if self.has("no prometheus") else (200, METRICS)))

    def get_metrics_performance(self) -> None:
        self.answer(200, b"no JSON" if self.has("no performance metrics") else {"http": {}})

    def get_observability_health(self) -> None:
        broken = {"configured": True, "active": False}
        absent = {"configured": False, "active": False}
        self.answer(200, {name: broken if self.has(f"broken {name}") else absent for name in ("sentry", "posthog")})

    def get_storage_status(self) -> None:
        cdn = {"configured": True, "healthy": False} if self.has("broken cdn") else {"configured": False}
        self.answer(200, {"backend": "local", "healthy": not self.has("broken storage"), "cdn": cdn})

    # --- accounts -----------------------------------------------------------------------------------------------------

    def limited(self) -> bool:
        self.server.sign_ins += 1
        if self.has("limited") and self.server.sign_ins == 2:
            self.answer(429, {"error": "rate_limited"}, Retry_After="1")
            return True
        return False

    def post_users_register(self) -> None:
        given = json.loads(self.body())
        if self.has("no registration"):
            return self.answer(500, {"error": "internal", "request": given})
        if not self.limited():
            self.server.accounts[given["username"]] = given["password"]
            self.server.secrets.append(given["password"])
            self.answer(201, {"username": given["username"]})

    def post_users_login(self) -> None:
        given = dict(urllib.parse.parse_qsl(self.body().decode()))
        user, password = given["username"], given["password"]
        self.server.secrets.append(password)
        if self.limited():
            return
        if self.has("first sign-in lost") and self.server.sign_ins == 2:
            return self.answer(503, {"error": "unavailable"})
        known = user in self.server.accounts
        if not known or (self.server.accounts[user] != password and not self.has("any password")):
            return self.answer(401, {"error": "unauthorized", "message": f"not {password}"})
        self.answer(200, {"access_token": self.token(user), "token_type": "bearer"})

    def token(self, user: str) -> str:
        token = ".".join(secrets.token_hex(10) for _part in range(3))
        self.server.tokens[token] = user
        self.server.secrets.append(token)
        return token

    def get_users_profile(self) -> None:
        if self.has("open profile") and "Authorization" not in self.headers:
            return self.answer(200, {"username": "anybody"})
        user = self.signed_in()
        if user:
            self.answer(200, {"username": user})

    def post_users_refresh(self) -> None:
        user = self.signed_in()
        if user:
            self.answer(200, {"access_token": "stale-token" if self.has("stale refresh") else self.token(user)})

    def post_users_logout(self) -> None:
        if self.signed_in():
            if not self.has("no logout"):
                del self.server.tokens[self.headers["Authorization"][7:]]
            self.answer(204, b"")

    # --- uploads ------------------------------------------------------------------------------------------------------

    def post_upload(self) -> None:
        nobody = self.has("open upload") and "Authorization" not in self.headers
        too_large = int(self.headers["Content-Length"]) > 2**20
        # Of what is too large, only as much is read as is really sent.
        body = self.rfile.read1(65536) if too_large else self.body()
        user = "nobody" if nobody else self.signed_in()
        if not user:
            return
        if too_large:
            self.close_connection = True
            return self.answer(*((201, {"id": "big"}) if self.has("any size") else (413, {"error": "too_large"})))
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        file = next(part for part in form.iter_parts() if part.get_filename())
        if not file.get_filename().endswith(".txt") and not self.has("any type"):
            return self.answer(415, {"error": "type_not_allowed"})
        key = secrets.token_hex(8)
        if not nobody:
            self.server.uploads[key] = (user, file.get_payload(decode=True))
        self.answer(201, {"id": key})

    def get_contents(self) -> None:
        user = self.signed_in()
        if user:
            mine = [key for key, (owner, _content) in self.server.uploads.items() if owner == user]
            self.answer(200, {"items": [] if self.has("empty listing") else [{"id": key} for key in mine]})

    def content(self, key: str, part: str = "") -> None:
        user = self.signed_in()
        if not user:
            return
        owner, content = self.server.uploads.get(key, ("", b""))
        if owner != user:
            self.answer(404, {"error": "not_found"})
        elif self.command == "DELETE":
            kept = self.has("first deletion lost") and self.server.asked.count(f"DELETE /contents/{key}") == 1
            if not kept:
                del self.server.uploads[key]
            self.answer(204, b"")
        else:
            self.answer(200, (content.strip() if self.has("other bytes") else content) if part else {"id": key})

    # --- personal data ------------------------------------------------------------------------------------------------

    def get_gdpr_privacy_policy(self) -> None:
        if not self.has("private policy") or self.signed_in():
            self.answer(200, {"purpose": "tests"})

    def get_gdpr_data_summary(self) -> None:
        user = self.signed_in()
        if user:
            self.answer(200, {"account": {"username": user}})

    def get_gdpr_export_data(self) -> None:
        user = self.signed_in()
        if user:
            mine = [{"id": key} for key, (owner, _content) in self.server.uploads.items() if owner == user]
            account = {} if self.has("export without account") else {"username": user}
            self.answer(200, {"account": account, "contents": [] if self.has("export without uploads") else mine})

    def delete_gdpr_delete_data(self) -> None:
        user = self.signed_in()
        if not user:
            return
        api = self.server
        if not self.has("account kept"):
            api.accounts.pop(user, None)
        api.uploads = {key: one for key, one in api.uploads.items() if one[0] != user}
        if not self.has("token kept"):
            api.tokens = {token: owner for token, owner in api.tokens.items() if owner != user}
        self.answer(200, {"deleted": True})

    # --- chatbot ------------------------------------------------------------------------------------------------------

    def post_api_chatbot(self) -> None:
        self.body()
        key = "" if self.has("forgetful chatbot") else self.headers["Idempotency-Key"]
        said = self.server.answers.setdefault(key, secrets.token_hex(8)) if key else secrets.token_hex(8)
        self.answer(200, {"response": said})


@contextlib.contextmanager
def planted_api(*faults: str) -> t.Iterator[PlantedApi]:
    """A running API with these faults."""
    with PlantedApi(*faults) as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()
