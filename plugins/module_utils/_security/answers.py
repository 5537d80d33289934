# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one answer of the HTTP front shows: headers, cookies, errors. Private to the collection.

Each check yields what is wrong with one answer.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _http
from ansible_collections.tria.production.plugins.module_utils._security.observation import Check, Inapplicable

HSTS_LEAST_S = 15768000  # half a year
_MAX_AGE = re.compile(r"max-age\s*=\s*\"?(\d+)", re.IGNORECASE)
_ANYWHERE = ("*", "http:", "https:", "data:")
_TRACES = re.compile(
    r"Traceback \(most recent call last\)|File \"/[^\"]+\", line \d+|Werkzeug Debugger|"
    r"\bat [\w$.<>]+\((?:\w+\.java:\d+|Native Method)\)|\bat (?:[\w.<>]+ \()?(?:/|node:|file://)[^\s()]+:\d+:\d+\)?|"
    r"#\d+ /[^\s]+\.php\(\d+\)|\b(?:panic: |goroutine \d+ \[)|"
    r"You're seeing this error because you have <code>DEBUG = True|"
    r"\.rb:\d+:in [`']|System\.\w+Exception: "
)
_VERSION = re.compile(r"/\s*\d")


def hsts(answer: _http.Answer, https: bool) -> t.Iterator[str]:
    if not https:
        raise Inapplicable("means nothing over plain HTTP")
    header = answer.headers.get("Strict-Transport-Security")
    found = _MAX_AGE.search(header or "")
    if header is None:
        yield "has no Strict-Transport-Security"
    elif found is None or int(found[1]) < HSTS_LEAST_S:
        yield "has a Strict-Transport-Security of less than half a year"


def csp(answer: _http.Answer, _https: bool) -> t.Iterator[str]:
    policy = _policy(answer)
    if policy is None:
        yield "has no Content-Security-Policy"
        return
    sources = policy.get("script-src", policy.get("default-src"))
    if sources is None or set(_ANYWHERE).intersection(sources):
        yield "has a Content-Security-Policy that lets scripts come from anywhere"
    elif "'unsafe-inline'" in sources and not any(one.startswith(("'nonce-", "'sha")) for one in sources):
        yield "has a Content-Security-Policy that allows inline scripts"


def nosniff(answer: _http.Answer, _https: bool) -> t.Iterator[str]:
    if (answer.headers.get("X-Content-Type-Options") or "").strip().lower() != "nosniff":
        yield "has no X-Content-Type-Options: nosniff"


def framing(answer: _http.Answer, _https: bool) -> t.Iterator[str]:
    ancestors = (_policy(answer) or {}).get("frame-ancestors")
    if ancestors is not None:  # wins over the older header
        if set(_ANYWHERE).intersection(ancestors):
            yield "has frame-ancestors that let anybody frame it"
    elif (answer.headers.get("X-Frame-Options") or "").strip().upper() not in ("DENY", "SAMEORIGIN"):
        yield "has neither X-Frame-Options nor frame-ancestors"


def cookies(answer: _http.Answer, https: bool) -> t.Iterator[str]:
    for header in answer.headers.get_all("Set-Cookie") or []:
        first, *attributes = header.split(";")
        name = first.partition("=")[0].strip()
        flags = {one.partition("=")[0].strip().lower(): one.partition("=")[2].strip().lower() for one in attributes}
        missing = [
            flag
            for flag, wanted in (
                ("HttpOnly", not re.search(r"csrf|xsrf", name, re.IGNORECASE)),
                ("SameSite", True),
                ("Secure", https or flags.get("samesite") == "none"),
            )
            if wanted and flag.lower() not in flags
        ]
        if missing:
            yield f"sets the cookie {name} without {', '.join(missing)}"


def stack_traces(answer: _http.Answer, _https: bool) -> t.Iterator[str]:
    if _TRACES.search(answer.text):
        yield f"answers {answer.status} with a stack trace"


def server_banner(answer: _http.Answer, _https: bool) -> t.Iterator[str]:
    for name in ("Server", "X-Powered-By", "X-AspNet-Version"):
        value = answer.headers.get(name)
        if value and (name != "Server" or _VERSION.search(value)):
            yield f"tells its version in {name}"


CHECKS: dict[str, Check] = {
    check.__name__: check for check in (hsts, csp, nosniff, framing, cookies, stack_traces, server_banner)
}


def _policy(answer: _http.Answer) -> dict[str, list[str]] | None:
    """The directives of the content security policy."""
    header = answer.headers.get("Content-Security-Policy")
    if header is None:
        return None
    found: dict[str, list[str]] = {}
    for directive in header.split(";"):
        name, *sources = directive.split() or [""]
        found.setdefault(name.lower(), [source.lower() for source in sources])  # the first one counts
    return found
