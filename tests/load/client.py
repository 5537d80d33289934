# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One client with one keep-alive connection, and its judgement of every answer."""

from __future__ import annotations

import dataclasses
import http.client
import typing as t
import urllib.parse

from urllib3.util.wait import wait_for_read


@dataclasses.dataclass(frozen=True)
class Ask:
    """What to ask for; a right answer has this status and contains `expect`."""

    path: str = "/"
    method: str = "GET"
    body: str = ""
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    status: int = 200
    expect: str = ""


class _Failed(Exception):
    """A request without a right answer; `kind` is the reason in a word or two."""

    def __init__(self, kind: str, unanswered: bool = False) -> None:
        super().__init__(kind)
        self.kind = kind
        self.unanswered = unanswered  # the connection was kept from before and closed before any byte of an answer


class Client:
    """Asks one request after the other. http.client repeats nothing by itself, so nothing is hidden.

    A kept connection that was closed while it was idle is not used again, as in the pool of every client. What is left
    is a request that crosses the server's closing: RFC 9112, 9.3.1 has clients repeat it where it is idempotent. That
    is done once, on a new connection, and told of.
    """

    def __init__(self, url: str, timeout: float) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url} is not the address of an HTTP server, as http://127.0.0.1:8080 is")
        self._http = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)

    def ask(self, ask: Ask) -> tuple[str, str]:
        """Returns (why the request failed, or "" when it did not; why it had to be repeated, or "")."""
        try:
            self._try(ask)
        except _Failed as first:
            self.close()
            if not (first.unanswered and ask.method == "GET"):
                return first.kind, ""
            return self._again(ask), first.kind
        return "", ""

    def close(self) -> None:
        self._http.close()

    def _again(self, ask: Ask) -> str:
        try:
            self._try(ask)
        except _Failed as second:
            self.close()
            return second.kind
        return ""

    def _try(self, ask: Ask) -> None:
        kept = self._http.sock is not None and not wait_for_read(self._http.sock, timeout=0)  # what is there is its end
        if not kept:
            self.close()
            self._connect()
        try:
            self._http.request(ask.method, ask.path, ask.body or None, dict(ask.headers))
            answer = self._http.getresponse()
        except TimeoutError as error:
            raise _Failed("timeout") from error
        except (http.client.RemoteDisconnected, BrokenPipeError) as error:
            raise _Failed("closed", kept) from error
        except ConnectionResetError as error:
            raise _Failed("reset", kept) from error
        except (OSError, http.client.HTTPException) as error:
            raise _Failed(type(error).__name__) from error
        self._judge(ask, answer)

    def _connect(self) -> None:
        try:
            self._http.connect()
        except ConnectionRefusedError as error:
            raise _Failed("refused") from error
        except TimeoutError as error:
            raise _Failed("connect timeout") from error
        except OSError as error:
            raise _Failed(type(error).__name__) from error

    @staticmethod
    def _judge(ask: Ask, answer: http.client.HTTPResponse) -> None:
        try:
            body = answer.read()
        except TimeoutError as error:
            raise _Failed("timeout") from error
        except ConnectionResetError as error:
            raise _Failed("reset") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Failed("cut short") from error
        if answer.status != ask.status:
            raise _Failed(f"status {answer.status}")
        if ask.expect.encode() not in body:
            raise _Failed("body")
