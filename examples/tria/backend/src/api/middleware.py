# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Around every request: an ID, a size limit, security headers, metrics, one log line; and the limit by address."""

from __future__ import annotations

import logging
import re
import time
import uuid

from redis.exceptions import RedisError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import rate_limited, redis_unavailable
from api.metrics import Metrics
from api.security import client_address
from security.rate_limits import RateLimited, RateLimiter

_log = logging.getLogger("request")
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
# Asked every few seconds by machines: counted, but not logged unless they fail.
_QUIET = ("/health", "/api/v1/health/", "/metrics")
# Probes, metrics and documentation are not counted: an overload must not make the application look dead.
_UNLIMITED = (*_QUIET, "/docs", "/openapi.json")
MAX_BODY_BYTES = 64 * 1024
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Resource-Policy": "same-site",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# The documentation is a page of its own: FastAPI's takes Swagger UI from this address.
_DOCS_POLICY = (
    "default-src 'none'; frame-ancestors 'none'; connect-src 'self'; "
    "img-src 'self' data: https://fastapi.tiangolo.com; "
    "script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' https://cdn.jsdelivr.net"
)
_HSTS = "max-age=31536000; includeSubDomains"


class RequestMiddleware:
    """Pure ASGI, so that neither bodies are buffered nor exceptions wrapped."""

    def __init__(self, app: ASGIApp, metrics: Metrics, max_upload_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        # The form around the file takes some room too.
        self._max_upload_bytes = max_upload_bytes + MAX_BODY_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._max_upload_bytes if scope["path"] == "/upload" else MAX_BODY_BYTES
        offered = headers.get("x-request-id", "")
        request_id = offered if _REQUEST_ID.match(offered) else uuid.uuid4().hex
        status: int | None = None
        started = time.perf_counter()

        async def send_tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), scope["path"], headers, request_id)
            await send(message)

        self._metrics.in_progress.inc()
        try:
            if _too_large(headers, limit):
                refusal = JSONResponse({"error": "too_large", "message": f"at most {limit} bytes"}, 413)
                await refusal(scope, receive, send_tagged)
            else:
                await self._app(scope, _bounded(receive, limit), send_tagged)
        # The application's own errors have handlers; what arrives here nobody foresaw.
        except Exception:
            _log.error("unforeseen error at %s %r id=%s", scope["method"], scope["path"], request_id, exc_info=True)
            if status is not None:
                raise
            message = "an unforeseen error; the log has it under this X-Request-ID"
            await JSONResponse({"error": "internal_error", "message": message}, 500)(scope, receive, send_tagged)
        finally:
            self._metrics.in_progress.dec()
            self._record(scope, status or 500, time.perf_counter() - started, request_id)

    def _record(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if route != "unmatched" else "ANY"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.duration.labels(method, route).observe(seconds)
        self._metrics.performance.add(f"{method} {route}", status, seconds)
        if status >= 500 or not scope["path"].startswith(_QUIET):
            _log.info("%s %r %d %.0f ms id=%s", scope["method"], scope["path"], status, seconds * 1000, request_id)


def _too_large(headers: Headers, limit: int) -> bool:
    length = headers.get("content-length", "")
    return length.isdigit() and int(length) > limit


def _bounded(receive: Receive, limit: int) -> Receive:
    """The body of a request that did not say how long it is, cut off where it gets too long."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, f"at most {limit} bytes")
        return message

    return bounded


def _add_headers(answer: MutableHeaders, path: str, asked: Headers, request_id: str) -> None:
    answer["X-Request-ID"] = request_id
    for name, value in _SECURITY_HEADERS.items():
        answer.setdefault(name, value)
    if path.startswith("/docs"):
        answer["Content-Security-Policy"] = _DOCS_POLICY
    if asked.get("x-forwarded-proto") == "https":
        answer["Strict-Transport-Security"] = _HSTS


class RateLimitMiddleware:
    """The limit by address, for everything but probes, metrics and documentation."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter, per_minute: int) -> None:
        self._app = app
        self._limiter = limiter
        self._per_minute = per_minute

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._limiter.enabled or scope["path"].startswith(_UNLIMITED):
            await self._app(scope, receive, send)
            return
        try:
            remaining = await self._limiter.take("address", client_address(scope), self._per_minute)
        except RateLimited as error:
            await rate_limited(error)(scope, receive, send)
            return
        except RedisError as error:
            await redis_unavailable(error)(scope, receive, send)
            return

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-RateLimit-Limit", str(self._per_minute))
                headers.setdefault("X-RateLimit-Remaining", str(remaining))
            await send(message)

        await self._app(scope, receive, send_counted)
