# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Around every request: an ID, a size limit, metrics, one log line."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics

_log = logging.getLogger("request")
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
# Asked every few seconds by machines: counted, but not logged unless they fail.
_QUIET = ("/health", "/api/v1/health/", "/metrics")
MAX_BODY_BYTES = 64 * 1024


class RequestMiddleware:
    """Pure ASGI, so that neither bodies are buffered nor exceptions wrapped."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        offered = headers.get("x-request-id", "")
        request_id = offered if _REQUEST_ID.match(offered) else uuid.uuid4().hex
        status: int | None = None
        started = time.perf_counter()

        async def send_tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        self._metrics.in_progress.inc()
        try:
            if _too_large(headers):
                refusal = JSONResponse({"error": "too_large", "message": f"at most {MAX_BODY_BYTES} bytes"}, 413)
                await refusal(scope, receive, send_tagged)
            else:
                await self._app(scope, receive, send_tagged)
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
        if status >= 500 or not scope["path"].startswith(_QUIET):
            _log.info("%s %r %d %.0f ms id=%s", scope["method"], scope["path"], status, seconds * 1000, request_id)


def _too_large(headers: Headers) -> bool:
    length = headers.get("content-length", "")
    return length.isdigit() and int(length) > MAX_BODY_BYTES
