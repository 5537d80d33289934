# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One variable's value held against what the schema says of it. Private to the collection.

Yields `(rule name, message, remedy)`; an empty message or remedy means the rule's own.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import kinds, urls
from ansible_collections.tria.production.plugins.module_utils._env.placeholders import placeholder
from ansible_collections.tria.production.plugins.module_utils._env.rules import RULES
from ansible_collections.tria.production.plugins.module_utils._env.vocabulary import Variable

Violation = t.Tuple[str, str, str]


def is_blank(text: str) -> bool:
    return not text.strip()


def violations(variable: Variable, text: str) -> t.Iterator[Violation]:
    """What is wrong with a value that is set and not blank."""
    if variable.deprecated is not None:
        yield _deprecated(variable)
    if variable.type == "list":
        yield from _list(variable, text)
    else:
        yield from _single(variable, text)


def _deprecated(variable: Variable) -> Violation:
    message = f"is deprecated: {variable.deprecated}" if variable.deprecated else ""
    remedy = f"Set {variable.replacement} instead." if variable.replacement else ""
    return "deprecated", message.rstrip("."), remedy


def _list(variable: Variable, text: str) -> t.Iterator[Violation]:
    """What is wrong with the number of items, and with the first one that something is wrong with."""
    items = kinds.items(text, variable.separator)
    yield from _bounded(variable, len(items))
    item_variable = dataclasses.replace(variable, type=variable.elements, min=None, max=None, deprecated=None)
    for index, item in enumerate(items, 1):
        if not item:
            yield "type", f"item {index} is empty", f"Separate the items by {variable.separator!r}, and end with none."
            return
        found = list(_single(item_variable, item))
        for rule, message, remedy in found:
            yield rule, f"item {index}: {message or RULES[rule].message}", remedy
        if found:
            return


def _single(variable: Variable, text: str) -> t.Iterator[Violation]:
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
    kind = kinds.KINDS[variable.type]
    try:
        number = kind.measure(text) if variable.type != "url" else 0.0
    except ValueError:
        yield "type", kind.mismatch, kind.remedy
    else:
        yield from _bounded(variable, number)


def _bounded(variable: Variable, number: float) -> t.Iterator[Violation]:
    low, high = variable.min, variable.max
    if low is not None and number < low or high is not None and number > high:
        yield "range", f"not {kinds.bounds(variable.type, low, high)}", ""


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
