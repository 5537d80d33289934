# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for the OpenAI API, so that the chatbot answers without the internet: same paths, same documents.

`GET /v1/models`, `POST /v1/chat/completions`, `GET /health`. Answers are made from the last user message and from the
catalog lines of the system message, so the same conversation always gets the same answer. A key with `invalid` in it is
rejected with 401. SANDBOX_DELAY (seconds) slows answers down, SANDBOX_MODELS names the models, PORT the port.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAX_BODY_BYTES = 1 << 20
MODELS = os.environ.get("SANDBOX_MODELS", "gpt-4-turbo-preview,gpt-4o,gpt-4o-mini").split(",")
DELAY_SECONDS = float(os.environ.get("SANDBOX_DELAY", "0"))
_CATALOG_LINE = re.compile(r"^- (?P<sku>[A-Z0-9-]+): (?P<name>.+?), (?P<price>\d+\.\d\d)\.", re.MULTILINE)
_QUOTE_LINE = re.compile(r"^Quote: (.+)\.$", re.MULTILINE)
_INTENT_LINE = re.compile(r"^The customer's intent: (\w+)\.$", re.MULTILINE)


def compose(messages: list[dict[str, Any]]) -> str:
    """The answer to a conversation, without any model: intent, catalog and quote out of the system message."""
    system = "\n".join(str(message.get("content", "")) for message in messages if message.get("role") == "system")
    questions = [str(message.get("content", "")) for message in messages if message.get("role") == "user"]
    question = " ".join(questions[-1].split()) if questions else ""
    intent = _INTENT_LINE.search(system)
    quote = _QUOTE_LINE.search(system)
    if quote:
        return f"Thank you for your request \"{question}\". Our quote: {quote.group(1)}. Shall I place the order?"
    if intent and intent.group(1) in ("greeting", "farewell"):
        return "Hello! I can tell you about our products and prices, and quote an order. What do you need?"
    if intent and intent.group(1) == "complaint":
        return "I am sorry to hear that. Please give me your order number, and a colleague will call you back today."
    products = [f"{match['name']} ({match['sku']}) at {match['price']}" for match in _CATALOG_LINE.finditer(system)]
    if products:
        return f"About \"{question}\": we have {'; '.join(products[:3])}."
    return f"I understood: \"{question}\". How can I help you with that?"


def completion(request: dict[str, Any]) -> dict[str, Any]:
    """The document of POST /v1/chat/completions."""
    text = compose(request["messages"])
    prompt_tokens = sum(len(str(message.get("content", "")).split()) for message in request["messages"])
    used = {"prompt_tokens": prompt_tokens, "completion_tokens": len(text.split())}
    return {
        "id": "chatcmpl-" + hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:24],
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {**used, "total_tokens": sum(used.values())},
    }


class Handler(BaseHTTPRequestHandler):
    """The API's routes; errors have the API's shape."""

    protocol_version = "HTTP/1.1"
    server_version = "openai-sandbox"
    sys_version = ""
    timeout = 75
    completions = 0
    _counting = threading.Lock()

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(200, {"status": "alive", "completions": Handler.completions})
        elif self._authorised() and self.path == "/v1/models":
            self._send(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})
        elif self._authorised():
            self._error(404, "invalid_request_error", f"Unknown request URL: GET {self.path}")
        else:
            self._refuse()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._error(413, "invalid_request_error", f"A body of at most {MAX_BODY_BYTES} bytes is needed")
            return
        body = self.rfile.read(int(length))
        if not self._authorised():
            self._refuse()
        elif self.path != "/v1/chat/completions":
            self._error(404, "invalid_request_error", f"Unknown request URL: POST {self.path}")
        else:
            self._complete(body)

    def _complete(self, body: bytes) -> None:
        try:
            request = json.loads(body)
            known = request["model"] in MODELS
            usable = bool(request["messages"]) and all(isinstance(message, dict) for message in request["messages"])
        except (ValueError, KeyError, TypeError):
            known, usable = True, False
        if not usable:
            self._error(400, "invalid_request_error", "`model` and `messages` are needed")
        elif not known:
            self._error(404, "invalid_request_error", "The model does not exist or you do not have access to it")
        else:
            with Handler._counting:
                Handler.completions += 1
            time.sleep(DELAY_SECONDS)
            self._send(200, completion(request))

    def _authorised(self) -> bool:
        scheme, _space, key = self.headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and key.startswith("sk-") and "invalid" not in key

    def _refuse(self) -> None:
        self._error(401, "invalid_request_error", "Incorrect API key provided")

    def _error(self, status: int, kind: str, message: str) -> None:
        self._send(status, {"error": {"message": message, "type": kind, "code": status}})

    def _send(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        if self.path != "/health":
            sys.stdout.write(f"{self.log_date_time_string()} {format % args}\n")
            sys.stdout.flush()


class Server(ThreadingHTTPServer):
    """Threads end with the process; the port is free again at once."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    server = Server((os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8090"))), Handler)
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for the loop that this very thread runs, hence another thread.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on port {server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()


if __name__ == "__main__":
    main()
