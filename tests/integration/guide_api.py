# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An API of the guide's shape in this process, good but for the faults that are planted in it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import pathlib
import secrets
import ssl
import subprocess
import threading
import time

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
EXPOSITION = (
    '# HELP http_requests_total Requests\n# TYPE http_requests_total counter\nhttp_requests_total{status="200"} 4.0\n'
)
MAX_BODY = 10**6
DOCS = "<!doctype html><title>API</title><p>The document is at /openapi.json</p>"


class GuideApi(http.server.ThreadingHTTPServer):
    """A server on a free port of loopback. `accounts` are those that are there, `uploads` what was stored."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *faults: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults = faults
        self.scheme = "http"
        self.key = secrets.token_bytes(32)
        self.accounts: set[str] = set()
        self.uploads: list[str] = []
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def serve_tls(self, folder: pathlib.Path) -> str:
        """From now on only HTTPS, with a certificate that is its own authority; returns its path."""
        certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", "/CN=127.0.0.1"]
            + ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https"
        return certificate

    def token(self, account: str) -> str:
        text = ".".join(
            _encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": account})
        )
        return f"{text}.{self.signature(text)}"

    def signature(self, text: str) -> str:
        return _encoded(hmac.new(self.key, text.encode(), hashlib.sha256).digest())

    def handle_error(self, *_args) -> None:
        """Nothing: clients leave in the middle, and offer versions of TLS that are not spoken here."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class _Handler(http.server.BaseHTTPRequestHandler):
    server: GuideApi
    server_version, sys_version = "guide", ""

    def log_message(self, *_args) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def do_OPTIONS(self) -> None:
        self.server.asked.append(f"OPTIONS {self.path}")
        self._send(204, None)

    def _answer(self, method: str) -> None:
        self.server.asked.append(f"{method} {self.path}")
        length = int(self.headers.get("Content-Length", 0))
        # An answer before the end of a body could get lost; a body that is too large never comes.
        self.body = self.rfile.read(length).decode() if length <= MAX_BODY else ""
        if length > MAX_BODY and not self._has("upload_open"):
            return self._send(413, {"error": "too_large"})
        found = getattr(self, ROUTES.get((method, self.path), "_missing"))
        found()

    def _has(self, fault: str) -> bool:
        return fault in self.server.faults

    def _send(self, status: int, body: object, content_type: str = "application/json") -> None:
        text = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        for name, value in {} if self._has("headers_missing") else HEADERS.items():
            self.send_header(name, value)
        if not self._has("no_rate_limits"):
            self.send_header("X-RateLimit-Limit", "600")
        origin = self.headers.get("Origin")
        if origin and self._has("cors_reflected"):
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Access-Control-Allow-Credentials", "true")
        self.end_headers()
        self.wfile.write(text)

    def _account(self) -> str:
        """Whose token was sent; empty for nobody."""
        scheme, _space, token = self.headers.get("Authorization", "").partition(" ")
        text, _dot, signature = token.rpartition(".")
        if self._has("token_ignored"):
            return "1"
        if scheme != "Bearer" or not text:
            return ""
        if signature != self.server.signature(text) and not self._has("signature_ignored"):
            return ""
        claims = text.partition(".")[2]
        return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]

    # --- routes -------------------------------------------------------------------------------------------------------

    def _missing(self) -> None:
        if self.path == "/.env" and self._has("env_served"):
            return self._send(200, "JWT_SECRET_KEY=hidden", "text/plain")
        if self._has("unknown_path_served") and self.path.startswith("/checklist-"):
            return self._send(200, {"path": self.path})
        if self._has("traces_shown") and "%" in self.path:
            return self._send(500, 'Traceback (most recent call last):\n  File "/app/main.py", line 3', "text/plain")
        self._send(404, {"error": "not_found"})

    def _health(self) -> None:
        if self._has("health_slow"):
            time.sleep(0.7)
        self._send(500 if self._has("health_500") else 200, {"status": "alive"})

    def _detailed(self) -> None:
        up = not self._has("database_down")
        document = {
            "status": "healthy" if up else "unhealthy",
            "overall_healthy": up,
            "environment": "development" if self._has("wrong_environment") else "production",
            "services": {"database": {"healthy": up}},
            "observability": self._observed(),
        }
        if self._has("observability_untold"):
            del document["observability"]
        self._send(200 if up else 503, document)

    def _docs(self) -> None:
        self._send(500 if self._has("docs_500") else 200, DOCS, "text/html")

    def _metrics(self) -> None:
        self._send(500 if self._has("metrics_500") else 200, EXPOSITION, "text/plain; version=0.0.4")

    def _prometheus(self) -> None:
        if self._has("prometheus_is_json"):
            return self._send(200, {"http_requests_total": 4})
        self._send(200, EXPOSITION, "text/plain; version=0.0.4")

    def _performance(self) -> None:
        self._send(404 if self._has("performance_missing") else 200, {"requests": 4})

    def _observed(self) -> dict[str, dict[str, bool]]:
        return {
            "sentry": {"configured": self._has("sentry_inactive"), "active": False},
            "posthog": {"configured": self._has("posthog_inactive"), "active": False},
        }

    def _observability(self) -> None:
        self._send(200, self._observed())

    def _debug(self) -> None:
        self._send(200, {"authenticated": False}) if self._has("debug_open") else self._missing()

    def _demo(self) -> None:
        if self._has("demo_off"):
            return self._missing()
        self._send(401 if self._has("demo_refused") else 200, {"available": True})

    def _sign_in(self) -> None:
        if self._has("demo_off"):
            return self._missing()
        if self._has("login_500"):
            return self._send(500, {"error": "internal_error"})
        account = secrets.token_hex(4)
        self.server.accounts.add(account)
        self._send(200, {"access_token": self.server.token(account), "token_type": "bearer"})

    def _login(self) -> None:
        try:
            sent = json.loads(self.body)
        except ValueError:
            return self._send(500 if self._has("malformed_500") else 422, {"error": "invalid_request"})
        if sent != {"username": "checker", "password": "a-password-of-its-own"}:
            return self._send(401, {"error": "unauthorized"})
        self._send(200, {"access_token": self.server.token("checker")})

    def _logout(self) -> None:
        self._send(204, None)

    def _profile(self) -> None:
        account = self._account()
        self._send(200, {"id": account}) if account else self._send(401, {"error": "unauthorized"})

    def _supabase(self) -> None:
        down = self._has("supabase_down")
        self._send(200, {"configured": True, "healthy": False} if down else {"configured": False})

    def _delete_data(self) -> None:
        account = self._account()
        if self._has("deletion_500"):
            return self._send(500, {"error": "internal_error"})
        self.server.accounts.discard(account)
        self._send(200, {"deleted": True}) if account else self._send(401, {"error": "unauthorized"})

    def _contents(self) -> None:
        self._profile()

    def _upload(self) -> None:
        if self._has("upload_open"):
            return self._send(201, {"id": 1})
        if not self._account():
            return self._send(401, {"error": "unauthorized"})
        if not self._has("types_unchecked"):
            return self._send(415, {"error": "unsupported_type"})
        self.server.uploads.append(self.body)
        self._send(201, {"id": 1})

    def _storage(self) -> None:
        up = not self._has("storage_down")
        document = {
            "backend": "local",
            "healthy": up,
            "max_upload_size_mb": 100,
            "backends": {
                "local": {"configured": True, "healthy": up, "free_bytes": 10**8 if self._has("disk_full") else 10**11},
                "s3": {"configured": self._has("s3_down"), "healthy": False},
                "supabase": {"configured": False},
            },
            "cdn": {"configured": self._has("cdn_down"), "healthy": False},
        }
        if self._has("limit_untold"):
            del document["max_upload_size_mb"]
        self._send(200, document)


ROUTES = {
    ("GET", "/health"): "_health",
    ("GET", "/health/detailed"): "_detailed",
    ("GET", "/docs"): "_docs",
    ("GET", "/metrics"): "_metrics",
    ("GET", "/metrics/prometheus"): "_prometheus",
    ("GET", "/metrics/performance"): "_performance",
    ("GET", "/observability/health"): "_observability",
    ("GET", "/debug-auth"): "_debug",
    ("GET", "/demo-login"): "_demo",
    ("POST", "/demo-login"): "_sign_in",
    ("POST", "/users/login-json"): "_login",
    ("POST", "/users/logout"): "_logout",
    ("GET", "/users/profile"): "_profile",
    ("GET", "/users/supabase-auth-health"): "_supabase",
    ("DELETE", "/gdpr/delete-data"): "_delete_data",
    ("GET", "/contents"): "_contents",
    ("POST", "/upload"): "_upload",
    ("GET", "/storage/status"): "_storage",
}
