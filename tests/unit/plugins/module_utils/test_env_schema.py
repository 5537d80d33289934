# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A wrong schema is refused with the place of each mistake."""

from __future__ import annotations

import json
import pathlib

import jsonschema
import pytest
import yaml

from ansible_collections.tria.production.plugins.module_utils._env import vocabulary, vocabulary_docs
from ansible_collections.tria.production.plugins.module_utils._env.schema import Condition, load
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

ROOT = pathlib.Path(__file__).parents[4]
VALIDATOR = jsonschema.Draft7Validator(vocabulary_docs.json_schema())
TYPES = "str, int, float, bool, url, email, host, port, path, duration, size, json, list"
BOUNDED = "is for type int or float or port or duration or size or list only"


def of(**keys):
    return {"variables": {"A": keys}}


# those that a JSON Schema can see, and those that it cannot
PLAIN_MISTAKES = [
    ([], "schema: must be a mapping"),
    ({"variabels": {}}, "schema: unknown key 'variabels', did you mean 'variables'?"),
    ({"variables": []}, "variables: must be a mapping of names"),
    ({"variables": {"A B": {}}}, "variables: 'A B' is no name of a variable"),
    ({"variables": {"A": "str"}}, "variables.A: must be a mapping"),
    ({"variables": {"A": []}}, "variables.A: must be a mapping"),
    (of(requird=True), "variables.A: unknown key 'requird', did you mean 'required'?"),
    (of(type="number"), f"variables.A.type: 'number' is none of {TYPES}"),
    (of(type="durations"), f"variables.A.type: 'durations' is none of {TYPES}, did you mean 'duration'?"),
    (of(type=1), "variables.A.type: must be text"),
    (of(required="yes"), "variables.A.required: must be true or false"),
    (of(min_length=-1), "variables.A.min_length: must be a whole number, not negative"),
    (of(min_length=True), "variables.A.min_length: must be a whole number, not negative"),
    (of(type="int", min="1"), "variables.A.min: must be a number"),
    (of(type="size", max=[]), "variables.A.max: must be a number or text"),
    (of(min=1), f"variables.A.min: {BOUNDED}"),
    (of(type="bool", max=1), f"variables.A.max: {BOUNDED}"),
    (of(schemes=["http"]), "variables.A.schemes: is for type url only"),
    (of(type="list", schemes=["http"]), "variables.A.schemes: is for type url only"),
    (of(in_container=True), "variables.A.in_container: is for type url only"),
    (of(elements="int"), "variables.A.elements: is for type list only"),
    (of(type="str", separator=";"), "variables.A.separator: is for type list only"),
    (of(type="list", separator=""), "variables.A.separator: must be text, not empty"),
    (of(type="list", elements="list"), f"variables.A.elements: 'list' is none of {TYPES[:-6]}"),
    (of(choices=[]), "variables.A.choices: must be a list of values, not empty"),
    (of(choices="ab"), "variables.A.choices: must be a list of values, not empty"),
    (of(default=[]), "variables.A.default: must be text, a number or a boolean"),
    (of(default=1, required=True), "variables.A.default: a required variable has no use for a default"),
    (of(deprecated=True, required=True), "variables.A.deprecated: a required variable cannot be deprecated"),
    (of(deprecated=1), "variables.A.deprecated: must be true, false or the reason"),
    ({"variables": {"A": {"replacement": "B"}, "B": {}}}, "variables.A.replacement: is for a deprecated variable only"),
    (of(deprecated=True, replacement=5), "variables.A.replacement: 5 is no name of a variable"),
    ({"required_together": ["A", "B"]}, "required_together[0]: must be a list of two or more names"),
    ({"required_together": [["A"]]}, "required_together[0]: must be a list of two or more names"),
    ({"required_together": "A"}, "required_together: must be a list"),
    ({"required_one_of": [["A", 5]]}, "required_one_of[0][1]: 5 is no name of a variable"),
    (
        {"required_if": [["A", "x"]]},
        "required_if[0]: must be [NAME, value, [NAMES]], or with true as fourth for any one of them",
    ),
    ({"required_if": [["A", "x", "B"]]}, "required_if[0][2]: must be a list of names"),
    ({"required_if": [["A", "x", ["B"], 1]]}, "required_if[0][3]: must be true or false"),
    ({"required_if": [[1, "x", ["B"]]]}, "required_if[0][0]: 1 is no name of a variable"),
    ({"required_if": [["A", "x", ["B", "C D"]]]}, "required_if[0][2][1]: 'C D' is no name of a variable"),
    ({"required_by": ["A", "B"]}, "required_by: must be a mapping of names to names"),
    ({"required_by": {"A": 5}}, "required_by.A: must be a list of names"),
    ({"required_by": {"A": []}}, "required_by.A: must be a list of names"),
    ({"required_by": {"A": ["B", 5]}}, "required_by.A[1]: 5 is no name of a variable"),
    ({"required_by": {"A B": "C"}}, "required_by: 'A B' is no name of a variable"),
    (
        {"consistent": [{"user": "A"}]},
        "consistent[0]: must have url and at least one of user, password, host, port, path",
    ),
    (
        {"consistent": [{"url": "A", "pasword": "B"}]},
        "consistent[0]: unknown key 'pasword', did you mean 'password'?",
    ),
    ({"consistent": [{"url": "A", "user": 5}]}, "consistent[0].user: 5 is no name of a variable"),
    ({"in_container": 1}, "in_container: must be true or false"),
]
DEEPER_MISTAKES = [
    (of(pattern="["), "variables.A.pattern: is no regular expression (unterminated character set)"),
    (of(type="int", min=2, max=1), "variables.A.min: is above max"),
    (of(type="duration", min="1h", max="5m"), "variables.A.min: is above max"),
    (of(type="size", max="big"), "variables.A.max: not a size in bytes"),
    (of(min_length=2, max_length=1), "variables.A.min_length: is above max_length"),
    (of(type="int", default="many"), "variables.A.default: not a whole number"),
    (of(type="int", max=3, default=5), "variables.A.default: not at most 3"),
    (of(type="duration", default="5"), "variables.A.default: not a duration"),
    (of(choices=["a", "b"], default="c"), "variables.A.default: none of a, b"),
    (of(pattern="^sk-", default="pk-"), "variables.A.default: does not match ^sk-"),
    (of(type="list", elements="port", default="80, no"), "variables.A.default: item 2: not a port"),
    (of(type="port", choices=[80, "http"]), "variables.A.choices[1]: not a port"),
    (
        {"variables": {"A": {"deprecated": True, "replacement": "REDIS_HOTS"}, "REDIS_HOST": {}}},
        "variables.A.replacement: 'REDIS_HOTS' is not another one of variables, did you mean 'REDIS_HOST'?",
    ),
    (of(deprecated=True, replacement="A"), "variables.A.replacement: 'A' is not another one of variables"),
    (
        {"variables": {"A": {"choices": ["staging", "production"]}}, "required_if": [["A", "productoin", ["B"]]]},
        "required_if[0][1]: is no value of A: none of staging, production, did you mean 'production'?",
    ),
    (
        {"variables": {"A": {"type": "int"}}, "required_if": [["A", "many", ["B"]]]},
        "required_if[0][1]: is no value of A: not a whole number",
    ),
]
GOOD = [
    {},
    {"variables": {}},
    {"$schema": "env-schema.json", "in_container": True, "variables": {"A": None, "B": {"type": "url"}}},
    {"variables": {name.upper(): {"type": name} for name in vocabulary.TYPES}},
    of(type="list", elements="url", schemes=["https"], in_container=True, separator=" ", min=1, max=3),
    of(type="list", elements="port", choices=[80, 443], default="80,443"),
    of(type="duration", min=0, max="5m", default="1m30s"),
    of(type="size", min="1k", default="64m"),
    of(type="int", default=""),
    of(type="bool", default=False, secret=True),
    {"variables": {"A": {"deprecated": "since 2.0", "replacement": "B"}, "B": {"required": True}}},
    of(deprecated=False, required=True),
    {"required_by": {"A": "B", "C": ["D", "E"]}},
    {"required_if": [["A", True, ["B"], True]], "mutually_exclusive": [["A", "B"]]},
    {"consistent": [{"url": "A", "user": "B"}]},
]


@pytest.mark.parametrize(("raw", "mistake"), PLAIN_MISTAKES + DEEPER_MISTAKES)
def test_mistakes(raw, mistake):
    with pytest.raises(ProductionError) as caught:
        load(raw)
    assert mistake in caught.value.details["schema_errors"]
    assert mistake in str(caught.value)


@pytest.mark.parametrize("raw", [raw for raw, _mistake in PLAIN_MISTAKES])
def test_the_json_schema_sees_the_same_mistakes(raw):
    assert not VALIDATOR.is_valid(raw)


@pytest.mark.parametrize("raw", GOOD)
def test_good_schemas_are_good_for_both(raw):
    load(raw)
    VALIDATOR.validate(raw)


def test_what_only_the_loader_sees_is_good_for_the_json_schema():
    for raw, _mistake in DEEPER_MISTAKES:
        VALIDATOR.validate(raw)


def test_the_json_schema_and_its_page_are_current():
    # to renew them: write what json_schema() and markdown() return
    jsonschema.Draft7Validator.check_schema(vocabulary_docs.json_schema())
    assert json.loads((ROOT / "docs" / "env-schema.json").read_text(encoding="utf-8")) == vocabulary_docs.json_schema()
    assert (ROOT / "docs" / "env-schema.md").read_text(encoding="utf-8") == vocabulary_docs.markdown()


def test_the_example_of_the_page_is_a_schema():
    raw = yaml.safe_load(vocabulary_docs.markdown().split("```yaml\n")[1].split("```")[0])
    VALIDATOR.validate(raw)
    assert load(raw).variables["UPLOAD_LIMIT"].max == 1024**3


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/**/*env.schema.yaml")), ids=lambda path: path.name)
def test_the_schemas_of_the_examples(path):
    text = path.read_text(encoding="utf-8")
    raw = yaml.safe_load(text)
    VALIDATOR.validate(raw)
    load(raw)
    # who copies the project has the collection elsewhere
    if "project" not in path.parts:
        comment, _equals, target = text.split("\n")[0].partition("=")
        assert comment == "# yaml-language-server: $schema"
        assert (path.parent / target).resolve() == ROOT / "docs" / "env-schema.json"


def test_the_vocabulary_is_that_of_a_variable():
    fields = {field.name for field in vocabulary.dataclasses.fields(vocabulary.Variable)}
    assert set(vocabulary.VARIABLE) == fields - {"name"}


def test_all_mistakes_at_once():
    with pytest.raises(ProductionError) as caught:
        load({"variables": {"A": {"type": "x"}, "B": {"required": 1}}, "consistent": 5})
    assert len(caught.value.details["schema_errors"]) == 3
    assert caught.value.culprit == "schema"


def test_shape():
    schema = load(
        {
            "variables": {"A": None, "D": {"choices": [1, True, "x", 0.5], "default": 0.5}},
            "required_if": [["A", True, ["B", "C"], True]],
            "required_by": {"E": "F", "B": ["C"]},
            "consistent": [{"url": "U", "user": "B"}],
        }
    )
    assert schema.variables["A"].type == "str"
    assert schema.variables["D"].choices == ("1", "true", "x", "0.5")
    assert schema.variables["D"].default == "0.5"
    assert schema.required_if == (Condition("A", "true", ("B", "C"), True),)
    assert schema.required_by == (("E", ("F",)), ("B", ("C",)))
    assert set(schema.related()) == {"A", "B", "C", "E", "F", "U"}


def test_in_container_is_a_default_that_a_variable_overrides():
    schema = load(
        {
            "in_container": True,
            "variables": {"A": {"type": "url"}, "B": {"type": "url", "in_container": False}, "C": {}},
        }
    )
    assert [schema.variables[name].in_container for name in "ABC"] == [True, False, None]
