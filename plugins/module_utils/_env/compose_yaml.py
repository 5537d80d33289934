# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""YAML as Docker Compose reads it (Go's yaml.v3), every element with its line. Private to the collection.

A plain scalar is what yaml.v3 makes of it, then the text that Compose makes of that: `1.50` is `1.5`, `010` is `8`,
`yes` stays `yes`. Needs PyYAML, for the syntax alone.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import math
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

RESET, OVERRIDE = "!reset", "!override"
Scalar = t.Union[str, bool, None]
Substitute = t.Callable[[str, int, str], str]

_PLAIN = "!plain"
_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:([Tt])| )([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.([0-9]{1,9})[0-9]*)?(Z|[+-][0-9]{2}:[0-9]{2})?)?\Z"
)
_LARGEST_INTEGER = 2**64
_LONGEST_NUMBER = 400  # characters; Python converts longer ones in quadratic time


class Fault(Exception):
    """What Compose refuses, without any of the text; `line` is 0 where it is not known."""

    def __init__(self, line: int, cause: str) -> None:
        super().__init__(cause)
        self.line = line
        self.cause = cause


@dataclasses.dataclass
class Node:
    """An element: a dict or a list of nodes, text, a boolean or None. `tag` is `!reset`, `!override` or empty."""

    value: t.Any
    line: int
    tag: str = ""

    def items(self) -> list[tuple[str, Node]]:
        return list(self.value.items()) if isinstance(self.value, dict) else []

    def get(self, key: str) -> Node | None:
        return self.value.get(key) if isinstance(self.value, dict) else None

    def listed(self) -> list[Node]:
        """The elements of a list, or the one that stands in its place."""
        if isinstance(self.value, list):
            return self.value
        return [] if self.value is None else [self]


def compose(text: str) -> list[t.Any]:
    """The documents of a file as PyYAML's nodes; raises `Fault`, and `ProductionError` where PyYAML is missing."""
    try:
        yaml = _deps.load("yaml")
    except _deps.MissingLibrary as exc:
        raise ProductionError(exc.library, str(exc), f"Install {exc.package} there.") from None

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def resolve(self, kind: t.Any, value: t.Any, implicit: t.Any) -> t.Any:
            plain = kind is yaml.ScalarNode and implicit[0]
            return _PLAIN if plain else super().resolve(kind, value, (False, False))

    found = []
    try:
        loader = Loader(text)
        try:
            while loader.check_node():
                found.append(loader.get_node())
        finally:
            loader.dispose()
    except RecursionError:
        raise Fault(0, "is nested too deep") from None
    except (yaml.YAMLError, ValueError, OverflowError) as exc:  # its own words may hold some of the text
        mark = getattr(exc, "problem_mark", None)
        raise Fault(mark.line + 1 if mark else 0, "no YAML that can be read") from None
    return found


def build(document: t.Any, substitute: Substitute) -> Node:
    """A document with every text substituted: `substitute(text, line, owner)`, the owner a name in `environment`."""
    try:
        return _Builder(substitute).node(document)
    except RecursionError:
        raise Fault(0, "is nested too deep") from None


class _Builder:
    """Builds every node once, however many aliases lead to it: the time is that of the file's length."""

    def __init__(self, substitute: Substitute) -> None:
        self._substitute = substitute
        self._built: dict[int, Node | None] = {}

    def node(self, raw: t.Any, key: str = "", owner: str = "") -> Node:
        built = self._built.get(id(raw))
        if built is not None:
            return built
        line = raw.start_mark.line + 1
        if id(raw) in self._built:
            raise Fault(line, "an alias leads back to itself")
        self._built[id(raw)] = None
        if raw.id == "mapping":
            value: t.Any = self._mapping(raw, key)
        elif raw.id == "sequence":
            value = [self.node(item, "", _name_of(item) if key == "environment" else owner) for item in raw.value]
        else:
            value = self._scalar(raw, line, owner)
        built = Node(value, line, raw.tag if raw.tag in (RESET, OVERRIDE) else "")
        self._built[id(raw)] = built
        return built

    def _mapping(self, raw: t.Any, key: str) -> dict[str, Node]:
        found: dict[str, Node] = {}
        defaults: list[dict[str, Node]] = []
        for name_node, value_node in raw.value:
            line = name_node.start_mark.line + 1
            if name_node.id != "scalar":
                raise Fault(line, "a key is no text")
            name = name_node.value
            if name == "<<" and name_node.tag == _PLAIN:
                merged = self.node(value_node, key)
                defaults += [node.value for node in merged.listed() if isinstance(node.value, dict)]
            elif name in found:
                raise Fault(line, "a key is there twice")
            elif name_node.tag == _PLAIN and not _is_text(name):
                raise Fault(line, "a key is no text")
            else:
                found[name] = self.node(value_node, name, name if key == "environment" else "")
        for mapping in defaults:
            for name, node in mapping.items():
                found.setdefault(name, node)
        return found

    def _scalar(self, raw: t.Any, line: int, owner: str) -> Scalar:
        value = scalar(raw.value) if raw.tag == _PLAIN else raw.value
        return self._substitute(value, line, owner) if isinstance(value, str) and "$" in value else value


def _name_of(item: t.Any) -> str:
    return item.value.partition("=")[0] if item.id == "scalar" else ""


def scalar(text: str) -> Scalar:
    """What a plain scalar is; a number as the text that Go prints for it."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    return _number(text) or text


def _is_text(text: str) -> bool:
    return text not in _NULLS and text not in _BOOLS and _number(text) is None


def _number(text: str) -> str | None:
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return None
    plain = text.replace("_", "")
    return _time(text) or _integer(plain) or _float(plain if text[0] != "." else text)


def _integer(text: str) -> str | None:
    match = _INTEGER.match(text)
    if match is None:
        return None
    sign, sixteen, two, eight, ten = match.groups()
    number = int(sixteen or two or eight or ten, 16 if sixteen else 2 if two else 8 if eight else 10)
    if number >= (_LARGEST_INTEGER if not sign else _LARGEST_INTEGER // 2 + (sign == "-")):
        return None
    return str(-number if sign == "-" else number)


def _float(text: str) -> str | None:
    if not _FLOAT.match(text):
        return None
    number = float(text)
    if math.isinf(number):
        return None
    shortest = decimal.Decimal(repr(number)).normalize()
    sign, digits, exponent = shortest.as_tuple()
    power = len(digits) - 1 + t.cast(int, exponent)
    if -4 <= power < 6:
        return f"{shortest:f}"
    figures = "".join(map(str, digits))
    return f"{'-' if sign else ''}{figures[0]}{'.' if figures[1:] else ''}{figures[1:]}e{power:+03d}"


def _time(text: str) -> str | None:
    match = _TIME.match(text)
    if match is None:
        return None
    year, month, day, letter, hour, minute, second, fraction, zone = match.groups()
    if letter and not zone or zone and not letter:
        return None
    try:
        moment = datetime.datetime(*map(int, (year, month, day, hour or 0, minute or 0, second or 0)))
    except ValueError:
        return None
    offset = "+0000 UTC" if zone in (None, "Z", "+00:00") else "{0} {0}".format(zone.replace(":", ""))
    decimals = "." + fraction.rstrip("0") if fraction and fraction.rstrip("0") else ""
    return f"{moment.isoformat(' ')}{decimals} {offset}"
