# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What needs no host runs in the task's own process: no module is executed, and the result is the module's."""

from __future__ import annotations

import json
import os
import types

import pytest
from ansible.errors import AnsibleError
from ansible.module_utils.testing import patch_module_args
from ansible.plugins.action import ActionBase

from ansible_collections.tria.production.plugins.action import env_validate as env_action
from ansible_collections.tria.production.plugins.action import source_archive as source_action
from ansible_collections.tria.production.plugins.action import stack_report as report_action
from ansible_collections.tria.production.plugins.modules import env_validate, source_archive, stack_report

SCHEMA = {"variables": {"TAX_RATE": {"type": "float", "required": True, "max": 1}}}


@pytest.fixture
def executed(monkeypatch):
    """Modules that were executed; `act` runs an action plugin with arguments."""
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    monkeypatch.setattr(
        ActionBase, "_execute_module", lambda self, module_args=None, **_options: {"executed": True, "args": module_args}
    )


def act(plugin, check_mode=False, transport="ssh", become=None, **args):
    action = plugin.ActionModule.__new__(plugin.ActionModule)
    action._task = types.SimpleNamespace(args=args, check_mode=check_mode)
    action._connection = types.SimpleNamespace(transport=transport, become=become)
    return action.run(task_vars={})


def module(capsys, what, **args):
    """The result of the module itself."""
    with patch_module_args(args), pytest.raises(SystemExit):
        what.main()
    result = json.loads(capsys.readouterr().out)
    return {key: value for key, value in result.items() if key not in ("invocation", "warnings")}


@pytest.mark.parametrize("content", ["TAX_RATE=0.08\n", "TAX_RATE=7\n", ""])
def test_validating_text(executed, capsys, content):
    args = {"content": content, "schema": SCHEMA}
    result = act(env_action, **args)
    assert bool(result.pop("failed", False)) is (content != "TAX_RATE=0.08\n")
    expected = module(capsys, env_validate, **args)
    expected.pop("failed", None)
    assert {"changed": False, **expected} == {"changed": False, **result}


def test_a_warning(executed):
    result = act(env_action, content="TAX_RATE=7\n", schema=SCHEMA, fail_on="never")
    assert result["warnings"] == [result["msg"]] and not result["valid"]


@pytest.mark.parametrize(
    "args",
    [
        {"files": [".env"], "schema": SCHEMA},
        {"content": "A=1", "schema": SCHEMA, "process_environment": True},
        {"content": "A=1", "schema": SCHEMA, "example_files": ["/opt/shop/.env.example"]},
        {"content": "A=1", "schema_file": "schema.yml"},
        {"content": "A=1", "schema": SCHEMA, "example": {"path": ".env.example"}},
    ],
)
def test_what_is_on_the_host_is_looked_at_there(executed, args):
    assert act(env_action, **args) == {"executed": True, "args": args}


@pytest.mark.parametrize(("transport", "become", "here"), [("local", None, True), ("ssh", None, False), ("local", "sudo", False)])
def test_a_compose_project_on_the_controller(executed, tmp_path, transport, become, here):
    (tmp_path / "compose.yaml").write_text("services: {web: {image: x, environment: {TAX_RATE: 0.08}}}\n")
    args = {"compose": {"files": [str(tmp_path / "compose.yaml")]}, "schema": SCHEMA}
    result = act(env_action, transport=transport, become=become, **args)
    assert ("executed" not in result) is here
    assert not here or result["services"] == {"web": {"TAX_RATE": f"{tmp_path}/compose.yaml:1"}}


def test_inline_values_reach_the_module_as_one_text(executed):
    # each value of a mapping that is not logged would be blanked out of every message
    result = act(env_action, files=[".env"], schema=SCHEMA, environment={"TAX_RATE": 1, "GONE": None})
    assert result["args"]["environment"] == '{"TAX_RATE": 1, "GONE": null}'
    assert act(env_action, schema=SCHEMA, environment={"TAX_RATE": 0.5})["origins"] == {"TAX_RATE": "environment"}


def test_packing(executed, capsys, tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "Dockerfile").write_text("FROM scratch\n")
    args = {"src": str(tmp_path / "web"), "cache": str(tmp_path / "cache")}
    assert act(source_action, check_mode=True, **args)["changed"] and not (tmp_path / "cache").exists()
    result = act(source_action, **args)
    assert result["changed"] and os.path.exists(result["archive"])
    assert module(capsys, source_archive, **args) == {**result, "changed": False}


def test_what_cannot_be_packed(executed, tmp_path):
    result = act(source_action, src=str(tmp_path / "none"), cache=str(tmp_path / "cache"))
    assert result["failed"] and str(tmp_path / "none") in result["msg"] and "executed" not in result


def test_reporting(executed, capsys, tmp_path):
    args = {"path": str(tmp_path), "release": "r1", "results": {"host": []}}
    result = act(report_action, **args)
    assert (tmp_path / "r1" / "deployment-validation-report.html").exists() and result["changed"] is False
    assert module(capsys, stack_report, **args).keys() == result.keys()


def test_wrong_arguments(executed):
    with pytest.raises(AnsibleError, match="src"):
        act(source_action)
