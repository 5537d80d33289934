# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One variable's value held against what the schema says of it. Private to the collection.

Yields `(rule name, message, remedy)`; an empty message or remedy means the rule's own.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import carried, kinds, secrets, urls
from ansible_collections.tria.production.plugins.module_utils._env.placeholders import example_words, placeholder
from ansible_collections.tria.production.plugins.module_utils._env.rules import RULES
from ansible_collections.tria.production.plugins.module_utils._env.vocabulary import Variable

Violation = t.Tuple[str, str, str]


def is_blank(text: str) -> bool:
    return not text.strip()


def violations(variable: Variable, text: str) -> t.Iterator[Violation]:
    """What is wrong with a value that is set and not blank."""
    if variable.deprecated is not None:
        yield _deprecated(variable)
    if len(text) > carried.LONGEST:
        return  # no process gets it, and the rule `too_long` says so
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
    yield from _invented(variable, text, url)


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


def _invented(variable: Variable, text: str, url: urls.Url | None) -> t.Iterator[Violation]:
    """What a human put where a real value or a random secret should be."""
    if variable.choices and text in variable.choices:
        return
    if url is None:
        found = suspicion(text, variable.secret)
        if found:
            yield (*found, "")
        elif variable.secret:
            yield from _short(variable, text)
        return
    for part in ("user", "password", "host", "path"):
        found = suspicion(url.part(part), part == "password") if url.part(part) else None
        if found:
            yield found[0], f"the {part} in the URL {found[1]}", ""


def _short(variable: Variable, text: str) -> t.Iterator[Violation]:
    """A secret that holds fewer bytes than one needs, unless `min_length` is content with less.

    Whatever else the schema says of its form is taken for enough.
    """
    formed = variable.type != "str" or variable.pattern or variable.max_length is not None or variable.choices
    least = secrets.LEAST if variable.min_length is None else variable.min_length
    if formed or variable.min_length is not None and len(text) < least:
        return  # the length itself is a finding of its own
    reason = secrets.shortness(text, min(least, secrets.LEAST))
    if reason:
        yield "short_secret", reason, ""


def suspicion(text: str, secret: bool) -> tuple[str, str] | None:
    """The rule and the message for a text that nobody should use; what stands out most comes first."""
    reason = placeholder(text, False)
    if secret and not reason:
        rule = secrets.guessable(text)
        if rule:
            return rule, RULES[rule].message
        reason = example_words(text)
    return ("placeholder", reason) if reason else None
