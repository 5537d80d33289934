# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema for env files: its vocabulary, and the check of a schema itself. Private to the collection."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import reprlib
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import kinds, values
from ansible_collections.tria.production.plugins.module_utils._env.rules import RULES
from ansible_collections.tria.production.plugins.module_utils._env.similar import Similar
from ansible_collections.tria.production.plugins.module_utils._env.vocabulary import (
    BOUNDED,
    NAME,
    SCHEMA,
    TYPES,
    URL_PARTS,
    VARIABLE,
    WITH_UNITS,
    Key,
    Variable,
)
from ansible_collections.tria.production.plugins.module_utils._env.writer import scalar
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_NAME = re.compile(NAME + r"\Z")
# whether a default stands for something real is no mistake of the schema
_OF_A_DEFAULT = ("type", "url", "schemes", "range", "choices", "pattern", "min_length", "max_length")


@dataclasses.dataclass(frozen=True)
class Condition:
    """`required_if`: when variable `key` has `value`, all of `names` (any of them: `one_of`) must be set."""

    key: str
    value: str
    names: tuple[str, ...]
    one_of: bool = False


@dataclasses.dataclass(frozen=True)
class Schema:
    """A checked schema. `variables` holds what is declared; relations may name others, which are then plain text."""

    variables: dict[str, Variable]
    required_together: tuple[tuple[str, ...], ...] = ()
    required_one_of: tuple[tuple[str, ...], ...] = ()
    mutually_exclusive: tuple[tuple[str, ...], ...] = ()
    required_if: tuple[Condition, ...] = ()
    required_by: tuple[tuple[str, tuple[str, ...]], ...] = ()
    consistent: tuple[dict[str, str], ...] = ()

    def variable(self, name: str) -> Variable:
        return self.variables.get(name) or Variable(name)

    def related(self) -> t.Iterator[str]:
        """Every name that a relation mentions."""
        for group in (*self.required_together, *self.required_one_of, *self.mutually_exclusive):
            yield from group
        for condition in self.required_if:
            yield from (condition.key, *condition.names)
        for name, names in self.required_by:
            yield from (name, *names)
        for mapping in self.consistent:
            yield from mapping.values()


def load(raw: t.Any, culprit: str = "schema") -> Schema:
    """Check a schema and give it a shape; raises `ProductionError` that lists every mistake with its place.

    `culprit` is where the schema is from, for the error.
    """
    return _Loader(culprit).load(raw)


class _Loader:
    def __init__(self, culprit: str) -> None:
        self._culprit = culprit
        self._mistakes: list[str] = []
        self._in_container = False
        self._readers: dict[str, t.Callable[[str, t.Any], t.Any]] = {
            "flag": self._flag,
            "count": self._count,
            "texts": self._texts,
            "scalar": self._scalar,
            "note": self._note,
            "name": self._name,
        }

    def load(self, raw: t.Any) -> Schema:
        readers: dict[str, t.Callable[[str, t.Any], t.Any]] = {
            "variables": self._variables,
            "groups": self._groups,
            "conditions": self._conditions,
            "dependents": self._dependents,
            "parts": self._consistent,
        }
        fields: dict[str, t.Any] = {"variables": {}}
        for key, value in self._mapping("schema", raw, SCHEMA):
            if key == "in_container":
                self._in_container = self._flag(key, value)
            elif key != "$schema":
                fields[key] = readers[SCHEMA[key].shape](key, value)
        schema = Schema(**fields)
        self._check_relations(schema)
        if self._mistakes:
            count = len(self._mistakes)
            raise ProductionError(
                self._culprit,
                f"{count} mistake{'s' if count > 1 else ''}: " + "; ".join(self._mistakes) + ".",
                "Correct the schema; docs/env-schema.md lists its keys.",
                schema_errors=self._mistakes,
            )
        return self._with_default(schema)

    def _with_default(self, schema: Schema) -> Schema:
        """The top-level `in_container` for every URL that does not say its own."""
        for name, variable in schema.variables.items():
            if variable.item_type == "url" and variable.in_container is None:
                schema.variables[name] = dataclasses.replace(variable, in_container=self._in_container)
        return schema

    def _check_relations(self, schema: Schema) -> None:
        """What one part of a schema says of another."""
        similar = Similar(schema.variables)
        for name, variable in schema.variables.items():
            place, other = f"variables.{name}.replacement", variable.replacement
            if other and variable.deprecated is None:
                self._wrong(place, "is for a deprecated variable only")
            elif other == name or other and other not in schema.variables:
                near = similar.to(other) if other != name else None
                hint = f", did you mean {near!r}?" if near else ""
                self._wrong(place, f"{other!r} is not another one of variables{hint}")
        for index, condition in enumerate(schema.required_if):
            variable = schema.variable(condition.key)
            mistake = _mistake(variable, condition.value, ("type", "choices"))
            if mistake:
                near = _did_you_mean(condition.value, variable.choices)
                self._wrong(f"required_if[{index}][1]", f"is no value of {condition.key}: {mistake}{near}")

    def _wrong(self, place: str, cause: str) -> None:
        self._mistakes.append(f"{place}: {cause}")

    def _mapping(self, place: str, raw: t.Any, known: t.Collection[str]) -> list[tuple[str, t.Any]]:
        """The known items of a mapping; anything else is a mistake."""
        if not isinstance(raw, dict):
            self._wrong(place, "must be a mapping")
            return []
        for key in raw:
            if key not in known:
                self._wrong(place, f"unknown key {key!r}" + _did_you_mean(key, known))
        return [(key, value) for key, value in raw.items() if key in known]

    def _name(self, place: str, name: t.Any) -> str:
        if not isinstance(name, str) or not _NAME.match(name):
            self._wrong(place, f"{reprlib.repr(name)} is no name of a variable")
        return str(name)

    def _flag(self, place: str, value: t.Any) -> bool:
        if not isinstance(value, bool):
            self._wrong(place, "must be true or false")
        return value is True

    def _variables(self, place: str, raw: t.Any) -> dict[str, Variable]:
        if not isinstance(raw, dict):
            self._wrong(place, "must be a mapping of names")
            return {}
        return {
            self._name(place, name): self._variable(f"{place}.{name}", str(name), spec) for name, spec in raw.items()
        }

    def _variable(self, place: str, name: str, raw: t.Any) -> Variable:
        given = self._mapping(place, {} if raw is None else raw, VARIABLE)
        fields = {
            key: self._key(f"{place}.{key}", VARIABLE[key], value) for key, value in given if key not in ("min", "max")
        }
        variable = Variable(name, **{key: value for key, value in fields.items() if value is not None})
        bounds = {key: self._bound(f"{place}.{key}", variable, value) for key, value in given if key in ("min", "max")}
        if bounds:
            variable = dataclasses.replace(variable, **bounds)
        for key, _value in given:
            types = VARIABLE[key].types
            if types and (variable.item_type if VARIABLE[key].of_items else variable.type) not in types:
                self._wrong(f"{place}.{key}", f"is for type {' or '.join(types)} only")
        if fields.get("type", "str") is not None:
            self._check_variable(place, variable)
        return variable

    def _check_variable(self, place: str, variable: Variable) -> None:
        """What one key of a variable says of another."""
        for low, high in (("min", "max"), ("min_length", "max_length")):
            least, most = getattr(variable, low), getattr(variable, high)
            if least is not None and most is not None and least > most:
                self._wrong(f"{place}.{low}", f"is above {high}")
        if variable.required and variable.default is not None:
            self._wrong(f"{place}.default", "a required variable has no use for a default")
        if variable.required and variable.deprecated is not None:
            self._wrong(f"{place}.deprecated", "a required variable cannot be deprecated")
        item = Variable(variable.name, variable.item_type)
        for index, choice in enumerate(variable.choices):
            mistake = _mistake(item, choice, ("type", "url"))
            if mistake:
                self._wrong(f"{place}.choices[{index}]", mistake)
        if variable.default and not values.is_blank(variable.default):
            mistake = _mistake(variable, variable.default, _OF_A_DEFAULT)
            if mistake:
                self._wrong(f"{place}.default", mistake)

    def _key(self, place: str, key: Key, value: t.Any) -> t.Any:
        """The value of one key of a variable, or None after a mistake."""
        if key.shape in self._readers:
            return self._readers[key.shape](place, value)
        if not isinstance(value, str):
            self._wrong(place, "must be text")
            return None
        if key.shape in ("type", "element"):
            known = TYPES if key.shape == "type" else [name for name in TYPES if name != "list"]
            if value not in known:
                self._wrong(place, f"{value!r} is none of {', '.join(known)}{_did_you_mean(value, known)}")
                return None
        if key.shape == "separator" and not value:
            self._wrong(place, "must be text, not empty")
            return None
        return self._pattern(place, value) if key.shape == "pattern" else str(value)

    def _scalar(self, place: str, value: t.Any) -> str | None:
        if scalar(value) is None:
            self._wrong(place, "must be text, a number or a boolean")
        return scalar(value)

    def _note(self, place: str, value: t.Any) -> str | None:
        """True is a note without words, false none at all."""
        if not isinstance(value, (bool, str)):
            self._wrong(place, "must be true, false or the reason")
            return None
        return str(value) if isinstance(value, str) else "" if value else None

    def _count(self, place: str, value: t.Any) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self._wrong(place, "must be a whole number, not negative")
            return None
        return value

    def _bound(self, place: str, variable: Variable, value: t.Any) -> float | None:
        """A number, or for a type with units a text of that type."""
        if variable.type in WITH_UNITS and isinstance(value, str):
            try:
                number = kinds.measure(variable.type, value)
                return int(number) if number.is_integer() else number
            except ValueError:
                self._wrong(place, kinds.KINDS[variable.type].mismatch)
                return None
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number and variable.type in BOUNDED:
            self._wrong(place, "must be a number" + (" or text" if variable.type in WITH_UNITS else ""))
        return value if is_number else None

    def _texts(self, place: str, value: t.Any) -> tuple[str, ...] | None:
        texts = [scalar(item) for item in value] if isinstance(value, (list, tuple)) else []
        if not texts or None in texts:
            self._wrong(place, "must be a list of values, not empty")
            return None
        return tuple(t.cast("list[str]", texts))

    def _pattern(self, place: str, value: str) -> re.Pattern[str] | None:
        try:
            return re.compile(value)
        except re.error as exc:
            self._wrong(place, f"is no regular expression ({exc.msg})")
            return None

    def _list(self, place: str, raw: t.Any) -> list[tuple[str, t.Any]]:
        if not isinstance(raw, (list, tuple)):
            self._wrong(place, "must be a list")
            return []
        return [(f"{place}[{index}]", item) for index, item in enumerate(raw)]

    def _group(self, place: str, raw: t.Any, least: int) -> tuple[str, ...]:
        if not isinstance(raw, (list, tuple)) or len(raw) < least:
            self._wrong(place, f"must be a list of {'two or more ' if least > 1 else ''}names")
            return ()
        return tuple(self._name(f"{place}[{index}]", name) for index, name in enumerate(raw))

    def _groups(self, place: str, raw: t.Any) -> tuple[tuple[str, ...], ...]:
        return tuple(self._group(at, item, 2) for at, item in self._list(place, raw))

    def _conditions(self, place: str, raw: t.Any) -> tuple[Condition, ...]:
        conditions = []
        for at, item in self._list(place, raw):
            if not isinstance(item, (list, tuple)) or len(item) not in (3, 4) or scalar(item[1]) is None:
                self._wrong(at, "must be [NAME, value, [NAMES]], or with true as fourth for any one of them")
                continue
            one_of = self._flag(f"{at}[3]", item[3]) if len(item) == 4 else False
            key, names = self._name(f"{at}[0]", item[0]), self._group(f"{at}[2]", item[2], 1)
            conditions.append(Condition(key, t.cast(str, scalar(item[1])), names, one_of))
        return tuple(conditions)

    def _dependents(self, place: str, raw: t.Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
        if not isinstance(raw, dict):
            self._wrong(place, "must be a mapping of names to names")
            return ()
        return tuple(
            (
                self._name(place, key),
                (
                    (self._name(f"{place}.{key}", names),)
                    if isinstance(names, str)
                    else self._group(f"{place}.{key}", names, 1)
                ),
            )
            for key, names in raw.items()
        )

    def _consistent(self, place: str, raw: t.Any) -> tuple[dict[str, str], ...]:
        groups = []
        for at, item in self._list(place, raw):
            known = self._mapping(at, item, ("url", *URL_PARTS))
            group = {part: self._name(f"{at}.{part}", name) for part, name in known}
            if "url" not in group or len(group) < 2:
                self._wrong(at, f"must have url and at least one of {', '.join(URL_PARTS)}")
            groups.append(group)
        return tuple(groups)


def _did_you_mean(word: t.Any, known: t.Iterable[str]) -> str:
    near = difflib.get_close_matches(str(word), list(known), 1) if len(str(word)) < 100 else []
    return f", did you mean {near[0]!r}?" if near else ""


def _mistake(variable: Variable, text: str, rules: t.Container[str]) -> str:
    """What is wrong with a value that the schema itself gives, by some of the rules; empty if nothing is."""
    found = (
        message or RULES[rule].message for rule, message, _remedy in values.violations(variable, text) if rule in rules
    )
    return next(found, "")
