# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of a schema, and what they mean. Private to the collection."""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.tria.production.plugins.module_utils._env.kinds import KINDS

TYPES = tuple(KINDS)
BOUNDED = tuple(name for name, kind in KINDS.items() if kind.bounded)
WITH_UNITS = ("duration", "size")  # bounds may be written as their values are
URL_PARTS = ("user", "password", "host", "port", "path")
NAME = r"[A-Za-z0-9_.\-\[\]]+"


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a variable or of the schema. `shape` names what its value looks like; `types` are those that it is for,
    all if there are none, and of a list with `of_items` the type of its items."""

    shape: str
    description: str
    types: tuple[str, ...] = ()
    of_items: bool = False


VARIABLE: dict[str, Key] = {
    "type": Key("type", "What the value is; str unless another is given."),
    "required": Key("flag", "Whether it must be set; an empty or blank value counts as not set."),
    "default": Key("scalar", "What the application takes when it is not set."),
    "secret": Key("flag", "Whether the value is a secret."),
    "pattern": Key("pattern", "A Python regular expression that is searched for in the value."),
    "min_length": Key("count", "The least number of characters."),
    "max_length": Key("count", "The greatest number of characters."),
    "choices": Key("texts", "The values that are allowed."),
    "min": Key("bound", "The least number; of a duration seconds, of a size bytes, of a list items.", BOUNDED),
    "max": Key("bound", "The greatest number; of a duration seconds, of a size bytes, of a list items.", BOUNDED),
    "schemes": Key("texts", "Schemes of a URL; postgresql also allows postgresql+psycopg2.", ("url",), of_items=True),
    "in_container": Key(
        "flag", "Whether a container uses the URL; localhost is then a warning.", ("url",), of_items=True
    ),
    "elements": Key("element", "What the items of a list are; str unless another is given.", ("list",)),
    "separator": Key("separator", "What separates the items of a list; a comma unless another is given.", ("list",)),
    "allow_empty": Key("flag", "Whether an empty value is good enough for a required variable."),
    "deprecated": Key("note", "Whether it should not be set any more: true, or the reason."),
    "replacement": Key("name", "The variable that takes the place of a deprecated one."),
    "description": Key("text", "What it is for."),
}

SCHEMA: dict[str, Key] = {
    "variables": Key("variables", "The variables by name."),
    "in_container": Key("flag", "Whether containers use the URLs that do not say it themselves."),
    "required_together": Key("groups", "Groups of names of which all must be set, or none."),
    "required_one_of": Key("groups", "Groups of names of which one must be set."),
    "mutually_exclusive": Key("groups", "Groups of names of which one may be set."),
    "required_if": Key(
        "conditions", "[NAME, value, [NAMES]]: what must be set when NAME has the value; with true as fourth any of it."
    ),
    "required_by": Key("dependents", "What must be set when the variable is: a name or a list of names."),
    "consistent": Key("parts", "Variables that must hold the same as the parts of a URL, after percent-decoding."),
    "$schema": Key("text", "The JSON Schema of this file, for editors."),
}


@dataclasses.dataclass(frozen=True)
class Variable:
    """What the schema says of one variable; the fields are the schema's keys. `deprecated` is the reason, possibly
    empty; None if it is not."""

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
    elements: str = "str"
    separator: str = ","
    deprecated: str | None = None
    replacement: str = ""

    @property
    def item_type(self) -> str:
        """The type of what `pattern`, `choices`, `schemes` and lengths are about: of a list, its items."""
        return self.elements if self.type == "list" else self.type
