# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small servers that stand for S3, Supabase, Sentry and PostHog, and remember what they were sent."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import re
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Received:
    """A request, its body decompressed."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Reply = tuple[int, bytes]


class Receiver:
    """An HTTP server, by default on a port of its own; `answer` decides what it says."""

    def __init__(self, answer: Callable[[Received], Reply], address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.requests: list[Received] = []
        self.failing = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                received = Received(self.command, self.path, {k.lower(): v for k, v in self.headers.items()},
                                    _decompressed(body, self.headers.get("Content-Encoding", "")))
                receiver.requests.append(received)
                status, content = (500, b"") if receiver.failing else answer(received)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the tests look at `requests`."""

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _decompressed(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


class Bucket:
    """Objects by path, behind whoever checks the request."""

    def __init__(self, bucket_path: str, allowed: Callable[[Received], bool], put: str) -> None:
        self.objects: dict[str, bytes] = {}
        self._bucket_path = bucket_path
        self._allowed = allowed
        self._put = put

    def __call__(self, received: Received) -> Reply:
        if not self._allowed(received):
            return 403, b"denied"
        if received.path == self._bucket_path:
            return 200, b"{}"
        if received.method == self._put:
            self.objects[received.path] = received.body
            return 200, b"{}"
        if received.path not in self.objects:
            return 404, b"missing"
        if received.method == "DELETE":
            del self.objects[received.path]
            return 204, b""
        return 200, self.objects[received.path]


def signed_for_s3(secret_key: str) -> Callable[[Received], bool]:
    """Whether a request carries a valid AWS Signature Version 4 and the digest of its body."""

    def mac(key: bytes, text: str) -> bytes:
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    def check(received: Received) -> bool:
        match = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=[^/]+/(\d{8})/([^/]+)/s3/aws4_request, "
            r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
            received.headers.get("authorization", ""),
        )
        if not match:
            return False
        day, region, names, signature = match.groups()
        digest = received.headers["x-amz-content-sha256"]
        headers = "".join(f"{name}:{received.headers[name]}\n" for name in names.split(";"))
        canonical = "\n".join([received.method, received.path, "", headers, names, digest])
        text = "\n".join(["AWS4-HMAC-SHA256", received.headers["x-amz-date"], f"{day}/{region}/s3/aws4_request",
                          hashlib.sha256(canonical.encode()).hexdigest()])
        key = mac(mac(mac(mac(f"AWS4{secret_key}".encode(), day), region), "s3"), "aws4_request")
        body_is_whole = hashlib.sha256(received.body).hexdigest() == digest
        return body_is_whole and hmac.compare_digest(mac(key, text).hex(), signature)

    return check
