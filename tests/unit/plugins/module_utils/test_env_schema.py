# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A wrong schema is refused with the place of each mistake."""

from __future__ import annotations

import pytest

from ansible_collections.tria.production.plugins.module_utils._env.schema import Condition, load
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def of(**keys):
    return {"variables": {"A": keys}}


@pytest.mark.parametrize(
    ("raw", "mistake"),
    [
        ([], "schema: must be a mapping"),
        ({"variabels": {}}, "schema: unknown key 'variabels', did you mean 'variables'?"),
        ({"variables": []}, "variables: must be a mapping of names"),
        ({"variables": {"A B": {}}}, "variables: 'A B' is no name of a variable"),
        ({"variables": {"A": "str"}}, "variables.A: must be a mapping"),
        (of(requird=True), "variables.A: unknown key 'requird', did you mean 'required'?"),
        (of(type="number"), "variables.A.type: 'number' is none of str, int, float, bool, url"),
        (of(type=1), "variables.A.type: must be text"),
        (of(required="yes"), "variables.A.required: must be true or false"),
        (of(pattern="["), "variables.A.pattern: is no regular expression (unterminated character set)"),
        (of(min_length=-1), "variables.A.min_length: must be a whole number, not negative"),
        (of(min_length=True), "variables.A.min_length: must be a whole number, not negative"),
        (of(type="int", min="1"), "variables.A.min: must be a number"),
        (of(min=1), "variables.A.min: is for type int or float only"),
        (of(type="int", min=2, max=1), "variables.A.min: is above max"),
        (of(min_length=2, max_length=1), "variables.A.min_length: is above max_length"),
        (of(schemes=["http"]), "variables.A.schemes: is for type url only"),
        (of(choices=[]), "variables.A.choices: must be a list of values, not empty"),
        (of(choices="ab"), "variables.A.choices: must be a list of values, not empty"),
        (of(default=[]), "variables.A.default: must be text, a number or a boolean"),
        (of(default=1, required=True), "variables.A.default: a required variable has no use for a default"),
        ({"required_together": ["A", "B"]}, "required_together[0]: must be a list of two or more names"),
        ({"required_together": "A"}, "required_together: must be a list"),
        ({"required_one_of": [["A", 5]]}, "relations: 5 is no name of a variable"),
        (
            {"required_if": [["A", "x"]]},
            "required_if[0]: must be [NAME, value, [NAMES]], or with true as fourth for any one of them",
        ),
        ({"required_if": [["A", "x", "B"]]}, "required_if[0][2]: must be a list of names"),
        ({"required_if": [["A", "x", ["B"], 1]]}, "required_if[0][3]: must be true or false"),
        (
            {"consistent": [{"user": "A"}]},
            "consistent[0]: must have url and at least one of user, password, host, port, path",
        ),
        (
            {"consistent": [{"url": "A", "pasword": "B"}]},
            "consistent[0]: unknown key 'pasword', did you mean 'password'?",
        ),
        ({"in_container": 1}, "in_container: must be true or false"),
    ],
)
def test_mistakes(raw, mistake):
    with pytest.raises(ProductionError) as caught:
        load(raw)
    assert mistake in caught.value.details["schema_errors"]
    assert mistake in str(caught.value)


def test_all_mistakes_at_once():
    with pytest.raises(ProductionError) as caught:
        load({"variables": {"A": {"type": "x"}, "B": {"required": 1}}, "consistent": 5})
    assert len(caught.value.details["schema_errors"]) == 3
    assert caught.value.culprit == "schema"


def test_shape():
    schema = load(
        {
            "variables": {"A": None, "D": {"choices": [1, True, "x"], "default": 0.5}},
            "required_if": [["A", True, ["B", "C"], True]],
            "consistent": [{"url": "U", "user": "B"}],
        }
    )
    assert schema.variables["A"].type == "str"
    assert schema.variables["D"].choices == ("1", "true", "x")
    assert schema.variables["D"].default == "0.5"
    assert schema.required_if == (Condition("A", "true", ("B", "C"), True),)
    assert set(schema.related()) == {"A", "B", "C", "U"}


def test_in_container_is_a_default_that_a_variable_overrides():
    schema = load(
        {
            "in_container": True,
            "variables": {"A": {"type": "url"}, "B": {"type": "url", "in_container": False}, "C": {}},
        }
    )
    assert [schema.variables[name].in_container for name in "ABC"] == [True, False, None]
