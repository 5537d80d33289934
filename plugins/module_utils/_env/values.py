# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One variable's value held against what the schema says of it. Private to the collection.

Yields `(rule name, message, remedy)`; an empty message or remedy means the rule's own.
"""

from __future__ import annotations

import math
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import carried, urls
from ansible_collections.tria.production.plugins.module_utils._env.placeholders import placeholder
from ansible_collections.tria.production.plugins.module_utils._env.schema import Variable

Violation = t.Tuple[str, str, str]

# Ansible's own words
_TRUE = frozenset(("1", "true", "t", "yes", "y", "on"))
_FALSE = frozenset(("0", "false", "f", "no", "n", "off"))

_INT = re.compile(r"[+-]?[0-9]{1,200}\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]{1,200}(?:\.[0-9]{0,200})?|\.[0-9]{1,200})(?:[eE][+-]?[0-9]{1,3})?\Z")
_EXPECTED = {
    "int": "not a whole number",
    "float": "not a number",
    "bool": "neither true nor false",
}


def is_blank(text: str) -> bool:
    return not text.strip()


def boolean(text: str) -> bool | None:
    """The truth of a value in Ansible's words, or None."""
    lower = text.lower()
    return True if lower in _TRUE else False if lower in _FALSE else None


def violations(variable: Variable, text: str) -> t.Iterator[Violation]:
    """What is wrong with a value that is set and not blank."""
    if len(text) > carried.LONGEST:
        return  # no process gets it, and the rule `too_long` says so
    url = None
    if variable.type == "url" or "://" in text:
        try:
            url = urls.split(text)
        except urls.UrlError as exc:
            if variable.type == "url":
                yield "url", str(exc), ""
    yield from _typed(variable, text)
    if variable.type == "url" and url:
        yield from _url(variable, url)
    yield from _form(variable, text)
    yield from _placeholders(variable, text, url)


def _typed(variable: Variable, text: str) -> t.Iterator[Violation]:
    if variable.type == "bool" and boolean(text) is None:
        yield "type", _EXPECTED["bool"], "Write true or false."
    if variable.type not in ("int", "float"):
        return
    number = float(text) if (_INT if variable.type == "int" else _FLOAT).match(text) else math.inf
    if math.isinf(number):
        yield "type", _EXPECTED[variable.type], f"Write a value of type {variable.type}."
        return
    low, high = variable.min, variable.max
    if low is not None and number < low or high is not None and number > high:
        yield "range", f"not {_bounds(low, high)}", ""


def _bounds(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"between {low} and {high}"


def _url(variable: Variable, url: urls.Url) -> t.Iterator[Violation]:
    if variable.schemes and not {url.full_scheme, url.scheme} & set(variable.schemes):
        yield "schemes", f"the URL's scheme is none of {', '.join(variable.schemes)}", ""
    if url.unescaped:
        yield "unescaped", "", ""
    if variable.in_container and any(map(urls.is_local, url.hosts)):
        yield "localhost", "", ""


def _form(variable: Variable, text: str) -> t.Iterator[Violation]:
    if variable.pattern and not variable.pattern.search(text):
        yield "pattern", f"does not match {variable.pattern.pattern}", ""
    if variable.min_length is not None and len(text) < variable.min_length:
        remedy = "" if variable.secret else f"Write at least {variable.min_length} characters."
        yield "min_length", f"shorter than {variable.min_length} characters", remedy
    if variable.max_length is not None and len(text) > variable.max_length:
        yield "max_length", f"longer than {variable.max_length} characters", ""
    if variable.choices and text not in variable.choices:
        yield "choices", f"none of {', '.join(variable.choices)}", ""


def _placeholders(variable: Variable, text: str, url: urls.Url | None) -> t.Iterator[Violation]:
    if variable.choices and text in variable.choices:
        return
    if url is None:
        reason = placeholder(text, variable.secret)
        if reason:
            yield "placeholder", reason, ""
        return
    for part in ("user", "password", "host", "path"):
        reason = placeholder(url.part(part), part == "password") if url.part(part) else None
        if reason:
            yield "placeholder", f"the {part} in the URL {reason}", ""
