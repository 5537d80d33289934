# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules between variables. Private to the collection.

Each check yields `(rule name, variable, message)`. `settings` maps the names that are set (neither blank nor broken) to
their values.
"""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import urls
from ansible_collections.tria.production.plugins.module_utils._env.kinds import boolean
from ansible_collections.tria.production.plugins.module_utils._env.schema import Condition, Schema
from ansible_collections.tria.production.plugins.module_utils._env.vocabulary import Variable

Violation = t.Tuple[str, str, str]
Settings = t.Mapping[str, str]

_MOST = 10  # names in a message


def violations(schema: Schema, settings: Settings, unknown: t.Container[str] = ()) -> t.Iterator[Violation]:
    """Every violation of a relation. `unknown` are names with a syntax error: set, with a value nobody knows."""
    yield from _groups(schema, settings, unknown)
    for condition in schema.required_if:
        yield from _condition(schema, condition, settings, unknown)
    for name, names in schema.required_by:
        for other in names if name in settings or name in unknown else ():
            if other not in settings and other not in unknown:
                yield "required_by", other, f"not set, and {name}, which is set, requires it"
    for group in schema.consistent:
        yield from _consistent(group, settings)
    yield from _shared_secrets(schema, settings)


def _groups(schema: Schema, settings: Settings, unknown: t.Container[str]) -> t.Iterator[Violation]:
    def is_set(name: str) -> bool:
        return name in settings or name in unknown

    for group in schema.required_together:
        present = [name for name in group if is_set(name)]
        for name in group if present else ():
            if not is_set(name):
                yield "required_together", name, f"not set, but {_listed(present)} of its group"
    for group in schema.required_one_of:
        if not any(map(is_set, group)):
            yield "required_one_of", group[0], f"none of {_listed(group)} is set"
    for group in schema.mutually_exclusive:
        present = [name for name in group if is_set(name)]
        for name in present[1:]:
            yield "mutually_exclusive", name, f"set together with {present[0]}"


def _listed(names: t.Sequence[str]) -> str:
    """The first of them: a group of thousands has a message for each."""
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def _condition(
    schema: Schema, condition: Condition, settings: Settings, unknown: t.Container[str]
) -> t.Iterator[Violation]:
    variable = schema.variable(condition.key)
    value = settings.get(condition.key, variable.default)
    if value is None or not _equal(variable, value, condition.value):
        return
    missing = [name for name in condition.names if name not in settings and name not in unknown]
    if condition.one_of:
        if len(missing) == len(condition.names):
            yield "required_if", missing[0], f"none of {_listed(missing)} is set, which {condition.key} asks for"
        return
    for name in missing:
        yield "required_if", name, f"not set, and {condition.key} as it is set requires it"


def _equal(variable: Variable, text: str, expected: str) -> bool:
    if variable.type == "bool":
        return boolean(text) is not None and boolean(text) == boolean(expected)
    return text == expected


def _consistent(group: dict[str, str], settings: Settings) -> t.Iterator[Violation]:
    name = group["url"]
    if name not in settings:
        return
    try:
        url = urls.split(settings[name])
    except urls.UrlError:
        return  # the rule url says so, or the variable is not declared as one
    for part, variable in group.items():
        if part != "url" and variable in settings and url.part(part) != settings[variable]:
            yield "consistent", variable, f"differs from the {part} in {name}"


def _shared_secrets(schema: Schema, settings: Settings) -> t.Iterator[Violation]:
    owners: dict[str, str] = {}
    for name, variable in schema.variables.items():
        if variable.secret and name in settings:
            owner = owners.setdefault(settings[name], name)
            if owner != name:
                yield "shared_secret", name, f"has the same value as {owner}"
