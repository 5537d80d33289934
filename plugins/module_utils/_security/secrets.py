# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which values are secrets, and whether they are any good. Nothing here quotes one. Private to the collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import urls
from ansible_collections.tria.production.plugins.module_utils._env.placeholders import placeholder
from ansible_collections.tria.production.plugins.module_utils._env.rules import RULES
from ansible_collections.tria.production.plugins.module_utils._env.secrets import guessable

SHORTEST = 16  # characters; below it a secret can be guessed offline
_NAME = re.compile(
    r"(?:\A|[_-]) (?: PASS(?:WORD|WD|PHRASE)? | (?<=[_-])PWD | SECRETS? | TOKEN | CREDENTIALS? | REDISCLI_AUTH"
    r" | (?:API|SECRET|PRIVATE|ACCESS|ENCRYPTION|SIGNING|MASTER|SESSION|JWT)[_-]?KEY ) \Z",
    re.IGNORECASE | re.VERBOSE,
)
_RUN_TOGETHER = re.compile(r"(?:password|passwd|apikey)\Z", re.IGNORECASE)  # PGPASSWORD
_SWITCHES = ("", "true", "false", "yes", "no", "on", "off", "0", "1", "none", "null")
_PATH = re.compile(r"\.{0,2}(?:/[\w.@-]+){2,}\Z")  # where a secret is, not what it is
_REFERENCE = re.compile(r"\$(?:\{(?P<name>\w+)(?P<rest>[^}]*)\}|\w+)")
_DEFAULT = re.compile(r":?-(?P<text>.+)\Z", re.DOTALL)
_URL_PASSWORD = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s:/@]*:(?P<password>[^\s@]+)@", re.IGNORECASE)
_OPTION = re.compile(
    r"(?:--?[\w-]*(?:pass(?:word|wd)?|secret|token|api-?key)|\brequirepass)[=\s]+(?P<value>['\"]?[^\s'\"%<-][^\s'\"]*)"
)
_PURPOSES = (("postgres", re.compile(r"POSTGRES|(?:\A|_)PG|DATABASE|(?:\A|_)DB_")), ("redis", re.compile(r"REDIS")))


def is_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return bool(_NAME.search(name) or _RUN_TOGETHER.search(name))


def in_environment(environment: dict[str, str]) -> dict[str, str]:
    """The secrets of an environment: variable -> value, `<variable> (password)` -> the password in a URL."""
    found = {}
    for name, value in environment.items():
        if "://" in value:
            password = _url_password(value)
            if password:
                found[f"{name} (password)"] = password
        elif is_secret(name) and _is_value(value):
            found[name] = value
    return found


def weakness(secrets: dict[str, str]) -> t.Iterator[str]:
    """What is wrong with secrets as `in_environment` gives them, by the names of their variables."""
    purposes: dict[str, dict[str, str]] = {}
    for name, value in secrets.items():
        rule = guessable(value)
        reason = placeholder(value, True) or rule and RULES[rule].message
        if reason:
            yield f"{name} {reason}"
        elif len(value) < SHORTEST:
            yield f"{name} is shorter than {SHORTEST} characters"
        purposes.setdefault(value, {}).setdefault(_purpose(name), name)
    for names in purposes.values():
        if len(names) > 1:
            yield " and ".join(sorted(names.values())) + " are the same"


def literals(name: str, value: str) -> t.Iterator[str]:
    """What a variable says literally, as the Compose file has it before anything is replaced, that it should not."""
    text = value.replace("$$", "")
    if is_secret(name) and _is_value(text):
        if not _REFERENCE.search(text):
            yield f"{name} is written out"
        elif _has_default(text):
            yield f"{name} has a default that is written out"
    for match in _URL_PASSWORD.finditer(text):
        if not _REFERENCE.search(match["password"]):
            yield f"{name} is a URL with its password written out"
        elif _has_default(match["password"]):
            yield f"{name} is a URL with a default password written out"


def in_arguments(place: str, text: str) -> t.Iterator[str]:
    """As `literals`, for a command."""
    yield from literals(place, text)
    for match in _OPTION.finditer(text.replace("$$", "$")):  # the shell's own references are some too
        if not _REFERENCE.search(match["value"]):
            yield f"{place} has a password written out"


def _is_value(text: str) -> bool:
    return text.lower() not in _SWITCHES and not _PATH.match(text)


def _has_default(text: str) -> bool:
    for match in _REFERENCE.finditer(text):
        default = _DEFAULT.match(match["rest"] or "")
        if default and not default["text"].startswith("$"):
            return True
    return False


def _url_password(value: str) -> str:
    try:
        return urls.split(value).password
    except urls.UrlError:
        match = _URL_PASSWORD.search(value)
        return match["password"] if match else ""


def _purpose(name: str) -> str:
    """Client and server name one secret differently: POSTGRES_PASSWORD and the password in DATABASE_URL are one."""
    return next((purpose for purpose, pattern in _PURPOSES if pattern.search(name.upper())), name)
