# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Area front: what the stack's HTTP front tells strangers. Private to the collection.

Nothing secret is ever sent, so that everything but the rule `tls` may look at a front whose certificate is not valid.
"""

from __future__ import annotations

import concurrent.futures
import secrets
import ssl
import time
import typing as t
import urllib.parse
import warnings

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _http, _net
from ansible_collections.tria.production.plugins.module_utils._probes import tls as tls_probe
from ansible_collections.tria.production.plugins.module_utils._security import answers
from ansible_collections.tria.production.plugins.module_utils._security.exposure import is_loopback
from ansible_collections.tria.production.plugins.module_utils._security.observation import (
    Broken,
    Inapplicable,
    Observation,
    Unseen,
    look,
)

HOSTILE_ORIGIN = "https://evil.example"
MISSING_PAGE = "a page that does not exist"
MALFORMED = "/%c0%ae%c0%ae/%00?q=%ff%27%22<"  # breaks decoders, changes nothing
_REQUEST_S = 5.0
_AT_ONCE = 4  # a slow front is not waited for page by page, nor is it flooded
_NOT_THE_APPLICATION = (429, 502, 503, 504)  # who answers so has not been asked what we want to know
_LOGIN_WORDS = ("login", "signin", "sign-in", "auth", "oauth")


class _Question(t.NamedTuple):
    path: str
    method: str = "GET"
    origin: str = ""


class Front:
    """The front at `url`; what it answers is asked for once and kept."""

    def __init__(self, url: str, ca_path: str | None, timeout: float) -> None:
        self.url = url
        self.ca_path = ca_path
        self.scheme, self.host, self.port = _http.origin(url)
        self._timeout = timeout
        self._end = time.monotonic() + timeout
        self._kept: dict[_Question, t.Any] = {}
        self.absent = f"/{secrets.token_hex(12)}"

    @property
    def https(self) -> bool:
        return self.scheme == "https"

    def budget(self) -> _base.Budget:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the timeout of {self._timeout:g} s is over")
        return _base.Budget(min(_REQUEST_S, left))

    def ask_all(self, questions: t.Iterable[_Question]) -> None:
        """Asks some at a time, so that `ask` has their answers."""
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            for question, answer in zip(questions, pool.map(self._answer, questions)):
                self._kept[question] = answer

    def ask(self, path: str, method: str = "GET", origin: str = "") -> _http.Answer:
        """The answer for a path; raises `Broken` when there is none. Redirects are not followed."""
        question = _Question(path, method, origin)
        if question not in self._kept:
            self._kept[question] = self._answer(question)
        kept = self._kept[question]
        if isinstance(kept, Broken):
            raise kept
        return kept

    def _answer(self, question: _Question) -> _http.Answer | Broken:
        headers = {"Origin": question.origin} if question.origin else {}
        if question.method == "OPTIONS":
            headers["Access-Control-Request-Method"] = "POST"
        try:
            return self.send(urllib.parse.urljoin(self.url, question.path), question.method, headers)
        except (_base.ProbeFailure, TimeoutError) as exc:
            return Broken(f"no answer to look at: {exc}")

    def send(self, url: str, method: str = "GET", headers: dict[str, str] | None = None) -> _http.Answer:
        options = {name: spec.get("default") for name, spec in _http.OPTIONS.items()}
        client = _http.Client({**options, "url": url, "validate_certs": False})
        return client.send(_http.Request(method, url, headers or {}), self.budget())


def observe(options: dict[str, t.Any]) -> t.Iterator[Observation]:
    """Every rule for a front, by the options of `security_check`; raises `ProbeFailure` for a `url` that is none."""
    front = Front(options["url"], options["ca_path"], options["timeout"])
    front.ask_all(list(dict.fromkeys(_questions(front, options))))
    yield look("tls", "certificate", certificate, front)
    yield look("tls", "versions before 1.2", old_versions, front)
    yield look("https_redirect", "", https_redirect, front, options["http_url"])
    pages = {path: path for path in options["paths"]}
    pages[MISSING_PAGE] = front.absent
    for name, check in answers.CHECKS.items():
        for subject, path in pages.items():
            yield look(name, subject, _of_page, check, front, path)
    yield look("stack_traces", "a malformed request", _of_page, answers.stack_traces, front, MALFORMED)
    for origin in (HOSTILE_ORIGIN, "null"):
        yield look("cors", f"Origin {origin}", cors, front, options["paths"], origin)
    for path in options["hidden_paths"]:
        yield look("hidden_paths", path, hidden_path, front, path)
        yield look("stack_traces", path, _of_page, answers.stack_traces, front, path)
    for path in options["protected_paths"]:
        yield look("protected_paths", path, protected_path, front, path)
    if not options["protected_paths"]:
        yield look("protected_paths", "", _not_given)


def _questions(front: Front, options: dict[str, t.Any]) -> t.Iterator[_Question]:
    """All that `observe` will ask."""
    for path in [*options["paths"], front.absent, MALFORMED, *options["hidden_paths"], *options["protected_paths"]]:
        yield _Question(path)
    for path in options["paths"]:
        for origin in (HOSTILE_ORIGIN, "null"):
            yield _Question(path, "GET", origin)
            yield _Question(path, "OPTIONS", origin)


def certificate(front: Front) -> t.Iterator[str]:
    _require_tls(front)
    if not front.https:
        yield "is served without TLS"
        return
    options = {name: spec.get("default") for name, spec in tls_probe.SPEC["options"].items()}
    options.update(host=front.host, port=front.port, ca_path=front.ca_path, min_days=0)
    session = _base.Session()
    try:
        tls_probe.probe(options, _base.Attempt(session, front.budget()))
    except _base.ProbeFailure as exc:
        if exc.phase == _net.CONNECT:
            raise Broken(str(exc)) from exc
        yield str(exc)
    finally:
        session.close()


def old_versions(front: Front) -> t.Iterator[str]:
    _require_tls(front)
    if not front.https:
        raise Inapplicable("there is no TLS")
    if not (ssl.HAS_TLSv1 or ssl.HAS_TLSv1_1):
        raise Unseen("Python here cannot offer versions before 1.2")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that they are deprecated is the point
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        with _net.connect(front.host, front.port, front.budget()) as connection:
            agreed = connection.start_tls(context, front.host).version()
    except _base.ProbeFailure as exc:
        raise Broken(str(exc)) from exc
    except ssl.SSLError as exc:
        if exc.reason == "NO_PROTOCOLS_AVAILABLE":
            raise Unseen("OpenSSL here cannot offer versions before 1.2") from exc
        return  # refused, as it should be
    except ConnectionError:
        return
    yield f"are accepted ({agreed})"


def https_redirect(front: Front, http_url: str | None) -> t.Iterator[str]:
    _require_tls(front)
    name = f"[{front.host}]" if ":" in front.host else front.host
    url = http_url or f"http://{name}/"
    try:
        answer = front.send(url)
    except _base.ProbeFailure as exc:
        if exc.gone:
            return  # nothing listens for plain HTTP
        raise Broken(str(exc)) from exc
    except TimeoutError as exc:
        raise Broken(str(exc)) from exc
    location = urllib.parse.urljoin(url, answer.headers.get("Location") or "")
    if not 300 <= answer.status < 400 or urllib.parse.urlsplit(location).scheme != "https":
        yield f"{url} answers {answer.status} instead of leading to HTTPS"


def cors(front: Front, paths: list[str], origin: str) -> t.Iterator[str]:
    for path in paths:
        for method in ("GET", "OPTIONS"):
            answer = front.ask(path, method, origin)
            _require_application(answer)
            allowed = (answer.headers.get("Access-Control-Allow-Origin") or "").strip()
            credentials = (answer.headers.get("Access-Control-Allow-Credentials") or "").strip().lower() == "true"
            if allowed == origin or (allowed == "*" and credentials):
                yield f"may read {path}" + (" with the visitor's credentials" if credentials else "")


def hidden_path(front: Front, path: str) -> t.Iterator[str]:
    answer, fallback = front.ask(path), front.ask(front.absent)
    _require_application(answer)
    # single-page applications answer every path with the same page
    if 200 <= answer.status < 300 and (answer.status, answer.body) != (fallback.status, fallback.body):
        yield f"answers {answer.status}"


def protected_path(front: Front, path: str) -> t.Iterator[str]:
    answer = front.ask(path)
    if answer.status in (401, 403):
        return
    location = (answer.headers.get("Location") or "").lower()
    if 300 <= answer.status < 400 and any(word in location for word in _LOGIN_WORDS):
        return
    _require_application(answer)
    if answer.status in (404, 405):
        raise Broken(f"answers {answer.status}: correct protected_paths")
    yield f"answers {answer.status} without credentials"


def _of_page(check: t.Callable[..., t.Iterator[str]], front: Front, path: str) -> t.Iterator[str]:
    return check(front.ask(path), front.https)


def _require_application(answer: _http.Answer) -> None:
    if answer.status in _NOT_THE_APPLICATION:
        raise Broken(f"answers {answer.status}: the application behind it was not asked")


def _require_tls(front: Front) -> None:
    if not front.https and is_loopback(front.host):
        raise Unseen("the front is looked at on this machine's loopback, over plain HTTP: TLS would begin elsewhere")


def _not_given() -> t.NoReturn:
    raise Inapplicable("protected_paths is not given")
