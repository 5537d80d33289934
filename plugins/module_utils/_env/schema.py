# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema for env files: its vocabulary, and the check of a schema itself. Private to the collection."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env.writer import scalar
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

TYPES = ("str", "int", "float", "bool", "url")
URL_PARTS = ("user", "password", "host", "port", "path")

_NAME = re.compile(r"[A-Za-z0-9_.\-\[\]]+\Z")
# keys that make sense for some types only
_ONLY_FOR = {"min": ("int", "float"), "max": ("int", "float"), "schemes": ("url",), "in_container": ("url",)}


@dataclasses.dataclass(frozen=True)
class Variable:
    """What the schema says of one variable; the fields are the schema's keys."""

    name: str
    type: str = "str"
    required: bool = False
    secret: bool = False
    pattern: re.Pattern[str] | None = None
    min_length: int | None = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    schemes: tuple[str, ...] = ()
    default: str | None = None
    description: str = ""
    allow_empty: bool = False
    in_container: bool | None = None


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
    consistent: tuple[dict[str, str], ...] = ()

    def variable(self, name: str) -> Variable:
        return self.variables.get(name) or Variable(name)

    def related(self) -> t.Iterator[str]:
        """Every name that a relation mentions."""
        for group in (*self.required_together, *self.required_one_of, *self.mutually_exclusive):
            yield from group
        for condition in self.required_if:
            yield from (condition.key, *condition.names)
        for mapping in self.consistent:
            yield from mapping.values()


def load(raw: t.Any) -> Schema:
    """Check a schema and give it a shape; raises `ProductionError` that lists every mistake with its place."""
    return _Loader().load(raw)


class _Loader:
    def __init__(self) -> None:
        self._mistakes: list[str] = []
        self._in_container = False

    def load(self, raw: t.Any) -> Schema:
        readers: dict[str, t.Callable[[str, t.Any], t.Any]] = {
            "variables": self._variables,
            "required_together": self._groups,
            "required_one_of": self._groups,
            "mutually_exclusive": self._groups,
            "required_if": self._conditions,
            "consistent": self._consistent,
        }
        fields: dict[str, t.Any] = {"variables": {}}
        for key, value in self._mapping("schema", raw, (*readers, "in_container")):
            if key in readers:
                fields[key] = readers[key](key, value)
            else:
                self._in_container = self._flag(key, value)
        schema = Schema(**fields)
        for name in schema.related():
            self._name("relations", name)
        if self._mistakes:
            count = len(self._mistakes)
            raise ProductionError(
                "schema",
                f"{count} mistake{'s' if count > 1 else ''}: " + "; ".join(self._mistakes) + ".",
                "Correct the schema; its keys are documented with the module env_validate.",
                schema_errors=self._mistakes,
            )
        return self._with_default(schema)

    def _with_default(self, schema: Schema) -> Schema:
        """The top-level `in_container` for every URL that does not say its own."""
        for name, variable in schema.variables.items():
            if variable.type == "url" and variable.in_container is None:
                schema.variables[name] = dataclasses.replace(variable, in_container=self._in_container)
        return schema

    def _wrong(self, place: str, cause: str) -> None:
        self._mistakes.append(f"{place}: {cause}")

    def _mapping(self, place: str, raw: t.Any, known: t.Collection[str]) -> list[tuple[str, t.Any]]:
        """The known items of a mapping; anything else is a mistake."""
        if not isinstance(raw, dict):
            self._wrong(place, "must be a mapping")
            return []
        for key in raw:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                self._wrong(place, f"unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else ""))
        return [(key, value) for key, value in raw.items() if key in known]

    def _name(self, place: str, name: t.Any) -> str:
        if not isinstance(name, str) or not _NAME.match(name):
            self._wrong(place, f"{name!r} is no name of a variable")
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
        known = tuple(field.name for field in dataclasses.fields(Variable) if field.name != "name")
        fields = {key: self._key(f"{place}.{key}", key, value) for key, value in self._mapping(place, raw or {}, known)}
        fields = {key: value for key, value in fields.items() if value is not None}
        variable = Variable(name, **fields)
        for key, types in _ONLY_FOR.items():
            if key in fields and variable.type not in types:
                self._wrong(f"{place}.{key}", f"is for type {' or '.join(types)} only")
        for low, high in (("min", "max"), ("min_length", "max_length")):
            if fields.get(low) is not None and fields.get(high) is not None and fields[low] > fields[high]:
                self._wrong(f"{place}.{low}", f"is above {high}")
        if variable.required and variable.default is not None:
            self._wrong(f"{place}.default", "a required variable has no use for a default")
        return variable

    def _key(self, place: str, key: str, value: t.Any) -> t.Any:
        """The value of one key of a variable, or None after a mistake."""
        if key in ("required", "secret", "allow_empty", "in_container"):
            return self._flag(place, value)
        if key in ("min_length", "max_length"):
            return self._number(place, value, whole=True)
        if key in ("min", "max"):
            return self._number(place, value, whole=False)
        if key in ("choices", "schemes"):
            return self._texts(place, value)
        if key == "default":
            if scalar(value) is None:
                self._wrong(place, "must be text, a number or a boolean")
            return scalar(value)
        if not isinstance(value, str):
            self._wrong(place, "must be text")
            return None
        if key == "type" and value not in TYPES:
            self._wrong(place, f"{value!r} is none of {', '.join(TYPES)}")
            return None
        return self._pattern(place, value) if key == "pattern" else str(value)

    def _number(self, place: str, value: t.Any, whole: bool) -> t.Any:
        types = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, types) or not math.isfinite(value) or whole and value < 0:
            self._wrong(place, "must be a whole number, not negative" if whole else "must be a number")
            return None
        return value

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
        return tuple(raw)

    def _groups(self, place: str, raw: t.Any) -> tuple[tuple[str, ...], ...]:
        return tuple(self._group(at, item, 2) for at, item in self._list(place, raw))

    def _conditions(self, place: str, raw: t.Any) -> tuple[Condition, ...]:
        conditions = []
        for at, item in self._list(place, raw):
            if not isinstance(item, (list, tuple)) or len(item) not in (3, 4) or scalar(item[1]) is None:
                self._wrong(at, "must be [NAME, value, [NAMES]], or with true as fourth for any one of them")
                continue
            one_of = self._flag(f"{at}[3]", item[3]) if len(item) == 4 else False
            conditions.append(
                Condition(item[0], t.cast(str, scalar(item[1])), self._group(f"{at}[2]", item[2], 1), one_of)
            )
        return tuple(conditions)

    def _consistent(self, place: str, raw: t.Any) -> tuple[dict[str, str], ...]:
        groups = []
        for at, item in self._list(place, raw):
            group = dict(self._mapping(at, item, ("url", *URL_PARTS)))
            if "url" not in group or len(group) < 2:
                self._wrong(at, f"must have url and at least one of {', '.join(URL_PARTS)}")
            groups.append(group)
        return tuple(groups)
