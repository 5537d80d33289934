# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an HTTP answer must be like, for every kind that asks over HTTP. Private to the collection."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _http

OPTIONS: dict[str, t.Any] = {
    "status": {"type": "list", "elements": "int", "default": [200]},
    "json": {"type": "dict"},
    "contains": {"type": "str"},
    "equals": {"type": "str"},
    "response_headers": {"type": "dict", "default": {}},
}
DOCUMENTATION = """\
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
    equals:
      description: Text that the body must be, to the byte (UTF-8).
      type: str
    response_headers:
      description: Headers that the answer must have, each with a text that it must contain.
      type: dict
      default: {}
"""
NOT_CONFIGURED: dict[str, t.Any] = {
    "not_configured": {
        "type": "dict",
        "options": {
            "reason": {"type": "str", "required": True},
            "status": {"type": "list", "elements": "int"},
            "json": {"type": "dict"},
        },
        "required_one_of": [["status", "json"]],
    },
}
NOT_CONFIGURED_DOCUMENTATION = """\
    not_configured:
      description:
        - The answer by which the service says that it was set up without what is asked for. An answer that matches
          everything given here is a C(skip), whatever else is expected of it. At least one of C(status) and C(json) is
          needed.
      type: dict
      suboptions:
        reason:
          description: Message of the result.
          type: str
          required: true
        status:
          description: Status codes of such an answer.
          type: list
          elements: int
        json:
          description: What the JSON document in such an answer contains, in the same form as for a good one.
          type: dict
"""
ABSENT = object()
EXCERPT = 500  # characters of a body that a failure shows


def violations(options: dict[str, t.Any], answer: _http.Answer) -> list[str]:
    """Every expectation in `options` that the answer does not meet, in words."""
    problems = []
    if answer.status not in options["status"]:
        problems.append(f"status {answer.status} instead of {' or '.join(str(code) for code in options['status'])}")
    for name, expected in options["response_headers"].items():
        found = answer.headers.get(name)
        if found is None or str(expected) not in found:
            problems.append(f"header {name} is {found!r} instead of {str(expected)!r}")
    if options["contains"] is not None and options["contains"] not in answer.text:
        problems.append(f"the body does not contain {options['contains']!r}")
    if options["equals"] is not None and answer.body != options["equals"].encode():
        wanted = len(options["equals"].encode())
        problems.append(f"the body ({len(answer.body)} bytes) is not what it must be ({wanted} bytes)")
    if options["json"] is not None:
        try:
            problems += differences(options["json"], answer.json())
        except ValueError:
            problems.append("the body is not JSON")
    return problems


def not_configured(options: dict[str, t.Any], answer: _http.Answer) -> str:
    """The reason in the option `not_configured` of `options`, where the answer matches all of it; else ""."""
    sign = options.get("not_configured")
    if not sign or not (sign["status"] or sign["json"]):
        return ""  # an empty list or dictionary would match everything
    if sign["status"] and answer.status not in sign["status"]:
        return ""
    try:
        return "" if sign["json"] and differences(sign["json"], answer.json()) else sign["reason"]
    except ValueError:  # no JSON
        return ""


def differences(expected: t.Any, actual: t.Any, path: str = "") -> list[str]:
    """Where `actual` is not what `expected` asks for: dictionaries are subsets, their keys may be dotted paths."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = []
        for key, value in expected.items():
            inner = f"{path}.{key}" if path else str(key)
            found += differences(value, lookup(actual, str(key)), inner)
        return found
    same = expected == actual and isinstance(expected, bool) == isinstance(actual, bool)
    if same:
        return []
    if actual is ABSENT:
        return [f"{path} is missing"]
    return [f"{path} is {json.dumps(actual)} instead of {json.dumps(expected)}"]


def lookup(document: t.Any, key: str) -> t.Any:
    """What is at a dotted path of a JSON document (list items are numbers), or `ABSENT`."""
    if isinstance(document, dict) and key in document:
        return document[key]
    for step in key.split("."):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return ABSENT
    return document
