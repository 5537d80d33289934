# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is published of the vocabulary: `docs/env-schema.json` for editors, `docs/env-schema.md` for people.

Private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._env.kinds import KINDS
from ansible_collections.tria.production.plugins.module_utils._env.vocabulary import (
    BOUNDED,
    NAME,
    SCHEMA,
    TYPES,
    URL_PARTS,
    VARIABLE,
    WITH_UNITS,
    Key,
)


def json_schema() -> dict[str, t.Any]:
    """The text of `docs/env-schema.json`, as data. What a JSON Schema cannot say, the loader still checks."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Schema for env files (tria.production.env_validate)",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(key) for name, key in SCHEMA.items()},
        "definitions": {"variable": _variable()},
    }


def markdown() -> str:
    """The text of `docs/env-schema.md`."""
    return _PAGE.format(
        keys="\n".join(f"| `{name}` | {key.description}{_for(key)} |" for name, key in VARIABLE.items()),
        types="\n".join(f"| `{name}` | {kind.title} | {kind.remedy or '-'} |" for name, kind in KINDS.items()),
        relations="\n".join(f"| `{name}` | {key.description} |" for name, key in SCHEMA.items()),
    )


def _for(key: Key) -> str:
    types = key.types + (("list",) if key.of_items else ())
    return f" For {', '.join(types)}." if types else ""


_PAGE = """# The schema of `tria.production.env_validate`

Generated from the schema's vocabulary (`plugins/module_utils/_env/vocabulary.py`); a test keeps it current.

```yaml
# yaml-language-server: $schema=env-schema.json
variables:
  DATABASE_URL: {{type: url, schemes: [postgresql], required: true, secret: true, description: Where orders are kept}}
  REQUEST_TIMEOUT: {{type: duration, default: 30s, max: 5m}}
  UPLOAD_LIMIT: {{type: size, default: 64m, max: 1g}}
  ALLOWED_HOSTS: {{type: list, elements: host, required: true, min: 1}}
  DB_URL: {{type: url, deprecated: the name was shared with the warehouse, replacement: DATABASE_URL}}
  SMTP_USER: {{}}
  SMTP_PASSWORD: {{secret: true}}
required_by: {{SMTP_USER: SMTP_PASSWORD}}
```

With the first line, editors that know the YAML language server complete and check the schema by
[env-schema.json](env-schema.json); in a JSON file the key `$schema` does. The module says of every mistake where it is,
and what was probably meant: `variables.A: unknown key 'requird', did you mean 'required'?`

## Keys of the schema

| key | meaning |
|---|---|
{relations}

## Keys of a variable

Of a list, `min` and `max` bound the number of items; everything else holds for each of them.

| key | meaning |
|---|---|
{keys}

## Types

| type | what it is | how to write it |
|---|---|---|
{types}

## The example file

`example: {{path: .env.example}}` warns of keys that the example lacks or has too many, of other defaults, and of what
may be a real secret. With `state: present` it is written from the schema: each variable with its description and what it
must be, required ones empty, optional ones with their default, and no secret. A file that was not made in this way, or
was filled in, is left alone.
"""


def _property(key: Key) -> dict[str, t.Any]:
    return {"description": key.description, **_SHAPES[key.shape]}


def _variable() -> dict[str, t.Any]:
    numeric = [name for name in BOUNDED if name not in WITH_UNITS]
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {name: _property(key) for name, key in VARIABLE.items()},
        "dependencies": {
            **{name: _only_for(key) for name, key in VARIABLE.items() if key.types},
            "replacement": ["deprecated"],
        },
        "if": {"properties": {"type": {"enum": numeric}}, "required": ["type"]},
        "then": {"properties": {"min": {"type": "number"}, "max": {"type": "number"}}},
        "not": {
            "type": "object",
            "properties": {"required": {"const": True}},
            "required": ["required"],
            "anyOf": [
                {"required": ["default"]},
                {"properties": {"deprecated": {"not": {"const": False}}}, "required": ["deprecated"]},
            ],
        },
    }


def _only_for(key: Key) -> dict[str, t.Any]:
    of_type = {"properties": {"type": {"enum": list(key.types)}}, "required": ["type"]}
    if not key.of_items:
        return of_type
    of_items = {
        "properties": {"type": {"const": "list"}, "elements": {"enum": list(key.types)}},
        "required": ["type", "elements"],
    }
    return {"anyOf": [of_type, of_items]}


# draft 7 ignores what stands beside a $ref, so that these are written out wherever they are needed
_FLAG = {"type": "boolean"}
_SCALAR = {"type": ["string", "number", "boolean"]}
_NAMED = {"type": "string", "pattern": f"^{NAME}$"}
_NAMES = {"type": "array", "items": _NAMED, "minItems": 1}
_SHAPES: dict[str, dict[str, t.Any]] = {
    "type": {"enum": list(TYPES)},
    "element": {"enum": [name for name in TYPES if name != "list"]},
    "flag": _FLAG,
    "count": {"type": "integer", "minimum": 0},
    "bound": {"type": ["number", "string"]},
    "scalar": _SCALAR,
    "text": {"type": "string"},
    "separator": {"type": "string", "minLength": 1},
    "pattern": {"type": "string", "format": "regex"},
    "texts": {"type": "array", "minItems": 1, "items": _SCALAR},
    "note": {"type": ["boolean", "string"]},
    "name": _NAMED,
    "variables": {
        "type": "object",
        "propertyNames": _NAMED,
        "additionalProperties": {"$ref": "#/definitions/variable"},
    },
    "groups": {"type": "array", "items": {**_NAMES, "minItems": 2}},
    "conditions": {
        "type": "array",
        "items": {
            "type": "array",
            "minItems": 3,
            "maxItems": 4,
            "items": [_NAMED, _SCALAR, _NAMES, _FLAG],
        },
    },
    "dependents": {
        "type": "object",
        "propertyNames": _NAMED,
        "additionalProperties": {"anyOf": [_NAMED, _NAMES]},
    },
    "parts": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["url"],
            "minProperties": 2,
            "additionalProperties": False,
            "properties": {part: _NAMED for part in ("url", *URL_PARTS)},
        },
    },
}
