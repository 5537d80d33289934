# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the module: waivers, and values in place."""

from __future__ import annotations

import json

import pytest

from ansible_collections.tria.production.plugins.module_utils._env import engine, inputs, sources
from ansible_collections.tria.production.plugins.module_utils._env.schema import load
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def test_waivers_take_findings_out_by_variable_or_rule():
    schema = {"variables": {"A": {"min_length": 99}, "B": {"required": True}}}
    waived = inputs.waivers(["B", {"name": "A", "rule": "ENV011"}])
    outcome = engine.validate([sources.from_content("A=changeme\n")], load(schema), waived)
    assert [finding.rule.name for finding in outcome.findings] == ["min_length"]
    assert [(finding.variable, finding.rule.name) for finding in outcome.waived] == [
        ("B", "required"),
        ("A", "placeholder"),
    ]
    assert inputs.waivers([{"name": "A", "rule": "placeholder"}]) == {("A", "placeholder")}


@pytest.mark.parametrize("waiver", [5, {}, {"name": 1}, {"name": "A", "rules": "x"}, {"name": "A", "rule": "ENV999"}])
def test_wrong_waivers_are_refused(waiver):
    with pytest.raises(ProductionError, match=r"waive\[1\]"):
        inputs.waivers(["A", waiver])


def test_findings_about_a_file_are_waived_by_its_path(tmp_path):
    waived = inputs.waivers([{"name": str(tmp_path / "missing"), "rule": "file_missing"}])
    outcome = engine.validate([sources.from_file(str(tmp_path / "missing"))], load({}), waived)
    assert outcome.findings == [] and [finding.rule.name for finding in outcome.waived] == ["file_missing"]


def inline(environment, content=None, schema=None, environ=None):
    options = {"schema": schema or {}, "waive": [], "recommended": [], "content": content, "environment": environment}
    return engine.check({**options, "process_environment": environ is not None}, environ or {})


def test_inline_values_win_over_files_and_process():
    schema = {"variables": {"A": {"type": "int"}, "B": {}, "C": {}, "D": {"required": True}, "E": {}}}
    outcome = inline(
        {"A": 1, "B": None, "C": None, "D": True, "E": "same"}, "A=x\nB=file\nE=same\n", schema, {"B": "canary"}
    )
    assert [(finding.rule.name, finding.variable) for finding in outcome.findings] == [
        ("inline_override", "A"),
        ("shell_override", "B"),
    ]
    assert outcome.origins == {"A": "environment", "B": "process environment", "D": "environment", "E": "environment"}
    assert "canary" not in json.dumps(outcome.as_dict())


def test_a_bare_inline_key_takes_the_files_value_away():
    outcome = inline({"A": None}, "A=1\n", {"variables": {"A": {"required": True}}})
    assert [finding.rule.name for finding in outcome.findings] == ["required", "inline_override"]


def test_inline_values_alone():
    outcome = inline('{"A": "changeme"}')
    assert [(finding.rule.name, finding.file, finding.line) for finding in outcome.findings] == [
        ("placeholder", "environment", 0)
    ]


@pytest.mark.parametrize("wrong", ["{canary", "[1]", {"A": ["canary"]}, {"A": {"canary": 1}}, {"A": float("nan")}])
def test_inline_values_that_are_none(wrong):
    with pytest.raises(ProductionError) as caught:
        inline(wrong)
    assert "canary" not in str(caught.value) and str(caught.value).startswith("environment")
