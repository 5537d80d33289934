# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every finding there is: its rule, and how `docs/env-rules.md` presents it. Private to the collection."""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils._env.rules import (
    of_compose,
    of_examples,
    of_files,
    of_mistakes,
    of_reading,
    of_relations,
    of_secrets,
    of_variables,
)
from ansible_collections.tria.production.plugins.module_utils._env.rules._rule import ERROR, WARNING, Finding, Rule

__all__ = ["ERROR", "GROUPS", "RULES", "WARNING", "Finding", "Rule", "found_by", "markdown"]

GROUPS: dict[str, tuple[Rule, ...]] = {
    each.TITLE: each.RULES
    for each in (
        of_variables,
        of_relations,
        of_reading,
        of_compose,
        of_mistakes,
        of_secrets,
        of_files,
        of_examples,
    )
}

RULES: dict[str, Rule] = {rule.name: rule for group in GROUPS.values() for rule in group}


def found_by(rule: str, name: str, file: str, line: int, message: str = "", remedy: str = "") -> Finding:
    """What a rule found; without message or remedy, with the rule's own."""
    definition = RULES[rule]
    return Finding(definition, name, file, line, message or definition.message, remedy or definition.remedy)


def markdown() -> str:
    """The text of `docs/env-rules.md`."""
    lines = [
        "# Rules of `tria.production.env_validate`",
        "",
        "Generated from the rule definitions (`plugins/module_utils/_env/rules/`); a test keeps it current.",
        "A finding names its rule by ID and by name. Either serves in `waive: [{name: VARIABLE, rule: ENV011}]`.",
    ]
    for title, group in GROUPS.items():
        lines += ["", f"## {title}"]
        for rule in group:
            lines += ["", f"### {rule.id} `{rule.name}` ({rule.severity})", "", f"The finding: {rule.message}.", ""]
            lines += ["```text", rule.example, "```", "", f"Remedy: {rule.remedy}"]
    return "\n".join(lines) + "\n"
