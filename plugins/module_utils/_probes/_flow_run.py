# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of a flow: its steps, then its clean-up whatever happened. Private to the collection."""

from __future__ import annotations

import dataclasses
import math
import re
import secrets
import ssl
import time
import types
import typing as t
import urllib.request

from ansible_collections.tria.production.plugins.module_utils._probes import (
    _base,
    _expect,
    _flow_plan,
    _flow_values,
    _http,
)

INNER = "inner flows"  # in an attempt's memory: an `Inner`, for whoever runs flows within this one
OUTER = "outer flow"  # in an attempt's memory: an `Outer`, for a flow that runs within another
_LONG_COOKIE = 8  # characters; a shorter one is no session, and masking it would blank out ordinary words
_SECRET_NAME = re.compile("password|secret|token", re.IGNORECASE)
_LEAST_RETRY = 0.1  # s; whoever says 0 shall not be asked without a break


class Inner(t.NamedTuple):
    """`run` is called with the values that the steps got, and must not raise; `cleanup_timeout` is theirs (s)."""

    run: t.Callable[[dict[str, t.Any]], None]
    cleanup_timeout: float


class Outer(t.NamedTuple):
    """The flow around one: the `names` that it gives, and those `values` that there really are."""

    name: str
    names: set[str]
    values: dict[str, t.Any]


@dataclasses.dataclass
class Record:
    """What a run saw: an entry a step with `name`, `method`, `status_code`, `duration_ms`, `attempts` or `skipped`.

    `leftovers` are the failures of the clean-up; `not_configured` is the reason why it ended before its last step.
    """

    steps: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    cleanup: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    leftovers: list[str] = dataclasses.field(default_factory=list)
    failure: t.Optional[_base.ProbeFailure] = None
    not_configured: str = ""

    @property
    def duration_ms(self) -> float:
        return round(sum(step.get("duration_ms", 0.0) for step in self.steps), 1)

    def as_dict(self) -> dict[str, t.Any]:
        return {"duration_ms": self.duration_ms, "steps": self.steps, "cleanup": self.cleanup}


def run(options: dict[str, t.Any], attempt: _base.Attempt) -> Record:
    """Runs a verified flow once, and those within it; raises `Cancelled` after the clean-up."""
    one = _Run(options, attempt)
    inner: Inner | None = attempt.memory.get(INNER)
    with attempt.session.unfinished(options["cleanup_timeout"] + (inner.cleanup_timeout if inner else 0)):
        try:
            one.perform_steps()
            if inner and not one.record.not_configured:
                one.perform(inner)
        finally:
            one.clean_up()
    return one.record


class _Overtime(_base.Budget):
    """The budget of a request whose answer says what has to be removed: once sent, that is worth `seconds` more."""

    def __init__(self, budget: _base.Budget, seconds: float) -> None:
        super().__init__(budget.seconds)
        self.sent = False
        self.begun: float | None = None
        self._budget = budget
        self._more = seconds

    @property
    def spent(self) -> float:
        return 0.0 if self.begun is None else time.monotonic() - self.begun

    def remaining(self) -> float:
        try:
            return self._budget.remaining()
        except (TimeoutError, _base.Cancelled):
            if not self.sent or self.spent >= self._more:
                raise
            self.begun = self.begun or time.monotonic()
            return self._more - self.spent


class _Browser(_http.Client):
    """A client with cookies, that goes nowhere but to the origins of its flow."""

    def __init__(self, options: dict[str, t.Any], host: str | None) -> None:
        import http.cookiejar  # takes 10 ms, which no module without a flow should pay

        super().__init__(options, host)
        self._origins = _flow_plan.origins(options)
        self._base = _http.origin(options["url"])
        self._jar = http.cookiejar.CookieJar()
        self.common: dict[str, str] = {}
        self.sent = False
        self.overtime: _Overtime | None = None

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self._jar}

    def admit(self, url: str) -> None:
        scheme, host, port = found = _http.origin(url)
        if found not in self._origins:
            raise _base.ProbeFailure(
                f"{scheme}://{host}:{port} is not an origin that this flow may go to",
                "Add it to allowed_origins, if it is.", "origin", permanent=True,
            )

    def headers(self, url: str) -> dict[str, str]:
        self.sent = True
        if self.overtime:
            self.overtime.sent = True
        request = _for_jar(url)
        self._jar.add_cookie_header(request)
        cookie = request.get_header("Cookie")
        common = self.common if _http.origin(url) == self._base else {}
        return _http.merged({"Cookie": cookie} if cookie else {}, common)

    def received(self, url: str, answer: _http.Answer) -> None:
        response: t.Any = types.SimpleNamespace(info=lambda: answer.headers)
        self._jar.extract_cookies(response, _for_jar(url))


class _Run:
    def __init__(self, options: dict[str, t.Any], attempt: _base.Attempt) -> None:
        self.record = Record()
        self._options = options
        self._attempt = attempt
        self._client = _Browser(options, attempt.host)
        self._to_remove = _flow_values.names([step[name] for step in options["cleanup"] for name in _flow_plan.FILLED])
        self._cleanup_seconds: float = options["cleanup_timeout"]
        outer: Outer | None = attempt.memory.get(OUTER)
        self._values: dict[str, t.Any] = {
            **(outer.values if outer else {}), "random": secrets.token_hex(8), "timestamp": int(time.time())
        }
        for name, value in options["vars"].items():
            self._values[name] = _flow_values.fill(value, self._values)
            if _SECRET_NAME.search(name):
                attempt.session.hide(*_flow_values.spellings(self._values[name]))

    def perform_steps(self) -> None:
        """All steps in order, up to the first that fails or is not configured; raises `Cancelled`."""
        for step in self._options["steps"]:
            if self.record.failure or self.record.not_configured:
                reason = "a step before it failed" if self.record.failure else "a step before it is not configured"
                self.record.steps.append({"name": step["name"], "skipped": reason})
                continue
            try:
                self._perform("step", step, self._attempt.budget, self.record.steps)
            except _base.ProbeFailure as exc:
                self.record.failure = exc

    def perform(self, inner: Inner) -> None:
        """The flows within this one, whatever became of the steps; their time is not this flow's."""
        begun = time.monotonic()
        inner.run(dict(self._values))
        self._attempt.aside += time.monotonic() - begun

    def clean_up(self) -> None:
        """All steps of the clean-up, each with its share of the time that is left; without a request, nothing."""
        if not self._client.sent:
            return
        end = time.monotonic() + self._cleanup_seconds
        todo = self._options["cleanup"]
        for left, step in zip(range(len(todo), 0, -1), todo):
            if step["without"] in self._values:
                self.record.cleanup.append({"name": step["name"], "skipped": f"{step['without']} was captured"})
                continue
            missing = sorted(_flow_values.names([step[name] for name in _flow_plan.FILLED]) - set(self._values))
            if missing:
                reason = f"{', '.join(missing)} was not captured"
                self.record.cleanup.append({"name": step["name"], "skipped": reason})
                if not self.record.not_configured:  # else nothing made what it would remove
                    self._add_failure(_base.ProbeFailure(f"clean-up step {step['name']} was skipped, as {reason}"))
                continue
            try:
                share = _base.Budget(max(0.0, end - time.monotonic()) / left)
                self._perform("clean-up step", step, share, self.record.cleanup)
            except _base.ProbeFailure as exc:
                self._add_failure(exc)

    def _add_failure(self, failure: _base.ProbeFailure) -> None:
        """What went wrong first stays first, and says whether waiting is useless."""
        self.record.leftovers.append(str(failure))
        first = self.record.failure
        if first is None:
            self.record.failure = failure
            failure.remedy = failure.remedy or "Remove by hand what the flow left behind."
            return
        first.args = (f"{first}; {failure}",)
        first.data = {**failure.data, **first.data}

    def _perform(
        self, title: str, step: dict[str, t.Any], budget: _base.Budget, records: list[dict[str, t.Any]]
    ) -> None:
        entry: dict[str, t.Any] = {"name": step["name"], "method": step["method"].upper(), "status_code": None}
        records.append(entry)
        failure: _base.ProbeFailure | None = None
        for tried in range(1, step["retries"] + 2):
            begun = time.monotonic()
            try:
                self._once(step, budget, entry)
                return
            except _base.ProbeFailure as exc:
                failure = exc
            except (TimeoutError, ConnectionError, ssl.SSLError) as exc:
                # time that runs out while trying again says less than what had gone wrong before
                failure = failure or _base.ProbeFailure(str(exc), "See the service's log.", "answer")
            finally:
                took = (time.monotonic() - begun) * 1000 - entry.get("refused_ms", 0.0)
                entry["duration_ms"] = round(took, 1)
                entry.update({"attempts": tried} if tried > 1 else {})
            if failure.permanent or tried > step["retries"] or not _pause(step["delay"], budget):
                failure.args = (f"{title} {step['name']} failed{f' {tried} times' if tried > 1 else ''}: {failure}",)
                raise failure

    def _once(self, step: dict[str, t.Any], budget: _base.Budget, entry: dict[str, t.Any]) -> None:
        answer, overtime = self._send(step, budget)
        while answer.status == 429 and 429 not in step["status"]:
            begun = time.monotonic()
            if not _pause(_retry_after(answer), budget):
                break
            entry["refused_ms"] = round(entry.get("refused_ms", 0.0) + (time.monotonic() - begun) * 1000, 1)
            answer, overtime = self._send(step, budget)
        entry["status_code"] = answer.status
        self._attempt.session.hide(*(one for one in self._client.cookies.values() if len(one) >= _LONG_COOKIE))
        captured = {
            name: _flow_values.capture(source, answer, self._client.cookies)
            for name, source in step["capture"].items()
        }
        found = {name: value for name, value in captured.items() if value is not _expect.ABSENT}
        for value in found.values():
            self._attempt.session.hide(*_flow_values.spellings(value))
        filled = {name: _flow_values.fill(step[name], self._values) for name in _expect.OPTIONS}
        for name in ("contains", "equals"):
            filled[name] = None if filled[name] is None else _flow_values.as_text(filled[name])
        problems = _expect.violations(filled, answer)
        if not problems:
            problems = [
                f"cannot capture {name} from {' '.join(*source.items())}"
                for name, source in step["capture"].items() if name not in found
            ]
        self._values.update(found)  # of a bad answer or a late one too: what it made has to be removed
        if overtime:
            budget.remaining()  # says why there is no time left
        not_configured = _expect.not_configured(step, answer)
        if not_configured:
            self.record.not_configured = not_configured
            return
        if problems:
            denied = answer.status == 401 and self._options["url_password"] is not None
            raise _base.ProbeFailure(
                "; ".join(problems), "Read the body of the answer (data.body), and the service's log.", "response",
                permanent=denied, data={"body": self._attempt.session.clean(answer.text)[:_expect.EXCERPT]},
            )

    def _send(self, step: dict[str, t.Any], budget: _base.Budget) -> tuple[_http.Answer, bool]:
        """The answer, and whether it came after the end of the budget."""
        request = self._request(step)
        if budget is not self._attempt.budget or not self._to_remove & set(step["capture"]):
            return self._client.send(request, budget), False
        overtime = self._client.overtime = _Overtime(budget, self._cleanup_seconds / 2)
        try:
            return self._client.send(request, overtime), overtime.begun is not None
        finally:
            self._client.overtime = None
            self._cleanup_seconds -= overtime.spent

    def _request(self, step: dict[str, t.Any]) -> _http.Request:
        base = self._options["url"]
        # those that need a value not captured yet are sent from then on
        common = {
            name: value for name, value in self._options["headers"].items()
            if _flow_values.names(value) <= set(self._values)
        }
        try:
            self._client.common = _http.merged(
                _http.basic_authorization(self._options), _flow_values.headers(common, self._values)
            )
            headers = _flow_values.headers(step["headers"], self._values)
            body, described = _flow_values.body(step["body"], step["body_format"], self._values)
        except (ValueError, OSError) as exc:
            raise _base.ProbeFailure(str(exc), "Correct the step.", "request", permanent=True) from exc
        url = _flow_values.url(base, step["path"], self._values)
        return _http.Request(step["method"].upper(), url, _http.merged(described, headers), body)


def _for_jar(url: str) -> urllib.request.Request:
    return urllib.request.Request(_http.without_password(url))  # the jar would take a user name for part of the host


def _retry_after(answer: _http.Answer) -> float:
    """Seconds until a rate limit lets somebody in again; infinite when the answer does not say."""
    said = answer.headers.get("Retry-After", "")
    return max(_LEAST_RETRY, float(said)) if said.isdigit() else math.inf


def _pause(seconds: float, budget: _base.Budget) -> bool:
    """Sleeps, unless there would be no time left afterwards."""
    try:
        enough = budget.remaining() > seconds
    except TimeoutError:
        return False
    if enough:
        budget.sleep(seconds)
    return enough
