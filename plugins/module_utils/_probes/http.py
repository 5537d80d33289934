# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `http`: a request gets the expected answer. Private to the collection."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _expect, _health_documents, _http

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
    idempotent:
      description: Sends the same request twice; both answers must be the same, status and body.
      type: bool
      default: false
    health:
      description:
        - Whether a health document in the answer is read. Known by content type or shape are
          C(application/health+json), Spring Boot Actuator, MicroProfile Health and the readiness document, as
          M(tria.production.service_health) returns it in C(health).
        - With V(read), a document that calls the service down is a failure, whatever the status code. One that warns,
          or that calls the service good and a component of it not, is a C(warn). The components are returned in
          C(health) of the result's data.
        - Where O(targets[].http.json), O(targets[].http.contains), O(targets[].http.equals) or an accepted status code of
          400 or more tell what a good answer is, those rule with V(read), and the document is a C(warn) at worst.
        - With V(require), the answer must be a health document, and the document rules too.
        - With V(ignore), none is read.
      type: str
      choices: [ignore, read, require]
      default: read
"""
    + _expect.DOCUMENTATION
    + _expect.NOT_CONFIGURED_DOCUMENTATION
    + _http.DOCUMENTATION
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
        "idempotent": {"type": "bool", "default": False},
        "health": {"type": "str", "choices": ["ignore", "read", "require"], "default": "read"},
        **_expect.OPTIONS,
        **_expect.NOT_CONFIGURED,
        **_http.OPTIONS,
        **_base.COMPOSE_OPTIONS,
    },
    "required_together": _base.COMPOSE_TOGETHER,
}


def endpoint(options: dict[str, t.Any]) -> tuple[str, int]:
    return _http.origin(options["url"])[1:]


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Sends the request (with `idempotent` twice) and holds the answer against every expectation at once.

    Check mode skips methods that may change something.
    """
    request = _request(options)
    if attempt.session.check_mode and request.method not in _http.SAFE_METHODS:
        return _base.Outcome(f"{request.method} is not sent in check mode", skipped=True)
    client = _http.Client(options, attempt.host, attempt.take_socket())
    answer = client.send(request, attempt.budget)
    data = {"url": _http.without_password(options["url"]), "status_code": answer.status}
    not_configured = _expect.not_configured(options, answer)
    if not_configured:
        return _base.Outcome(not_configured, data, skipped=True)
    problems = _expect.violations(options, answer)
    health = None if options["health"] == "ignore" else _health_document(answer)
    if health is not None:
        data["health"] = health
    elif options["health"] == "require":
        problems.append(f"the answer is no health document (content type {answer.headers.get('Content-Type')})")
    troubles = _health_documents.troubles(health) if health else []
    if troubles and (problems or (health["status"] == _health_documents.FAIL and _document_rules(options, answer))):
        problems = troubles + problems  # what is behind it comes first
    if options["idempotent"] and not problems:
        again = client.send(request, attempt.budget)
        if (again.status, again.body) != (answer.status, answer.body):
            problems = [f"the same request got another answer the second time (status {again.status})"]
    if problems:
        remedy = f"Read the body of the answer (data.{'health' if troubles else 'body'}), and the service's log."
        denied = answer.status == 401 and options["url_password"] is not None
        raise _base.ProbeFailure(
            "; ".join(problems),
            "Correct url_username and url_password." if denied else remedy,
            "response",
            permanent=denied,
            data={**data, "body": attempt.session.clean(answer.text)[:_expect.EXCERPT]},
        )
    return _base.Outcome(f"{request.method} answered {answer.status}", data, troubles)


def _health_document(answer: _http.Answer) -> dict[str, t.Any] | None:
    try:
        return _health_documents.parse(answer.headers.get("Content-Type", ""), answer.json())
    except ValueError:  # no JSON, or such that cannot be read
        return None


def _document_rules(options: dict[str, t.Any], answer: _http.Answer) -> bool:
    """Whether a document's "down" is a failure, or somebody has said what else a good answer is."""
    unasked = answer.status < 400 and not any(options[name] is not None for name in ("json", "contains", "equals"))
    return options["health"] == "require" or unasked


def _request(options: dict[str, t.Any]) -> _http.Request:
    headers = {name: str(value) for name, value in options["headers"].items()}
    headers = _http.merged(headers, _http.basic_authorization(options))
    body = options["body"]
    if body is not None and not isinstance(body, str):
        headers = _http.merged({"Content-Type": "application/json"}, headers)
        body = json.dumps(body)
    return _http.Request(options["method"].upper(), options["url"], headers, None if body is None else body.encode())
