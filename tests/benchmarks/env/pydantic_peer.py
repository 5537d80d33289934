# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python-dotenv and pydantic-settings: `pydantic_peer.py <folder>` prints their seconds and what was wrong.

Runs with the libraries in a virtual environment of its own, see `benchmarks.peers`.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
import typing as t

import pydantic
import pydantic_settings


def field_of(rule: dict[str, t.Any]) -> t.Any:
    """Our rule as a field of pydantic. What is empty counts as missing, as with us (`env_ignore_empty`)."""
    types: dict[str, t.Any] = {"int": int, "float": float, "bool": bool, "url": pydantic.AnyUrl, "str": str}
    kind = types[rule.get("type", "str")]
    if "choices" in rule:
        kind = t.Literal[tuple(rule["choices"])]
    names = {"min": "ge", "max": "le", "min_length": "min_length", "pattern": "pattern"}
    limits = {names[key]: rule[key] for key in names if key in rule}
    if rule.get("secret"):
        kind = pydantic.Secret[t.Annotated[kind, pydantic.Field(**limits)] if limits else kind]
        limits = {}
    # a rule that is not required has a default, which pydantic does not hold against it
    return kind, pydantic.Field(**limits, **({} if rule.get("required") else {"default": ""}))


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    variables = json.loads((folder / "schema.json").read_text(encoding="utf-8"))["variables"]
    begun = time.perf_counter()
    fields = {name: field_of(rule) for name, rule in variables.items()}
    model = pydantic.create_model("Settings", __base__=pydantic_settings.BaseSettings, **fields)
    wrong, told = 0, ""
    try:
        model(_env_file=folder / ".env", _env_ignore_empty=True, _case_sensitive=True)
    except pydantic.ValidationError as exc:
        wrong, told = exc.error_count(), str(exc)
    seconds = time.perf_counter() - begun
    print(told, file=sys.stderr)
    print(json.dumps({"seconds": seconds, "wrong": wrong}))


if __name__ == "__main__":
    main()
