# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The types of the schema: which texts are of a type, and the number that `min` and `max` bound.

Private to the collection. No exception holds a text that was looked at.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import math
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import urls

# Ansible's own words
_TRUE = frozenset(("1", "true", "t", "yes", "y", "on"))
_FALSE = frozenset(("0", "false", "f", "no", "n", "off"))

_INT = re.compile(r"[+-]?[0-9]{1,200}\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]{1,200}(?:\.[0-9]{0,200})?|\.[0-9]{1,200})(?:[eE][+-]?[0-9]{1,3})?\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")
_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*\Z", re.ASCII)
# an underscore is no part of a host name on the internet, but of a service's name in a Compose file
_LABEL = re.compile(r"\w(?:[\w-]{0,61}\w)?\Z", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# as Go's time.ParseDuration
_QUANTITY = r"(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})"
_DURATION = re.compile(rf"(?P<sign>[+-]?)(?:0|(?:{_QUANTITY}(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)\Z")
_DURATION_PART = re.compile(rf"({_QUANTITY})([a-z\u00b5\u03bc]+)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# as the Engine's units: k is 1024, and i and b behind it say nothing more
_SIZE = re.compile(r"([0-9]{1,40}(?:\.[0-9]{1,40})?) ?([kmgtp])?i?b?\Z", re.IGNORECASE | re.ASCII)
_MOST = 2**63 - 1


class Mismatch(ValueError):
    """A text is not of its type; holds nothing of it."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type. `measure` gives the number of a text, 0 where the type has none, and raises `ValueError` for one that is
    not of the type; `unit` is that number's, `bounded` whether `min` and `max` may bound it."""

    title: str
    mismatch: str
    remedy: str
    measure: t.Callable[[str], float]
    bounded: bool = False
    unit: str = ""


def boolean(text: str) -> bool | None:
    """The truth of a value in Ansible's words, or None."""
    lower = text.lower()
    return True if lower in _TRUE else False if lower in _FALSE else None


def _any(_text: str) -> float:
    return 0.0


def _number(pattern: re.Pattern[str]) -> t.Callable[[str], float]:
    def measure(text: str) -> float:
        number = float(text) if pattern.match(text) else math.inf
        if math.isinf(number):
            raise Mismatch
        return number

    return measure


def _truth(text: str) -> float:
    truth = boolean(text)
    if truth is None:
        raise Mismatch
    return float(truth)


def _url(text: str) -> float:
    urls.split(text)
    return 0.0


def _host(text: str) -> float:
    bare = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    try:
        if ":" in bare:
            ipaddress.IPv6Address(bare.partition("%")[0])
        elif bare != text or len(text) > 253:
            raise Mismatch
        elif text.rstrip(".").rpartition(".")[2].isdigit():
            ipaddress.IPv4Address(text)
        elif not all(map(_LABEL.match, (text[:-1] if text.endswith(".") else text).split("."))):
            raise Mismatch
    except ValueError:
        raise Mismatch from None  # what ipaddress says holds the text
    return 0.0


def _email(text: str) -> float:
    local, _at, domain = text.rpartition("@")
    if not 0 < len(local) <= 64 or len(text) > 254 or ":" in domain or not _LOCAL_PART.match(local):
        raise Mismatch
    return _host(domain)


def _port(text: str) -> float:
    if not _PORT.match(text) or not 0 < int(text) < 65536:
        raise Mismatch
    return float(text)


def _path(text: str) -> float:
    """A path on Linux. Nobody expands a `~` in an environment, and a URL is none."""
    too_long = len(text) > 4095 or any(len(part.encode("utf-8", "replace")) > 255 for part in text.split("/"))
    if too_long or text.strip() != text or text.startswith("~") or "://" in text or _CONTROL.search(text):
        raise Mismatch
    return 0.0


def _duration(text: str) -> float:
    match = _DURATION.match(text)
    if not match:
        raise Mismatch
    seconds = math.fsum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION_PART.findall(text))
    if seconds > _MOST / 1e9:
        raise Mismatch
    return -seconds if match["sign"] == "-" else seconds


def _size(text: str) -> float:
    match = _SIZE.match(text)
    if not match:
        raise Mismatch
    number = float(match[1]) * 1024 ** (" kmgtp".index(match[2].lower()) if match[2] else 0)
    if number > _MOST:
        raise Mismatch
    return float(int(number))


def _json(text: str) -> float:
    def refuse(_constant: str) -> t.NoReturn:
        raise Mismatch  # NaN and Infinity, which only Python takes

    try:
        # numbers are not looked at: converting one of a million digits takes minutes
        json.loads(text, parse_constant=refuse, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        raise Mismatch from None
    return 0.0


KINDS: dict[str, Kind] = {
    "str": Kind("text", "not text", "", _any),
    "int": Kind("whole number", "not a whole number", "Write a whole number, such as 42.", _number(_INT), True),
    "float": Kind("number", "not a number", "Write a number, such as 0.08.", _number(_FLOAT), True),
    "bool": Kind("true or false", "neither true nor false", "Write true or false.", _truth),
    "url": Kind("URL", "not a complete URL", "Write scheme://user:password@host:port/path.", _url),
    "email": Kind("e-mail address", "not an e-mail address", "Write name@example.org, the address alone.", _email),
    "host": Kind(
        "host name or address",
        "neither a host name nor an IP address",
        "Write the name or the address alone, without scheme and port.",
        _host,
    ),
    "port": Kind("port", "not a port", "Write a whole number from 1 to 65535.", _port, True),
    "path": Kind("path", "not a path", "Write a path such as /srv/data or ./data; a ~ is not expanded.", _path),
    "duration": Kind(
        "duration such as 1m30s",
        "not a duration",
        "Write numbers with units, such as 1m30s or 500ms; the units are h, m, s, ms, us and ns.",
        _duration,
        True,
        " seconds",
    ),
    "size": Kind(
        "size such as 64m",
        "not a size in bytes",
        "Write a number of bytes, or one with b, k, m, g, t or p, such as 64m or 1.5gb.",
        _size,
        True,
        " bytes",
    ),
    "json": Kind("JSON", "not JSON", "Write one JSON document between single quotes.", _json),
    "list": Kind(
        "list",
        "not a list",
        "Write the items with the separator between them, and none at the end.",
        _any,
        True,
        " items",
    ),
}


def measure(type_name: str, text: str) -> float:
    """The number of a text of a type but `list`; raises `ValueError` for one that is not of the type."""
    return KINDS[type_name].measure(text)


def items(text: str, separator: str) -> list[str]:
    """The items of a list, without the white space around them."""
    return [item.strip() for item in text.split(separator)]


def bounds(type_name: str, low: float | None, high: float | None) -> str:
    """In words: `at least 1`, `between 64 and 128 bytes`."""
    unit = KINDS[type_name].unit
    if low is None:
        return f"at most {high}{unit}"
    return f"at least {low}{unit}" if high is None else f"between {low} and {high}{unit}"
