# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`env_validate` from its arguments to its JSON."""

from __future__ import annotations

import json
import os

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.modules import env_validate

SCHEMA = {
    "variables": {
        "DATABASE_URL": {"type": "url", "schemes": ["postgresql"], "required": True, "secret": True},
        "SECRET_KEY": {"min_length": 32, "required": True, "secret": True},
        "REDIS_HOST": {"required": True},
    }
}
GOOD = (
    "DATABASE_URL=postgresql://tria:q7Wv0xZ@db/tria\nREDIS_HOST=redis\n"
    "SECRET_KEY=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n"
)


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed; an argument that is None is not given."""
    given = {key: value for key, value in {"schema": SCHEMA, **args}.items() if value is not None}
    with patch_module_args({**given, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        env_validate.main()
    output = capsys.readouterr().out
    return ended.value.code, json.loads(output), output


@pytest.mark.parametrize("check_mode", [False, True])
def test_good_content(capsys, check_mode):
    code, result, _output = run(capsys, check_mode, content=GOOD)
    assert code == 0
    assert result["changed"] is False
    assert result["valid"] is True
    assert result["findings"] == result["waived"] == []
    assert [row["name"] for row in result["results"]] == [
        "DATABASE_URL configured",
        "SECRET_KEY configured",
        "REDIS_HOST configured",
    ]
    assert result["msg"] == "env_validate: nothing to report in content"


def test_all_errors_at_once_and_no_value(capsys):
    content = "DATABASE_URL=postgresql://tria:can/ary@db\nSECRET_KEY=CHANGE_THIS_canary\nB=pa$canary\nCANARY\n"
    code, result, output = run(capsys, content=content)
    assert code == 1 and result["failed"] is True and result["valid"] is False
    assert result["msg"].startswith("env_validate: 4 errors, 3 warnings in content:\n  What a variable must be:\n    error")
    assert result["cause"] == "4 errors, 3 warnings in content"
    assert "REDIS_HOST" in result["culprit"] and result["remedy"]
    assert "canary" not in output and "can/" not in output and "ary@" not in output
    assert result["invocation"]["module_args"]["content"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_short_content_does_not_blank_the_words_of_messages(capsys):
    _code, result, _output = run(capsys, content="A=1\n")
    assert "*" not in result["msg"]
    assert {finding["message"] for finding in result["findings"]} == {"not set", "is not in the schema"}


def test_files(capsys, tmp_path):
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    first.write_text(GOOD, encoding="utf-8")
    second.write_text("REDIS_HOST=\n", encoding="utf-8")
    for path in (first, second):
        os.chmod(path, 0o600)
    assert run(capsys, files=[str(first)])[0] == 0
    code, result, _output = run(capsys, files=[str(first), str(second)])
    assert code == 1
    assert [(row["file"], row["line"], row["name"]) for row in result["findings"]] == [(str(second), 1, "empty")]


def test_warnings_are_shown_and_fail_only_when_asked(capsys, tmp_path, monkeypatch):
    warned = []
    monkeypatch.setattr(env_validate.AnsibleModule, "warn", lambda _self, text: warned.append(text))
    path = tmp_path / "env"
    path.write_text(GOOD, encoding="utf-8")
    os.chmod(path, 0o644)
    code, result, _output = run(capsys, files=[str(path)])
    assert code == 0 and result["valid"] is True
    assert len(warned) == 1 and "file_mode" in warned[0]
    assert run(capsys, files=[str(path)], fail_on="warning")[0] == 1


def test_never_fails_but_says_what_is_wrong(capsys):
    code, result, _output = run(capsys, content="A=1\n", fail_on="never")
    assert code == 0 and result["valid"] is False and len(result["findings"]) == 4


def test_waive(capsys):
    code, result, _output = run(
        capsys, content="REDIS_HOST=redis\n", waive=["DATABASE_URL", {"name": "SECRET_KEY", "rule": "required"}]
    )
    assert code == 0 and [row["variable"] for row in result["waived"]] == ["DATABASE_URL", "SECRET_KEY"]


def test_recommended_variables(capsys):
    names = ["REDIS_HOST", "SENTRY_DSN", "POSTHOG_API_KEY", "EMPTY"]
    schema = {"variables": {"SENTRY_DSN": {"type": "url", "description": "Where errors go"}, "POSTHOG_API_KEY": {"type": "url"},
                            "REDIS_HOST": {"type": "str", "required": True}, "EMPTY": {"type": "str", "allow_empty": True}}}
    content = "REDIS_HOST=redis\nPOSTHOG_API_KEY=no-url\nEMPTY=\n"
    _code, result, _output = run(capsys, content=content, schema=schema, recommended=names, fail_on="never")
    found = {(check["name"], check["status"], check["message"]) for check in result["results"]}
    assert {name.rpartition(" ")[0] for name, _status, _message in found} == set(names)
    assert {one for one in found if one[1] != "fail"} == {
        ("REDIS_HOST configured", "pass", ""),
        ("SENTRY_DSN configured", "skip", "not set: Where errors go"),
        ("EMPTY configured", "skip", "not set"),
    }
    content += "SENTRY_DSN=https://key@errors.example.org/1\n"
    _code, result, _output = run(capsys, content=content, schema=schema, recommended=names, fail_on="never")
    assert ("SENTRY_DSN configured", "pass") in {(check["name"], check["status"]) for check in result["results"]}


def test_process_environment(capsys, monkeypatch):
    monkeypatch.setenv("REDIS_HOST", "canary")
    assert run(capsys, content=GOOD)[0] == 0
    _code, result, output = run(capsys, content=GOOD, process_environment=True)
    assert [row["name"] for row in result["findings"]] == ["shell_override"]
    assert "canary" not in output


def test_inline_values(capsys):
    values = json.dumps({"REDIS_HOST": "canary-1", "TAX_RATE": 1, "DEBUG": True})
    code, result, output = run(capsys, content=GOOD, environment=values, fail_on="never")
    assert code == 0 and "canary" not in output
    assert [row["name"] for row in result["findings"]] == ["unknown_variable", "unknown_variable", "inline_override"]
    assert result["origins"]["REDIS_HOST"] == "environment" and result["origins"]["SECRET_KEY"] == "content:3"
    assert result["invocation"]["module_args"]["environment"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert "true" in output and "*" not in result["msg"]  # nothing was blanked out for a value's sake


def test_a_compose_project(capsys, tmp_path):
    (tmp_path / "compose.yaml").write_text(
        "services:\n  web:\n    image: x\n    env_file: web.env\n    environment: {REDIS_HOST: 'canary$REDIS_HOST'}\n",
        encoding="utf-8",
    )
    (tmp_path / "web.env").write_text(GOOD.replace("q7Wv0xZ", "canary"), encoding="utf-8")
    os.chmod(tmp_path / "web.env", 0o600)
    compose = {"files": [str(tmp_path / "compose.yaml")]}
    code, result, output = run(capsys, compose=compose)
    assert code == 0 and "canary" not in output.replace(str(tmp_path), "")
    assert [row["name"] for row in result["findings"]] == ["compose_dollar", "inline_override"]
    assert result["origins"] == {}
    assert result["services"] == {
        "web": {
            "DATABASE_URL": f"{tmp_path}/web.env:1",
            "SECRET_KEY": f"{tmp_path}/web.env:3",
            "REDIS_HOST": f"{tmp_path}/compose.yaml:5",
        }
    }
    assert run(capsys, compose={**compose, "services": ["api"]})[1]["culprit"] == "compose.services"


def test_a_schema_in_a_file(capsys, tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA), encoding="utf-8")
    assert run(capsys, content=GOOD, schema=None, schema_file=str(path))[0] == 0
    path.write_text(json.dumps({"variables": {"A": {"typ": "int"}}}), encoding="utf-8")
    code, result, _output = run(capsys, content=GOOD, schema=None, schema_file=str(path))
    assert code == 1 and result["culprit"] == str(path)
    assert result["schema_errors"] == ["variables.A: unknown key 'typ', did you mean 'type'?"]


def test_an_example_is_checked_beside_the_environment_or_alone(capsys, tmp_path):
    path = tmp_path / ".env.example"
    path.write_text("DATABASE_URL=\nREDIS_HOST=redis\nLEFT_OVER=1\n", encoding="utf-8")
    code, result, _output = run(capsys, content="LEFT_OVER=1\n", example={"path": str(path)}, fail_on="never")
    assert code == 0 and [(row["file"], row["line"], row["name"], row["variable"]) for row in result["findings"]] == [
        ("content", 0, "required", "DATABASE_URL"),
        ("content", 0, "required", "REDIS_HOST"),
        ("content", 0, "required", "SECRET_KEY"),
        ("content", 1, "unknown_variable", "LEFT_OVER"),
        (str(path), 0, "example_missing", "SECRET_KEY"),
        (str(path), 3, "example_unknown", "LEFT_OVER"),
    ]
    code, result, _output = run(capsys, example={"path": str(path)}, fail_on="warning")
    assert code == 1 and [row["name"] for row in result["findings"]] == ["example_missing", "example_unknown"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_an_example_is_written(capsys, tmp_path, check_mode):
    path = tmp_path / ".env.example"
    wanted = {"example": {"path": str(path), "state": "present"}}
    code, result, _output = run(capsys, check_mode, **wanted)
    assert code == 0 and result["changed"] is True and "SECRET_KEY=\n" in result["diff"]["after"]
    assert result["msg"] == f"env_validate: nothing to report in {path}"
    assert path.exists() is not check_mode
    assert run(capsys, check_mode, **wanted)[1]["changed"] is check_mode
    assert run(capsys, content=GOOD, example={"path": str(tmp_path / "second"), "state": "present"})[1]["changed"]


def test_no_example_is_written_when_the_environment_is_refused(capsys, tmp_path):
    path = tmp_path / ".env.example"
    assert run(capsys, content="A=1\n", example={"path": str(path), "state": "present"})[0] == 1
    assert not path.exists()
    path.write_text("A=canary\n", encoding="utf-8")
    code, result, output = run(capsys, example={"path": str(path), "state": "present"})
    assert code == 1 and result["culprit"] == str(path) and "canary" not in output


def test_secrets_of_an_example_and_files_in_other_hands(capsys, tmp_path):
    path, other = tmp_path / ".env", tmp_path / "example"
    path.write_text(GOOD, encoding="utf-8")
    path.chmod(0o600)
    other.write_text(GOOD, encoding="utf-8")
    owner = str(path.stat().st_uid)
    code, result, output = run(capsys, files=[str(path)], example_files=[str(other)], owner=owner)
    assert code == 1
    assert [(row["name"], row["variable"]) for row in result["findings"]] == [
        ("example_value", "DATABASE_URL"),
        ("example_value", "SECRET_KEY"),
    ]
    assert "q7Wv" not in output and "9f86" not in output
    code, result, _output = run(capsys, content=GOOD, example_files=[str(other)])
    assert code == 1 and len(result["findings"]) == 2
    code, result, _output = run(capsys, files=[str(path)], owner="4242")
    assert code == 0 and [row["name"] for row in result["findings"]] == ["file_owner"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"content": "", "schema": None}, "one of the following is required: schema, schema_file"),
        ({"content": "", "schema_file": "a"}, "mutually exclusive"),
        ({"example": {}}, "missing required arguments: path found in example"),
        ({"files": ["a"], "content": "A=1"}, "mutually exclusive"),
        ({"files": ["a"], "compose": {"files": ["b"]}}, "mutually exclusive"),
        ({"environment": {}, "compose": {"files": ["b"]}}, "mutually exclusive"),
        ({"compose": {"files": []}}, "compose.files: is empty."),
        ({"compose": {"profiles": []}}, "missing required arguments: files found in compose"),
        ({"content": "", "schema": {"variable": {}}}, "schema: unknown key 'variable', did you mean 'variables'?"),
        ({"content": "", "waive": [5]}, "waive[0]: is neither a name nor {name, rule}."),
        ({"content": "", "example_files": ["/nowhere"]}, "/nowhere: the file does not exist."),
        ({"files": ["/nowhere"], "owner": "nobody-here"}, "owner: there is no user 'nobody-here' on this host."),
        ({"content": "", "fail_on": "always"}, "value of fail_on must be one of"),
    ],
)
def test_wrong_arguments(capsys, args, message):
    code, result, _output = run(capsys, **args)
    assert code == 1
    assert message in result["msg"] or message.replace("schema:", "schema: 1 mistake: schema:") in result["msg"]
