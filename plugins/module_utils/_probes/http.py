# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `http`: a request gets the expected answer. Private to the collection.

Built on the standard library: no proxy of the environment, no redirect, no cookie comes in unasked, a target needs no
library, and every byte stays within the attempt's budget.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import typing as t
import urllib.parse

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _net

DOCUMENTATION = (
    r"""
http:
  description:
    - An HTTP endpoint. Proxies of the environment are not used.
    - In check mode, requests other than C(GET), C(HEAD) and C(OPTIONS) are not sent; the result is C(skip).
  type: dict
  suboptions:
    url:
      description:
        - The URL. With O(targets[].http.service), only the address that is connected to is that of the container;
          the C(Host) header and the name in the certificate are those of the URL.
      type: str
      required: true
    method:
      description: Request method.
      type: str
      default: GET
    headers:
      description:
        - Request headers. Not sent to another host that a redirect leads to.
        - Values of C(Authorization), C(Cookie) and C(X-API-Key) are masked in messages. Put secrets into
          O(secrets) too, which masks them in Ansible's own record of the options.
      type: dict
      default: {}
    body:
      description: Request body. A dictionary or a list is sent as JSON.
      type: raw
    url_username:
      description: User name for basic authentication.
      type: str
    url_password:
      description: Password for basic authentication. With it, an unexpected status 401 is final.
      type: str
    status:
      description: Status codes that are good.
      type: list
      elements: int
      default: [200]
    json:
      description:
        - What the JSON document in the answer must contain. Keys may be dotted paths; list items are numbers.
      type: dict
    contains:
      description: Text that the body must contain.
      type: str
    response_headers:
      description: Headers that the answer must have, each with a text that it must contain.
      type: dict
      default: {}
    idempotent:
      description: Sends the same request twice; both answers must be the same, status and body.
      type: bool
      default: false
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
    + _base.COMPOSE_DOCUMENTATION
)
CATEGORY = "API"
LIBRARIES = ()
SPEC: dict[str, t.Any] = {
    "options": {
        "url": {"type": "str", "required": True},
        "method": {"type": "str", "default": "GET"},
        "headers": {"type": "dict", "default": {}},
        "body": {"type": "raw"},
        "url_username": {"type": "str"},
        "url_password": {"type": "str", "no_log": True},
        "status": {"type": "list", "elements": "int", "default": [200]},
        "json": {"type": "dict"},
        "contains": {"type": "str"},
        "response_headers": {"type": "dict", "default": {}},
        "idempotent": {"type": "bool", "default": False},
        "follow_redirects": {"type": "str", "choices": ["none", "safe", "all"], "default": "none"},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "max_body_bytes": {"type": "int", "default": 1048576},
        **_base.COMPOSE_OPTIONS,
    },
    "required_together": _base.COMPOSE_TOGETHER,
}

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_EXCERPT = 500  # characters of a body that a failure shows
_ABSENT = object()


class _Answer(t.NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class _Socket:
    """What `http.client` asks of a socket; the connection itself is closed by who opened it."""

    def __init__(self, connection: _net.Connection) -> None:
        self._connection = connection
        self.sendall = connection.sendall

    def makefile(self, *_args: t.Any, **_kwargs: t.Any) -> io.BufferedReader:
        return io.BufferedReader(self._connection)

    def close(self) -> None:
        """Left to the owner of the connection: the answer's body may not have been read yet."""


def endpoint(options: dict[str, t.Any]) -> tuple[str, int]:
    parts = _split(options["url"])
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Sends the request (with `idempotent` twice) and holds the answer against every expectation at once.

    Check mode skips methods that may change something.
    """
    method = options["method"].upper()
    if attempt.session.check_mode and method not in _SAFE_METHODS:
        return _base.Outcome(f"{method} is not sent in check mode", skipped=True)
    answer = _follow(options, method, attempt)
    data = {"url": _without_password(options["url"]), "status_code": answer.status}
    problems = _violations(options, answer)
    if options["idempotent"] and not problems:
        again = _follow(options, method, attempt)
        if (again.status, again.body) != (answer.status, answer.body):
            problems = [f"the same request got another answer the second time (status {again.status})"]
    if problems:
        remedy = "Read the body of the answer (data.body), and the service's log."
        denied = answer.status == 401 and options["url_password"] is not None
        raise _base.ProbeFailure(
            "; ".join(problems),
            "Correct url_username and url_password." if denied else remedy,
            "response",
            permanent=denied,
            data={**data, "body": answer.text[:_EXCERPT]},
        )
    return _base.Outcome(f"{method} answered {answer.status}", data)


def _split(url: str) -> urllib.parse.SplitResult:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _base.ProbeFailure(
            f"{_without_password(url)} is not an http or https URL", "Correct url.", "request", permanent=True
        )
    return parts


def _without_password(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _follow(options: dict[str, t.Any], method: str, attempt: _base.Attempt) -> _Answer:
    url, host = options["url"], attempt.host
    followed = options["follow_redirects"]
    allowed = followed == "all" or (followed == "safe" and method in _SAFE_METHODS)
    for _hop in range(_MAX_REDIRECTS):
        answer = _request(options, method, url, host, attempt.budget)
        location = answer.headers.get("Location")
        if not (allowed and answer.status in _REDIRECTS and location):
            return answer
        target = urllib.parse.urljoin(url, location)
        if _split(target).netloc != _split(url).netloc:
            host = None  # another place than the container this request was meant for
        url = target
        if answer.status == 303:
            method = "GET"
    raise _base.ProbeFailure(f"more than {_MAX_REDIRECTS} redirects", "Correct url or the redirects.", "redirect")


def _request(options: dict[str, t.Any], method: str, url: str, host: str | None, budget: _base.Budget) -> _Answer:
    parts = _split(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    body, headers = _payload(options, parts, same_origin=parts.netloc == _split(options["url"]).netloc)
    with _net.connect(host or parts.hostname, port, budget) as connection:
        if parts.scheme == "https":
            _net.start_tls(connection, parts.hostname, options["validate_certs"], options["ca_path"])
        client = http.client.HTTPConnection(parts.hostname, parts.port)
        client.sock = _Socket(connection)
        try:
            path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
            client.request(method, path, body=body, headers=headers)
            response = client.getresponse()
            return _Answer(response.status, response.headers, _read(response, options["max_body_bytes"]))
        except (http.client.HTTPException, ConnectionError) as exc:
            raise _base.ProbeFailure(
                f"no valid HTTP answer: {type(exc).__name__} {exc}".rstrip(), "See the service's log.", "response"
            ) from exc


def _read(response: http.client.HTTPResponse, limit: int) -> bytes:
    body = response.read(limit + 1)
    if len(body) > limit:
        raise _base.ProbeFailure(f"the body is larger than {limit} bytes", "Raise max_body_bytes.", "response")
    if response.length:
        raise _base.ProbeFailure(f"the body ended {response.length} bytes early", "See the service's log.", "response")
    return body


def _payload(
    options: dict[str, t.Any], parts: urllib.parse.SplitResult, same_origin: bool
) -> tuple[bytes | None, dict[str, str]]:
    headers = {"User-Agent": "tria.production", "Accept": "*/*"}
    if same_origin:  # what was meant for one host is not told to the one it redirects to
        headers.update({name: str(value) for name, value in options["headers"].items()})
        user = options["url_username"] or urllib.parse.unquote(parts.username or "")
        password = options["url_password"] or urllib.parse.unquote(parts.password or "")
        if user or password:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    body = options["body"]
    if body is None or isinstance(body, str):
        return body.encode() if body is not None else None, headers
    headers.setdefault("Content-Type", "application/json")
    return json.dumps(body).encode(), headers


def _violations(options: dict[str, t.Any], answer: _Answer) -> list[str]:
    problems = []
    if answer.status not in options["status"]:
        problems.append(f"status {answer.status} instead of {' or '.join(str(code) for code in options['status'])}")
    for name, expected in options["response_headers"].items():
        found = answer.headers.get(name)
        if found is None or str(expected) not in found:
            problems.append(f"header {name} is {found!r} instead of {str(expected)!r}")
    if options["contains"] is not None and options["contains"] not in answer.text:
        problems.append(f"the body does not contain {options['contains']!r}")
    if options["json"] is not None:
        try:
            problems += differences(options["json"], json.loads(answer.text))
        except ValueError:
            problems.append("the body is not JSON")
    return problems


def differences(expected: t.Any, actual: t.Any, path: str = "") -> list[str]:
    """Where `actual` is not what `expected` asks for: dictionaries are subsets, their keys may be dotted paths."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = []
        for key, value in expected.items():
            inner = f"{path}.{key}" if path else str(key)
            found += differences(value, _lookup(actual, str(key)), inner)
        return found
    same = expected == actual and isinstance(expected, bool) == isinstance(actual, bool)
    if same:
        return []
    if actual is _ABSENT:
        return [f"{path} is missing"]
    return [f"{path} is {json.dumps(actual)} instead of {json.dumps(expected)}"]


def _lookup(document: t.Any, key: str) -> t.Any:
    if isinstance(document, dict) and key in document:
        return document[key]
    for step in key.split("."):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return _ABSENT
    return document
