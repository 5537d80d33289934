# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A schema out of a file: YAML, JSON, and everything that is neither."""

from __future__ import annotations

import json
import os
import sys

import pytest

from ansible_collections.tria.production.plugins.module_utils._env import sources
from ansible_collections.tria.production.plugins.module_utils._env.schema import load
from ansible_collections.tria.production.plugins.module_utils._env.schema_file import load_file
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

SCHEMA = {"variables": {"A": {"type": "port", "default": 80}, "B": {"choices": ["x", "y"]}}, "required_by": {"A": "B"}}
YAML = "variables:\n  A: {type: port, default: 80}\n  B:\n    choices: [x, y]\nrequired_by: {A: B}\n"


@pytest.fixture(name="refused")
def fixture_refused(tmp_path):
    """The error that a file with this text gives."""

    def refused(text, name="schema.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ProductionError) as caught:
            load_file(str(path))
        assert caught.value.culprit == str(path)
        assert "canary" not in str(caught.value)
        return caught.value

    return refused


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("schema.yaml", YAML),
        ("schema.yaml", "# comment\n---\n" + YAML),
        ("schema", YAML),
        ("schema.json", json.dumps(SCHEMA)),
        ("schema.yaml", json.dumps(SCHEMA)),
        ("schema.yaml", YAML.replace("{type: port, default: 80}", "&a {type: port, default: 80}\n  <<: {B: {}}")),
    ],
)
def test_a_schema(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert load_file(str(tmp_path / name)) == load(SCHEMA)


def test_mistakes_name_the_file_and_their_places(refused):
    error = refused("variables: {A: {type: prot}, B: {requird: true}}\n")
    assert error.details["schema_errors"] == [
        "variables.A.type: 'prot' is none of str, int, float, bool, url, email, host, port, path, duration, size, json, list,"
        " did you mean 'port'?",
        "variables.B: unknown key 'requird', did you mean 'required'?",
    ]
    assert "2 mistakes: variables.A.type" in str(error)


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("s.yaml", "variables:\n  A: {canary\n", "is no YAML, line 3, column 1."),
        ("s.yaml", "a: 1\n\tcanary: 1\n", "is no YAML, line 2, column 1."),
        ("s.yaml", "a: !canary 1\n", "is no YAML, line 1, column 4."),
        ("s.yaml", "a: *canary\n", "is no YAML, line 1, column 4."),
        ("s.yaml", "a: 1\n---\nb: canary\n", "is no YAML, line 2, column 1."),
        ("s.yaml", "a: \x01canary\n", "is no YAML."),
        ("s.yaml", "a: 2020-99-99 # canary\n", "is no YAML."),
        ("s.json", '{"a": canary}', "is no JSON, line 1, column 7."),
        ("s.json", YAML, "is no JSON, line 1, column 1."),
        ("s.json", "[" * 100_000, "is too deep, or holds too great a number, to be a schema."),
        ("s.yaml", "A=canary\n", "1 mistake: schema: must be a mapping."),
        ("s.yaml", "", "1 mistake: schema: must be a mapping."),
        ("s.yaml", b"a: \xff\n", "not UTF-8 text, line 1."),
        ("s.yaml", "variables:\n  A: {}\n  A: {type: canary}\n", "has 'A' twice in one mapping."),
        ("s.json", '{"variables": {"A": {}, "A": {"type": "canary"}}}', "has 'A' twice in one mapping."),
    ],
)
def test_what_is_no_schema(refused, name, text, cause):
    assert refused(text, name).cause == cause


def test_files_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, cause in ((tmp_path / "none", "the file does not exist."), (tmp_path / "pipe", "not a regular file.")):
        with pytest.raises(ProductionError) as caught:
            load_file(str(path))
        assert (caught.value.culprit, caught.value.cause) == (str(path), cause) and caught.value.remedy


def test_a_file_that_is_too_large(refused, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST", 10)
    assert refused(YAML).cause == "the file is too large for an environment."


def test_without_pyyaml_json_is_read_and_yaml_names_the_library(tmp_path, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "schema").write_text(json.dumps(SCHEMA), encoding="utf-8")
    assert load_file(str(tmp_path / "schema")) == load(SCHEMA)
    error = refused(YAML)
    assert "PyYAML" in error.cause and "python3-yaml" in error.cause and "JSON" in error.remedy
