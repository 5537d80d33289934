# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `flow`: several requests in order, that hand values on and clean up after themselves. Private to the collection.
"""

from __future__ import annotations

import textwrap
import typing as t

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import (
    _base,
    _expect,
    _flow_plan,
    _flow_run,
    _flow_samples,
    _flow_values,
    _http,
)

_STEP_DOCUMENTATION = (
    r"""
    name:
      description: Name of the step in results and messages. Each step has one of its own.
      type: str
      required: true
    path:
      description:
        - Path and query, appended to O(targets[].flow.url); or a whole URL within O(targets[].flow.allowed_origins).
        - Values are percent-encoded. A path that is nothing but one C(${name}) is taken as it is, as a captured
          C(Location) has to be.
      type: str
      default: /
    method:
      description: Request method.
      type: str
      default: GET
    headers:
      description: Request headers of this step. Not sent to another host that a redirect leads to.
      type: dict
      default: {}
    body:
      description:
        - Request body. C(${name}) is replaced in it at any depth; a text that is nothing but one C(${name}) becomes the
          value with its type.
        - For V(form-multipart), each part is a text, or a dictionary with C(content), C(filename) and C(mime_type);
          without C(content), the file C(filename) of the host is sent.
      type: raw
    body_format:
      description:
        - How the body is sent, in the words of M(ansible.builtin.uri).
        - By default V(raw) for a text and V(json) for everything else.
      type: str
      choices: [form-multipart, form-urlencoded, json, raw]
    max_ms:
      description:
        - Performance budget of this step in milliseconds, connecting and TLS included. Slower is a C(warn).
        - With O(targets[].flow.repeat), it holds for the 95th percentile of the step.
      type: float
    capture:
      description:
        - Values of the answer to keep for later steps. Each name has a dictionary with one of C(json) (dotted path),
          C(cookie) (name), C(header) (name) and C(regex) (searched in the body; its first group, if it has one).
        - A value that is not there is a failure of the step.
        - Captured values of four characters and more are masked in everything that is shown.
      type: dict
      default: {}
    retries:
      description: How often the step is tried again when its answer is not as expected.
      type: int
      default: 0
    delay:
      description: Seconds before it is tried again.
      type: float
      default: 1.0
"""
    + _expect.DOCUMENTATION
)
_WITHOUT_DOCUMENTATION = """\
    without:
      description:
        - Name of a value. The step is sent only if that was not captured, to get it in another way for the steps after
          it.
      type: str
"""
_ALL_STEPS = textwrap.indent(_STEP_DOCUMENTATION.lstrip("\n"), " " * 4)
_CLEANUP_STEPS = _ALL_STEPS + textwrap.indent(_WITHOUT_DOCUMENTATION, " " * 4)
_STEPS = _ALL_STEPS + textwrap.indent(_expect.NOT_CONFIGURED_DOCUMENTATION, " " * 4)
DOCUMENTATION = (
    rf"""
flow:
  description:
    - Several HTTP requests in order, such as log in, create, fetch, delete. The flow is good when each step is.
    - Each run has cookies of its own. Each step opens a connection of its own; times include connecting and TLS.
    - Each attempt is a whole run, clean-up included. C(max_ms) of the target holds for all of it.
    - A request that is refused with status 429 and a C(Retry-After) in seconds is sent again after that time, if so much
      is left and 429 is not what is expected. The time is C(refused_ms) of the step, and no part of its duration.
    - In path, headers, body and expectations, C(${{name}}) stands for a value from O(targets[].flow.vars), a captured
      one, C(${{random}}) (16 hexadecimal digits, others in each run) or C(${{timestamp}}) (seconds since 1970);
      C($$) stands for C($).
    - In check mode, a flow with a method other than C(GET), C(HEAD) and C(OPTIONS) is not run; the result is C(skip).
  type: dict
  suboptions:
    url:
      description:
        - URL that the paths of the steps are appended to. With O(targets[].flow.service), only the address that is
          connected to is that of the container.
      type: str
      required: true
    allowed_origins:
      description:
        - Further origins (scheme, host, port) that steps and redirects may go to. For any other, nothing is sent, and
          the failure is final.
      type: list
      elements: str
      default: []
    within:
      description:
        - Name of another target with a flow. This one is then run after the steps of that one, with the values it has got,
          and before its clean-up. It is run too when a step there has failed, unless it needs a value that was not
          captured; then it is an C(error).
        - Flows within the same one are run in the order of the targets, so that they can share an account that one of
          them deletes in the end. Its result, category, clean-up and timeout are its own, and so are its cookies and
          C(${{random}}).
        - Only for M(tria.production.service_health).
      type: str
    vars:
      description:
        - Values to start with. They may refer to those before them.
        - Those whose name has C(password), C(secret) or C(token) in it are masked in everything that is shown.
      type: dict
      default: {{}}
    headers:
      description:
        - Headers for every step, sent to the origin of O(targets[].flow.url) only.
        - One that refers to a captured value is sent as soon as there is one.
      type: dict
      default: {{}}
    steps:
      description:
        - The requests. After a step that fails, those behind it are left out.
        - After one whose answer says that it is not configured too; the flow is then a C(skip), unless its clean-up
          fails. In a repeated flow, the first such run is the last one.
      type: list
      elements: dict
      required: true
      suboptions:
{_STEPS}    cleanup:
      description:
        - Requests that remove what the steps have made. All of them are sent, also after a failure, a timeout or the
          end of the task by a signal, unless no step could send anything. One that refers to a value that was not
          captured is left out, and the message says so.
        - A failure is a failure of the flow, named after the one that came first.
      type: list
      elements: dict
      default: []
      suboptions:
{_CLEANUP_STEPS}    cleanup_timeout:
      description:
        - Seconds that the clean-up may take. It is not part of C(timeout), so the module may end so much later.
        - Half of it goes first to the answer of a request that was sent and gives a value which the clean-up needs.
      type: float
      default: 5.0
    repeat:
      description:
        - Runs the whole flow many times and judges its times, which are those of its steps without the clean-up.
          C(timeout) holds for all runs together. Without enough of them the flow has failed.
        - Percentiles are by nearest rank, the least time that so many per cent of the good runs do not exceed.
      type: dict
      suboptions:
        samples:
          description: Runs that count.
          type: int
          default: 20
        warmup:
          description: Runs before those, which do not count, however they end.
          type: int
          default: 2
        concurrency:
          description:
            - Runs at the same time, 64 at most. Each request takes about a millisecond of processor time here too, so
              that budgets of few milliseconds are best judged with V(1).
          type: int
          default: 1
        min_samples:
          description:
            - Good runs that it takes for a verdict. By default as many as O(targets[].flow.repeat.max_error_percent)
              leaves of O(targets[].flow.repeat.samples).
          type: int
        max_p50_ms:
          description: Greatest median in milliseconds.
          type: float
        max_p95_ms:
          description: Greatest 95th percentile in milliseconds.
          type: float
        max_p99_ms:
          description: Greatest 99th percentile in milliseconds.
          type: float
        max_error_percent:
          description: How many runs in a hundred may fail.
          type: float
          default: 0.0
"""
    + _http.DOCUMENTATION
    + _base.COMPOSE_DOCUMENTATION
)
CATEGORY = "API"
LIBRARIES = ()
_STEP: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "path": {"type": "str", "default": "/"},
    "method": {"type": "str", "default": "GET"},
    "headers": {"type": "dict", "default": {}},
    "body": {"type": "raw"},
    "body_format": {"type": "str", "choices": ["form-multipart", "form-urlencoded", "json", "raw"]},
    "max_ms": {"type": "float"},
    "capture": {"type": "dict", "default": {}},
    "retries": {"type": "int", "default": 0},
    "delay": {"type": "float", "default": 1.0},
    **_expect.OPTIONS,
}
_CLEANUP_STEP = {**_STEP, "without": {"type": "str"}}
_CHECKED_STEP = {**_STEP, **_expect.NOT_CONFIGURED}
_BUDGETS = tuple(f"max_p{rank}_ms" for rank in _flow_samples.PERCENTILES)
_REPEAT: dict[str, t.Any] = {
    "samples": {"type": "int", "default": 20},
    "warmup": {"type": "int", "default": 2},
    "concurrency": {"type": "int", "default": 1},
    "min_samples": {"type": "int"},
    **{name: {"type": "float"} for name in _BUDGETS},
    "max_error_percent": {"type": "float", "default": 0.0},
}
SPEC: dict[str, t.Any] = {
    "options": {
        "url": {"type": "str", "required": True},
        "allowed_origins": {"type": "list", "elements": "str", "default": []},
        "within": {"type": "str"},
        "vars": {"type": "dict", "default": {}},
        "headers": {"type": "dict", "default": {}},
        "steps": {"type": "list", "elements": "dict", "required": True, "options": _CHECKED_STEP},
        "cleanup": {"type": "list", "elements": "dict", "default": [], "options": _CLEANUP_STEP},
        "cleanup_timeout": {"type": "float", "default": 5.0},
        "repeat": {"type": "dict", "options": _REPEAT},
        **_http.OPTIONS,
        **_base.COMPOSE_OPTIONS,
    },
    "required_together": _base.COMPOSE_TOGETHER,
}


def endpoint(options: dict[str, t.Any]) -> tuple[str, int]:
    return _http.origin(options["url"])[1:]


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Runs the flow once, or as often as `repeat` says. Check mode skips flows that may change something."""
    outer = attempt.memory.get(_flow_run.OUTER)
    if options["within"] and outer is None:
        raise _flow_plan.wrong("within", "nothing runs around this flow", "Only service_health runs flows in flows.")
    _flow_plan.verify(options, outer.names if outer else ())
    _need(options, outer)
    unsafe = [step["name"] for step in [*options["steps"], *options["cleanup"]]
              if step["method"].upper() not in _http.SAFE_METHODS]
    if attempt.session.check_mode and unsafe:
        return _base.Outcome(f"not run in check mode, as {unsafe[0]} may change something", skipped=True)
    return _repeatedly(options, attempt) if options["repeat"] else _once(options, attempt)


def _need(options: dict[str, t.Any], outer: _flow_run.Outer | None) -> None:
    """Raises `ProductionError` when the flow around did not come so far as to give what this one needs."""
    steps = [*options["steps"], *options["cleanup"]]
    own = set(options["vars"]).union(_flow_plan.BUILT_IN, *(step["capture"] for step in steps))
    texts = [[step[name] for name in _flow_plan.FILLED] for step in steps]
    needed = _flow_values.names([texts, options["headers"], options["vars"]]) - own
    missing = sorted(needed - set(outer.values)) if outer else []
    if missing and outer:
        raise ProductionError("not run", f"{outer.name} has not captured {', '.join(missing)}", "See there.")


def _once(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    record = _flow_run.run(options, attempt)
    data = {"url": _http.without_password(options["url"]), **record.as_dict()}
    if record.failure:
        record.failure.data = {**data, **record.failure.data}
        raise record.failure
    if record.not_configured:
        return _skipped(options, record)
    slow = _over_budget(options, record.steps, "duration_ms", "took")
    return _base.Outcome(f"{_steps(options)} in {record.duration_ms:g} ms", data, slow)


def _repeatedly(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    repeat = options["repeat"]
    samples = _flow_samples.take(
        repeat, lambda: _flow_run.run(options, attempt), attempt.budget, options["cleanup_timeout"]
    )
    budgets = {name: repeat[name] for name in _BUDGETS if repeat[name] is not None}
    data = {"url": _http.without_password(options["url"]), **samples.as_dict(), **budgets}
    for step, times in zip(options["steps"], data.get("steps", [])):
        times.update({} if step["max_ms"] is None else {"max_p95_ms": step["max_ms"]})
    problems = _flow_samples.problems(repeat, samples, attempt.budget.seconds)
    if problems:
        first = samples.failures[0] if samples.failures else None
        remedy = first.remedy if first else "Find out what slows it down, or raise timeout or the budget."
        raise _base.ProbeFailure("; ".join(problems), remedy, "repeat", data={**(first.data if first else {}), **data})
    if samples.not_configured:
        return _skipped(options, samples.not_configured)
    slow = _over_budget(options, data["steps"], "p95_ms", "has p95")
    return _base.Outcome(f"{_steps(options)} {len(samples.good)} times, p95 {data['p95_ms']:g} ms", data, slow)


def _skipped(options: dict[str, t.Any], record: _flow_run.Record) -> _base.Outcome:
    told = [step["status_code"] for step in record.steps if "status_code" in step][-1]  # the flow ended with that one
    data = {"url": _http.without_password(options["url"]), "status_code": told, **record.as_dict()}
    return _base.Outcome(record.not_configured, data, skipped=True)


def _steps(options: dict[str, t.Any]) -> str:
    count = len(options["steps"])
    return f"{count} steps" if count > 1 else "1 step"


def _over_budget(options: dict[str, t.Any], times: list[dict[str, t.Any]], key: str, verb: str) -> list[str]:
    return [
        f"step {step['name']} {verb} {seen[key]:.0f} ms, more than max_ms {step['max_ms']:g}"
        for step, seen in zip(options["steps"], times)
        if step["max_ms"] is not None and seen[key] > step["max_ms"]
    ]
