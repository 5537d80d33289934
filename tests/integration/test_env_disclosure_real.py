# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No value and no part of one is in what `ansible-playbook` shows at any verbosity, whichever rule finds it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from disclosure import traces
from disclosure.plants import PLANTS

ROOT = pathlib.Path(__file__).parents[2]

# makes the module end in a traceback, in the middle of its work
BREAKS = """
import sys

def watch(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "_check_undeclared":
        raise RuntimeError("planted")

sys.setprofile(watch)
"""


@pytest.fixture(name="play")
def fixture_play(tmp_path):
    """Runs a task for each plant, and gives what was shown.

    Where the text is given, that is on the controller; one such plant of each rule goes to a module, too, in a file.
    """
    tasks = []
    first = {plant.rule: plant for plant in reversed(PLANTS)}
    for plant in [*PLANTS, *(plant.as_file() for plant in first.values() if plant.as_file() is not plant)]:
        folder = tmp_path / str(len(tasks))
        folder.mkdir()
        tasks.append((plant.rule, plant.lay_out(folder)))

    def run(names, environment):
        # the values are in a file of variables, as in an inventory: a play's own lines are shown where a task fails
        chosen = [task for task in tasks if not names or task[0] in names]
        variables = {"plants": [options for _rule, options in chosen]}
        (tmp_path / "vars.json").write_text(json.dumps(variables), encoding="utf-8")
        play = [
            {
                "name": rule,
                "tria.production.env_validate": "{{ plants[%d] }}" % number,
                "environment": environment,
                "ignore_errors": True,
            }
            for number, (rule, _options) in enumerate(chosen)
        ]
        plays = [{"hosts": "localhost", "gather_facts": False, "tasks": play}]
        (tmp_path / "play.yml").write_text(json.dumps(plays), encoding="utf-8")
        return len(chosen), _played(tmp_path)

    return run


def _played(folder):
    (folder / "ansible.cfg").write_text("[defaults]\nINJECT_FACTS_AS_VARS=false\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "play.yml", "-e", "@vars.json", "-vvvv", "--diff"],
        cwd=folder,
        env={
            **os.environ,
            # not by `environment`: Ansible shows it with the command line
            **{name: value for plant in PLANTS for name, value in plant.environ.items()},
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT / '.build'}",
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_DISPLAY_TRACEBACK": "always",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_no_verbosity_shows_a_value(play):
    count, output = play((), {})
    assert output.count("\nTASK [") == count
    assert "Traceback" in output
    in_schemas = set(traces.of(json.dumps([plant.options.get("schema") for plant in PLANTS])))
    assert not [line for line in output.splitlines() if set(traces.of(line)) - in_schemas]


def test_no_traceback_shows_a_value(play, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(BREAKS, encoding="utf-8")
    _count, output = play(("placeholder",), {"PYTHONPATH": str(tmp_path / "broken")})
    assert "RuntimeError: planted" in output
    assert not [line for line in output.splitlines() if traces.of(line)]
