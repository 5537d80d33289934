# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An HTTP client whose every byte stays within one attempt's budget. Private to the collection.

Built on the standard library: no proxy of the environment, no redirect, no cookie comes in unasked, and a target needs
no library.
"""

from __future__ import annotations

import base64
import dataclasses
import http.client
import io
import json
import socket
import typing as t
import urllib.parse

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _net

OPTIONS: dict[str, t.Any] = {
    "url_username": {"type": "str"},
    "url_password": {"type": "str", "no_log": True},
    "follow_redirects": {"type": "str", "choices": ["none", "safe", "all"], "default": "none"},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "max_body_bytes": {"type": "int", "default": 1048576},
}
DOCUMENTATION = """\
    url_username:
      description: User name for basic authentication.
      type: str
    url_password:
      description: Password for basic authentication. With it, an unexpected status 401 is final.
      type: str
    follow_redirects:
      description: Whether redirects are followed, not at all, for safe methods, or for all. At most five.
      type: str
      choices: [none, safe, all]
      default: none
    validate_certs:
      description: Whether the server's certificate is verified.
      type: bool
      default: true
    ca_path:
      description: A file or directory with CA certificates to trust instead of the system's.
      type: path
    max_body_bytes:
      description: Largest body that is read. A larger one is a failure.
      type: int
      default: 1048576
"""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}
_HEADERS = {"User-Agent": "tria.production", "Accept": "*/*"}

Origin = t.Tuple[str, str, int]


class Answer(t.NamedTuple):
    """What came back: `body` complete, and not larger than `max_body_bytes`."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> t.Any:
        """The JSON document in the body; raises `ValueError`."""
        try:
            return json.loads(self.text)
        except RecursionError as exc:
            raise ValueError("nested too deeply") from exc


@dataclasses.dataclass(frozen=True)
class Request:
    """What to send. `headers` are for the host of `url` alone, not for another one that a redirect leads to."""

    method: str
    url: str
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: t.Optional[bytes] = None


class Client:
    """Sends requests as `OPTIONS` say. `host` is the address to connect to for the host and port of `options.url`.

    `sock` is connected there already; the first request goes over it.
    """

    def __init__(
        self, options: dict[str, t.Any], host: str | None = None, sock: socket.socket | None = None
    ) -> None:
        self._options = options
        self._host = host
        self._sock = sock

    def admit(self, url: str) -> None:
        """Called before anything is opened for a URL, redirects included; raises `ProbeFailure` to refuse it."""

    def headers(self, url: str) -> dict[str, str]:
        """Called when connected: headers that go with a request to this URL and are not the request's own."""
        return {}

    def received(self, url: str, answer: Answer) -> None:
        """Called with each answer, those of redirects included."""

    def send(self, request: Request, budget: _base.Budget) -> Answer:
        """The answer at the end of the redirects that may be followed; raises `ProbeFailure`, `TimeoutError`."""
        first = request.url
        followed = self._options["follow_redirects"]
        allowed = followed == "all" or (followed == "safe" and request.method in SAFE_METHODS)
        for _hop in range(_MAX_REDIRECTS + 1):
            self.admit(request.url)
            answer = self._exchange(request, budget)
            self.received(request.url, answer)
            location = answer.headers.get("Location")
            if not (allowed and answer.status in _REDIRECTS and location):
                return answer
            request = _redirected(request, answer.status, location)
            if not _same_place(first, request.url):  # what was meant for one host is not told to another one
                kept = {name: value for name, value in request.headers.items() if name.lower() == "content-type"}
                request = dataclasses.replace(request, headers=kept)
        raise _base.ProbeFailure(f"more than {_MAX_REDIRECTS} redirects", "Correct url or the redirects.", "redirect")

    def _exchange(self, request: Request, budget: _base.Budget) -> Answer:
        parts = split(request.url)
        _scheme, name, port = origin(request.url)
        there = self._host is not None and origin(self._options["url"]) == origin(request.url)
        sock, self._sock = self._sock, None
        with _net.connect(self._host if there and self._host else name, port, budget, sock) as connection:
            if parts.scheme == "https":
                _net.start_tls(connection, name, self._options["validate_certs"], self._options["ca_path"])
            client = http.client.HTTPConnection(name, parts.port)
            client.sock = _Socket(connection)
            headers = merged(_HEADERS, self.headers(request.url), request.headers)
            path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
            try:
                _send(client, request, path, headers)
                response = client.getresponse()
                return Answer(response.status, response.headers, _read(response, self._options["max_body_bytes"]))
            except (http.client.HTTPException, ConnectionError) as exc:
                raise _base.ProbeFailure(
                    f"no valid HTTP answer: {type(exc).__name__} {exc}".rstrip(), "See the service's log.", "response"
                ) from exc


class _Socket:
    """What `http.client` asks of a socket; the connection itself is closed by who opened it."""

    def __init__(self, connection: _net.Connection) -> None:
        self._connection = connection
        self.sendall = connection.sendall

    def makefile(self, *_args: t.Any, **_kwargs: t.Any) -> io.BufferedReader:
        return io.BufferedReader(self._connection)

    def close(self) -> None:
        """Left to the owner of the connection: the answer's body may not have been read yet."""


def _send(client: http.client.HTTPConnection, request: Request, path: str, headers: dict[str, str]) -> None:
    """Sends a request. Who refuses one early may close before its body has arrived: the answer is there anyway."""
    try:
        client.request(request.method, path, body=request.body, headers=headers)
    except (BrokenPipeError, ConnectionResetError):
        if request.body is None:
            raise


def split(url: str) -> urllib.parse.SplitResult:
    """The parts of a URL; raises a permanent `ProbeFailure` when it is none of HTTP."""
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an IPv6 address without its end, a port that is no number
        usable = False
    if not usable:
        raise _base.ProbeFailure(
            f"{without_password(url)} is not an http or https URL", "Correct url.", "request", permanent=True
        )
    return parts


def origin(url: str) -> Origin:
    """(scheme, host, port) of a URL; raises as `split` does."""
    parts = split(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    scheme, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return scheme + separator + place.rpartition("@")[2] + slash + path


def merged(*headers: dict[str, str]) -> dict[str, str]:
    """All of them; of those with the same name, in whatever case, the last one."""
    found = {name.lower(): (name, value) for some in headers for name, value in some.items()}
    return dict(found.values())


def basic_authorization(options: dict[str, t.Any]) -> dict[str, str]:
    """The header for `url_username` and `url_password`, or for those in `url`; {} when there are none."""
    parts = split(options["url"])
    user = options["url_username"] or urllib.parse.unquote(parts.username or "")
    password = options["url_password"] or urllib.parse.unquote(parts.password or "")
    if not user and not password:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _same_place(first: str, second: str) -> bool:
    one, other = origin(first), origin(second)
    upgraded = one[0] == "http" and one[2] == 80 and other == ("https", one[1], 443)
    return one == other or upgraded


def _redirected(request: Request, status: int, location: str) -> Request:
    url = urllib.parse.urljoin(request.url, location)
    if status == 303 and request.method != "HEAD" or status in (301, 302) and request.method == "POST":
        headers = {name: value for name, value in request.headers.items() if name.lower() != "content-type"}
        return Request("GET", url, headers)
    return dataclasses.replace(request, url=url)


def _read(response: http.client.HTTPResponse, limit: int) -> bytes:
    body = response.read(limit + 1)
    if len(body) > limit:
        raise _base.ProbeFailure(f"the body is larger than {limit} bytes", "Raise max_body_bytes.", "response")
    if response.length:
        raise _base.ProbeFailure(f"the body ended {response.length} bytes early", "See the service's log.", "response")
    return body
