# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A schema out of a file, YAML or JSON. Private to the collection.

No error quotes the file: who names an env file here by mistake must not see its values.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary, load as load_library
from ansible_collections.tria.production.plugins.module_utils._env.schema import Schema, load
from ansible_collections.tria.production.plugins.module_utils._env.rules import RULES
from ansible_collections.tria.production.plugins.module_utils._env.sources import from_file
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def load_file(path: str) -> Schema:
    """The schema in the file; raises `ProductionError` for what is none, with the place of each mistake."""
    source = from_file(path)
    if source.text is None:
        rule, line = next(problem for problem in source.problems if problem[0] != "file_mode")
        message, remedy = RULES[rule].message, RULES[rule].remedy
        raise ProductionError(path, f"{message}{f', line {line}' if line else ''}.", remedy)
    return load(_document(path, source.text), path)


def _document(path: str, text: str) -> t.Any:
    """What the text says; YAML includes JSON, but reading JSON needs no library."""
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _without_repetition(path, pairs))
    except json.JSONDecodeError as exc:
        if path.endswith(".json"):
            raise _unreadable(path, "JSON", exc.lineno, exc.colno) from None
    except (RecursionError, ValueError):
        raise ProductionError(path, "is too deep, or holds too great a number, to be a schema.") from None
    return _yaml(path, text)


def _yaml(path: str, text: str) -> t.Any:
    try:
        yaml = load_library("yaml")
    except MissingLibrary as exc:
        raise ProductionError(path, str(exc), "Install it, or write the schema as JSON.") from None

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Refuses what YAML's own loader lets the last of win silently."""

        def construct_mapping(self, node: t.Any, deep: bool = False) -> dict[t.Any, t.Any]:
            pairs = [(self.construct_object(key, deep=True), None) for key, _value in node.value if _is_plain(key)]
            _without_repetition(path, pairs)
            return super().construct_mapping(node, deep=deep)

    try:
        return yaml.load(text, Loader=Loader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise _unreadable(path, "YAML", mark.line + 1 if mark else 0, mark.column + 1 if mark else 0) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise _unreadable(path, "YAML", 0, 0) from None


def _is_plain(key: t.Any) -> bool:
    """Whether a key is a scalar and no merge of another mapping (`<<`), which may well repeat keys."""
    return isinstance(key.value, str) and not key.tag.endswith(":merge")


def _without_repetition(path: str, pairs: t.Sequence[tuple[t.Any, t.Any]]) -> dict[t.Any, t.Any]:
    found: dict[t.Any, t.Any] = {}
    for key, value in pairs:
        if key in found:
            raise ProductionError(path, f"has {key!r} twice in one mapping.", "Keep one of them.")
        found[key] = value
    return found


def _unreadable(path: str, language: str, line: int, column: int) -> ProductionError:
    place = f", line {line}, column {column}" if line else ""
    return ProductionError(path, f"is no {language}{place}.", "Correct it; a schema is a mapping in YAML or JSON.")
