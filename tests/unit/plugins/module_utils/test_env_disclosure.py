# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No value and no part of one is in anything that the engine or the module gives, whichever rule finds it.

`tests/integration/test_env_disclosure_real.py` does the same with `ansible-playbook`.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import traceback

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from disclosure import traces
from disclosure.plants import PLANTS, Plant

from ansible_collections.tria.production.plugins.module_utils._env import engine
from ansible_collections.tria.production.plugins.module_utils._env.outcome import Refused
from ansible_collections.tria.production.plugins.module_utils._env.rules import RULES
from ansible_collections.tria.production.plugins.modules import env_validate

_ENGINE = os.path.dirname(engine.__file__)


# every plant as it is, and with its text in a file
EACH = [
    pytest.param(each, id=f"{plant.rule}-{number}{'' if each is plant else '-file'}")
    for number, plant in enumerate(PLANTS)
    for each in ([plant] if plant.as_file() is plant else [plant, plant.as_file()])
]


@pytest.fixture(name="planted")
def fixture_planted(tmp_path, monkeypatch):
    def plant_it(plant: Plant, folder=tmp_path):
        folder.mkdir(exist_ok=True)
        for name, value in plant.environ.items():
            monkeypatch.setenv(name, value)
        return plant.lay_out(folder)

    return plant_it


def check(options):
    validated = ArgumentSpecValidator(**env_validate.SPEC).validate(options)
    assert not validated.error_messages
    return engine.check(validated.validated_parameters, os.environ)


def test_every_rule_has_a_plant():
    """A new rule needs a plant of canaries in tests/disclosure/plants.py."""
    assert {plant.rule for plant in PLANTS} == set(RULES)


@pytest.mark.parametrize(
    ("text", "shows"),
    [
        (f"a {traces.TEXT[3:9]} b", True),
        (f"a {traces.TEXT[3:8]} b", False),
        (traces.OTHER.upper(), True),
        (base64.b64encode(f"x {traces.TEXT}".encode()).decode(), True),
        (f"x {traces.TEXT.encode().hex()}", True),
        ("the message of a rule", False),
    ],
)
def test_the_search_finds_canaries_and_their_parts(text, shows):
    assert bool(traces.of(text)) == shows


@pytest.mark.parametrize("plant", EACH)
def test_nothing_of_a_value_is_in_what_the_engine_gives(plant, planted):
    outcome = check(planted(plant))
    assert plant.rule in {finding.rule.name for finding in outcome.findings}
    refused = Refused(outcome)
    shown = [repr(outcome), str(refused), repr(refused), json.dumps([outcome.as_dict(), refused.as_result()])]
    assert not traces.of("\n".join(shown))


@pytest.mark.parametrize("fail_on", ["error", "never"])
@pytest.mark.parametrize("plant", EACH)
def test_nothing_of_a_value_is_in_what_the_module_prints(plant, fail_on, planted, capfd):
    options = {"fail_on": fail_on, **planted(plant)}
    # the values in a schema are no secret, and the module says how it was called
    in_schema = set(traces.of(json.dumps(options.get("schema"))))
    with patch_module_args({**options, "_ansible_diff": True, "_ansible_verbosity": 4}), pytest.raises(SystemExit):
        env_validate.main()
    printed = capfd.readouterr()
    assert '"findings"' in printed.out
    assert not set(traces.of(printed.out + printed.err)) - in_schema


class Broken(Exception):
    """A fault of our own, planted in a function."""


def functions_of(plant_options, broken):
    """Run with the functions `broken` (places in the source) raising `Broken`; which were called, and the traceback."""
    called = []

    def watch(frame, event, _argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_ENGINE):
            called.append((code.co_filename, code.co_firstlineno))
            if called[-1] in broken:
                raise Broken

    sys.setprofile(watch)
    try:
        check(plant_options).require("warning")
    except Exception:  # whatever a broken function leads to
        shown = traceback.format_exc()
    else:
        shown = ""
    finally:
        sys.setprofile(None)
    return dict.fromkeys(called), shown


def test_a_traceback_from_any_function_shows_no_value(planted, tmp_path):
    broken = set()
    for number, plant in enumerate(PLANTS):
        options = planted(plant, tmp_path / str(number))
        called, shown = functions_of(options, ())
        assert not traces.of(shown), plant.rule
        for place in called:
            if place in broken:
                continue
            broken.add(place)
            _called, shown = functions_of(options, {place})
            assert not traces.of(shown), (plant.rule, place)
    assert len(broken) > 60
