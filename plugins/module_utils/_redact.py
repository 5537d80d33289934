# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets out of text that leaves the host (logs, errors, reports). Private to the collection."""

from __future__ import annotations

import re
import typing as t

MASK = "********"
_SHORTEST = 4  # shorter values would blank out ordinary words
_SHORTEST_LINE = 8  # of a secret of several lines (a private key): logs and JSON break it up
# greedy up to the last @: a password may hold one itself
_URL_PASSWORD = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s\"']+(?=@)", re.IGNORECASE)
_ASSIGNMENT = re.compile(
    r"(?P<head>\b[\w-]*(?:password|passwd|secret|token|api[_-]?key)[\w-]*[\"']?\s*[=:]\s*)"
    r"(?!(?:true|false|null|none)(?:[\s,;})\]]|$))"  # whether there is one is no secret: "api_key_set": true
    r"(?P<value>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|[\"']?[^\s\"',;&]+)",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"(?P<head>\bauthorization[\"']?\s*[=:]\s*[\"']?(?:\w+\s+)?)[^\s\"',;]+", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def redact(text: str, secrets: t.Iterable[str] = (), guess: bool = True) -> str:
    """`text` with every given secret and every URL password replaced by `MASK`.

    With `guess`, whatever looks like the value of a secret goes too (`…password=…`, `Authorization: …`): right for
    output of others, wrong for our own messages, where "SECRET_KEY: must have 32 characters" has to stay readable.
    """
    for secret in _needles(secrets):
        text = text.replace(secret, MASK)
    text = _mask(_URL_PASSWORD, text)
    return _mask(_ASSIGNMENT, _mask(_AUTHORIZATION, text)) if guess else text


def redact_tree(value: t.Any, secrets: t.Iterable[str] = (), guess: bool = True) -> t.Any:
    """A copy of a JSON-like value with `redact` applied to every string in it, keys of dicts included."""
    needles = list(secrets)
    if isinstance(value, str):
        return redact(value, needles, guess)
    if isinstance(value, dict):
        return {redact_tree(key, needles, guess): redact_tree(item, needles, guess) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_tree(item, needles, guess) for item in value]
    return value


def printable(text: str) -> str:
    """`text` without control characters and escape sequences; output of others must not steer a terminal."""
    return _UNPRINTABLE.sub("", text.replace("\r\n", "\n"))


def _needles(secrets: t.Iterable[str]) -> list[str]:
    """What to look for, longest first, so that a secret within another one does not leave the rest of it behind."""
    needles = set()
    for secret in secrets:
        if secret and len(secret) >= _SHORTEST:
            needles.add(secret)
            lines = secret.splitlines()
            needles.update(line.strip() for line in lines if len(lines) > 1 and len(line.strip()) >= _SHORTEST_LINE)
    return sorted(needles, key=lambda needle: (-len(needle), needle))


def _mask(pattern: t.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: match["head"] + MASK, text)
