# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventories that come with the reference stack: their environments are valid, hidden and safe."""

from __future__ import annotations

import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys

import pytest
import yaml
from ansible_collections.tria.production.plugins.module_utils._security import engine
from ansible_collections.tria.production.plugins.modules import security_check
from deployed_stack import EXAMPLE, ROOT

INVENTORIES = ("local", "staging", "prod")
SCHEMA = yaml.safe_load((EXAMPLE / "env.schema.yaml").read_text(encoding="utf-8"))["variables"]
SECRETS = sorted(name for name, rules in SCHEMA.items() if rules.get("secret"))
# Values for the secrets that no inventory sets: whoever sets them must be able to rely on their being hidden.
GIVEN = {name: f"value-of-{name}-0123456789abcdef" for name in SECRETS}


@pytest.fixture(name="render", scope="module")
def fixture_render(tmp_path_factory):
    """Renders an inventory as a deploy does, on this machine: (env file, its secrets)."""

    def run(inventory, overrides=None):
        folder = tmp_path_factory.mktemp(inventory)
        example = ROOT / "inventories" / inventory / "group_vars" / "stack" / "vault.yml.example"
        vault = yaml.safe_load(example.read_text(encoding="utf-8")) if example.exists() else {}
        values = {
            **{name: f"{'sk-' if 'openai' in name else ''}{secrets.token_hex(32)}" for name in vault},
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "local_secrets_folder": str(folder / "secrets"),
            "environment_overrides": overrides or {},
            "environment_dest": str(folder / ".env"),
        }
        hidden = {"content": "{{ stack_secrets | to_json }}", "dest": str(folder / "hidden.json"), "mode": "0600"}
        files = {"content": "{{ stack_compose_files | to_json }}", "dest": str(folder / "files.json"), "mode": "0600"}
        role = {"name": "tria.production.environment"}
        tasks = [
            {"ansible.builtin.include_role": {**role, "tasks_from": "load", "public": True}},
            {"ansible.builtin.copy": hidden, "no_log": True},
            {"ansible.builtin.copy": files},
            {"ansible.builtin.include_role": {**role, "tasks_from": "render"}},
        ]
        (folder / "play.yml").write_text(json.dumps([{"hosts": "stack", "gather_facts": False, "tasks": tasks}]))
        (folder / "vars.json").write_text(json.dumps(values))
        command = [sys.executable, "-m", "ansible", "playbook", str(folder / "play.yml"), "-i",
                   str(ROOT / "inventories" / inventory), "-e", f"@{folder / 'vars.json'}"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "default"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return done, folder

    return run


@pytest.fixture(name="rendered", scope="module", params=INVENTORIES)
def fixture_rendered(request, render):
    """The folder with what an inventory comes to."""
    done, folder = render(request.param)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_everything_that_the_schema_calls_secret_is_hidden(render):
    done, folder = render("local", {**GIVEN, "APP_DATABASE_URL": "postgresql://tria_app:p%40ss0123456789@db/tria"})
    assert done.returncode != 0, "not what the schema wants, which is said without the values"
    hidden = json.loads((folder / "hidden.json").read_text(encoding="utf-8"))
    assert set(hidden) >= {value for name, value in GIVEN.items() if name != "APP_DATABASE_URL"}
    assert {"postgresql://tria_app:p%40ss0123456789@db/tria", "p@ss0123456789"} <= set(hidden)
    assert not [value for value in hidden if value in done.stdout + done.stderr]


def test_everything_that_is_asked_for_keeps_the_rules(rendered, tmp_path):
    """In every inventory, with all profiles, without waivers."""
    assert violations(rendered, tmp_path) == {}


def test_what_an_inventory_asks_too_much_is_found(render, tmp_path):
    done, folder = render("prod", {"EDGE_PORT": 8088})
    assert done.returncode == 0, done.stdout + done.stderr
    assert violations(folder, tmp_path) == {"SEC132": "edge: publishes port 8088 on 0.0.0.0"}


def test_the_edge_of_servers_has_tls(render):
    for inventory, files in {"local": ["compose.yaml"], "prod": ["compose.yaml", "compose.tls.yaml"]}.items():
        _done, folder = render(inventory)
        assert json.loads((folder / "files.json").read_text(encoding="utf-8")) == files


def violations(folder, tmp_path):
    """What the rules have against an inventory's Compose configuration with its env file: rule -> message."""
    project = pathlib.Path(shutil.copytree(EXAMPLE, tmp_path / "tria"))
    shutil.copy(folder / ".env", project / ".env")
    services = yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))["services"]
    # A release names the images that it built by their content.
    built = {name: {"image": f"tria/{name}:0123456789ab"} for name, one in services.items() if "$" in one["image"]}
    (project / "compose.release.yaml").write_text(json.dumps({"services": built}), encoding="utf-8")
    options = {name: option.get("default") for name, option in security_check.argument_spec().items()}
    options.update(areas=["compose"], project_src=str(project), project_name="tria", profiles=["*"], fail_on="never",
                   files=[*json.loads((folder / "files.json").read_text(encoding="utf-8")), "compose.release.yaml"])
    results = engine.check(options)["results"]
    assert len(results) > 20
    return {row["data"]["rule"]: row["message"] for row in results if row["status"] in ("fail", "warn", "error")}
