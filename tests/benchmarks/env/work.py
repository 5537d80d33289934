# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work: an env file and a rule for each of its variables, told to every contender in its own words."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import random
import typing as t

_EACH_BAD = 97  # every so many variables one breaks its rule, of each kind in turn
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"

Rule = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of variable: our rule, a good value from a random source, and a bad one."""

    rule: Rule
    good: t.Callable[[random.Random], str]
    bad: str


def _word(source: random.Random, length: int) -> str:
    return "".join(source.choices(_LETTERS, k=length))


KINDS = {
    "NAME": Kind({}, lambda source: _word(source, 12), ""),
    "SLUG": Kind({"pattern": "^[a-z0-9-]+$"}, lambda source: f"{_word(source, 5)}-{_word(source, 6)}", "A_B"),
    "WORKERS": Kind({"type": "int", "min": 1, "max": 64}, lambda source: str(source.randint(1, 64)), "many"),
    "RATE": Kind({"type": "float", "min": 0, "max": 1}, lambda source: f"{source.random():.3f}", "8.5"),
    "ENABLED": Kind({"type": "bool"}, lambda source: source.choice(["true", "false"]), "maybe"),
    "URL": Kind(
        {"type": "url"}, lambda source: f"https://{_word(source, 8)}.example.net/{_word(source, 5)}", "nowhere"
    ),
    "SECRET": Kind({"min_length": 32, "secret": True}, lambda source: _word(source, 40), "2short"),
    "STAGE": Kind(
        {"choices": ["staging", "production"]}, lambda source: source.choice(["staging", "production"]), "prod"
    ),
}


@dataclasses.dataclass(frozen=True)
class Work:
    """Where the work lies: `folder` has `.env`, our `schema.json`, and `.env.schema` for varlock; `bad` are wrong."""

    folder: pathlib.Path
    size: int
    bad: int


def write(folder: pathlib.Path, size: int) -> Work:
    """So many variables; values are written so that all parsers read the same."""
    source = random.Random(size)
    lines, rules, bad = [], {}, 0
    kinds = list(KINDS.items())
    for number in range(size):
        suffix, kind = kinds[number % len(kinds)]
        name = f"SERVICE_{number // len(kinds):05}_{suffix}"
        is_bad = number % _EACH_BAD == _EACH_BAD // 2
        bad += is_bad
        value = kind.bad if is_bad else kind.good(source)
        quote = ("", "", '"', "'")[number % 4] if value else ""
        lines += [f"# number {number}"] * (number % 10 == 0) + [f"{name}={quote}{value}{quote}"]
        rules[name] = {**kind.rule, "required": True}
    return lay_out(folder, "\n".join(lines) + "\n", rules, bad)


def lay_out(folder: pathlib.Path, text: str, rules: dict[str, Rule], bad: int) -> Work:
    """An env file and its rules, for everybody."""
    folder.mkdir()
    (folder / ".env").touch(mode=0o600)
    (folder / ".env").write_text(text, encoding="utf-8")
    (folder / "schema.json").write_text(json.dumps({"variables": rules}), encoding="utf-8")
    for_varlock = ["# @defaultRequired=false @defaultSensitive=false", "# ---"]
    for name, rule in rules.items():
        for_varlock += [f"# @type={_type_of_varlock(rule)}{_flags_of_varlock(rule)}", f"{name}=", ""]
    (folder / ".env.schema").write_text("\n".join(for_varlock) + "\n", encoding="utf-8")
    return Work(folder, len(rules), bad)


def _type_of_varlock(rule: Rule) -> str:
    if "choices" in rule:
        return f"enum({', '.join(rule['choices'])})"
    kind = rule.get("type", "str")
    if kind in ("bool", "url"):
        return {"bool": "boolean", "url": "url"}[kind]
    if kind in ("int", "float"):
        limits = [f"{key}={rule[key]}" for key in ("min", "max") if key in rule]
        return f"number({', '.join(limits + ['isInt=true'] * (kind == 'int'))})"
    limits = [f"minLength={rule['min_length']}"] if "min_length" in rule else []
    limits += [f'matches=regex("{rule["pattern"]}")'] if "pattern" in rule else []
    return f"string({', '.join(limits)})" if limits else "string"


def _flags_of_varlock(rule: Rule) -> str:
    return " @required" * bool(rule.get("required")) + " @sensitive" * bool(rule.get("secret"))
