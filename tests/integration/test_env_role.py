# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role `environment` under the real `ansible-playbook`: what it does, and that no output shows a value."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
CANARY = "c4n4ryQ7zx9w"
GOOD = {
    "DATABASE_URL": f"postgresql://tria:{CANARY}@db/tria",
    "SECRET_KEY": f"{CANARY} $x #y '\\' 8a7sd6f8a7s6df8a7sd6f\\",
    "DEBUG": False,
    "TAX_RATE": 0.08,
    "GONE": "1",
}
SCHEMA = """
variables:
  DATABASE_URL: {type: url, required: true, secret: true}
  SECRET_KEY: {min_length: 32, required: true, secret: true}
  DEBUG: {type: bool}
  TAX_RATE: {type: float, min: 0.0, max: 1.0}
"""


@pytest.fixture(name="play")
def fixture_play(tmp_path):
    """Runs the role's entry point `render` on this machine, in a second play that gets to know the role by `load`."""
    include = {"name": "tria.production.environment"}
    plays = [
        {"tasks": [{"ansible.builtin.include_role": include}]},
        {
            "vars": {"text": "{{ environment_content }}"},
            "tasks": [
                {"ansible.builtin.include_role": {**include, "tasks_from": "load", "public": True}},
                {"ansible.builtin.assert": {"that": "text is search('DEBUG=false')", "quiet": True}},
                {"ansible.builtin.include_role": {**include, "tasks_from": "render"}},
            ],
        },
    ]
    (tmp_path / "ansible.cfg").write_text("", encoding="utf-8")
    (tmp_path / "schema.yml").write_text(SCHEMA, encoding="utf-8")
    (tmp_path / "play.yml").write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, **play} for play in plays]), encoding="utf-8"
    )

    def run(variables, **extra):
        values = {
            "environment_variables": variables,
            "environment_overrides": {"GONE": None},
            "environment_schema_file": str(tmp_path / "schema.yml"),
            "environment_dest": str(tmp_path / "out.env"),
            **extra,
        }
        (tmp_path / "vars.json").write_text(json.dumps(values), encoding="utf-8")
        command = [sys.executable, "-m", "ansible", "playbook", "play.yml", "-e", "@vars.json", "-vvvv", "--diff"]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT / '.build'}",
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        }
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_good_environment_is_written_and_shown_nowhere(play, tmp_path):
    status, output = play(GOOD)
    assert status == 0, output
    assert CANARY not in output
    written = tmp_path / "out.env"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert written.read_text(encoding="utf-8").splitlines() == [
        f"DATABASE_URL=postgresql://tria:{CANARY}@db/tria",
        "DEBUG=false",
        f"SECRET_KEY=\"{CANARY} \\$x #y '\\\\' 8a7sd6f8a7s6df8a7sd6f\\\\\"",
        "TAX_RATE=0.08",
    ]
    status, output = play(GOOD)
    assert status == 0 and "changed=0" in output


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"DATABASE_URL": f"postgresql://tria:{CANARY}@db", "SECRET_KEY": f"CHANGE_THIS_{CANARY}"},
            "3 errors in content",
        ),
        (
            {"DATABASE_URL": {"nested": CANARY}, "SECRET_KEY": CANARY},
            "to_env: DATABASE_URL: a mapping cannot be written",
        ),
        (CANARY, "argument 'environment_variables' is of type str"),
    ],
)
def test_a_bad_one_stops_the_play_and_is_shown_nowhere(play, tmp_path, variables, words):
    status, output = play(variables)
    assert status != 0
    assert words in output
    assert CANARY not in output
    assert not (tmp_path / "out.env").exists()


def test_the_compose_project_takes_part(play, tmp_path):
    text = "services: {web: {image: 'x:${TAG}', environment: [DATABASE_URL, SECRET_KEY, DEBUG, 'TAX_RATE=$TAX_RATE']}}"
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    compose = {"files": [str(tmp_path / "compose.yaml")]}
    status, output = play(GOOD, environment_compose=compose)
    assert status == 0 and "[WARNING]: env_validate: 1 warning in content" in output and CANARY not in output
    assert "compose_unset" in output
    (tmp_path / "compose.yaml").write_text(text.replace("TAG", "TAG:?"), encoding="utf-8")
    status, output = play(GOOD, environment_compose=compose, ansible_become=True)
    assert status != 0 and "compose_reference" in output and CANARY not in output


def test_what_an_inventory_says_wins_over_the_schema_file(play):
    status, output = play(GOOD, environment_schema={"variables": {"SECRET_KEY": {"min_length": 99}}})
    assert status != 0 and "min_length: shorter than 99 characters" in output
