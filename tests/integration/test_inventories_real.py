# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventories that come with the reference stack: their environments are valid, hidden and safe."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys

import pytest
import yaml
from ansible_collections.tria.production.plugins.module_utils._env import engine as env_engine
from ansible_collections.tria.production.plugins.module_utils._env import schema_file, sources
from ansible_collections.tria.production.plugins.module_utils._security import engine
from ansible_collections.tria.production.plugins.modules import security_check
from deployed_stack import EXAMPLE, ROOT

# Each with one of its hosts; of `hosts`, one of each group.
INVENTORIES = {
    "local": "local", "staging": "staging", "prod": "prod",
    "hosts, data": "hosts", "hosts, app": "hosts", "hosts, edge": "hosts",
}
SCHEMA = yaml.safe_load((EXAMPLE / "env.schema.yaml").read_text(encoding="utf-8"))["variables"]
SECRETS = sorted(name for name, rules in SCHEMA.items() if rules.get("secret"))
# Values for the secrets that no inventory sets: whoever sets them must be able to rely on their being hidden.
GIVEN = {name: f"value-of-{name}-0123456789abcdef" for name in SECRETS}


@pytest.fixture(name="render", scope="module")
def fixture_render(tmp_path_factory):
    """Renders an inventory as a deploy does, on this machine, for one of its hosts: (the run, a folder)."""

    @functools.cache
    def run(name, **overrides):
        inventory, group = INVENTORIES[name], name.partition(", ")[2] or "stack"
        folder = tmp_path_factory.mktemp(inventory)
        example = ROOT / "inventories" / inventory / "group_vars" / "stack" / "vault.yml.example"
        vault = yaml.safe_load(example.read_text(encoding="utf-8")) if example.exists() else {}
        values = {
            **{name: f"{'sk-' if 'openai' in name else ''}{secrets.token_hex(32)}" for name in vault},
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "local_secrets_folder": str(folder / "secrets"),
            "environment_overrides": overrides,
            "environment_dest": str(folder / ".env"),
        }
        hidden = {"content": "{{ stack_secrets | to_json }}", "dest": str(folder / "hidden.json"), "mode": "0600"}
        stack = "{{ {'files': stack_compose_files, 'profiles': stack_profiles | default([]), " \
                "'builder': stack_builder | default(''), " \
                "'waived': checklist_waivers | default([]) | map(attribute='rule')} | to_json }}"
        files = {"content": stack, "dest": str(folder / "stack.json"), "mode": "0600"}
        role = {"name": "tria.production.environment"}
        tasks = [
            {"ansible.builtin.include_role": {**role, "tasks_from": "load", "public": True}},
            {"ansible.builtin.copy": hidden, "no_log": True},
            {"ansible.builtin.copy": files},
            {"ansible.builtin.include_role": {**role, "tasks_from": "render"}},
        ]
        (folder / "play.yml").write_text(json.dumps([{"hosts": f"{group}[0]", "gather_facts": False, "tasks": tasks}]))
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
    done, folder = render("local", **{**GIVEN, "APP_DATABASE_URL": "postgresql://tria_app:p%40ss0123456789@db/tria"})
    assert done.returncode != 0, "not what the schema wants, which is said without the values"
    hidden = json.loads((folder / "hidden.json").read_text(encoding="utf-8"))
    assert set(hidden) >= {value for name, value in GIVEN.items() if name != "APP_DATABASE_URL"}
    assert {"postgresql://tria_app:p%40ss0123456789@db/tria", "p@ss0123456789"} <= set(hidden)
    assert not [value for value in hidden if value in done.stdout + done.stderr]


def test_everything_that_is_asked_for_keeps_the_rules(rendered, tmp_path):
    """In every inventory, with all profiles of one host, and without waivers but those of a host among several."""
    stack = json.loads((rendered / "stack.json").read_text(encoding="utf-8"))
    assert set(violations(rendered, tmp_path)) == set(stack["waived"])
    assert not stack["waived"] or set(stack["profiles"]) <= {"data", "app", "edge"}


@pytest.mark.parametrize("guide", ["deployment", "pre-production"])
def test_what_an_inventory_renders_is_what_the_guides_ask_for(rendered, guide):
    schema = schema_file.load_file(str(EXAMPLE.parent / "guides" / f"{guide}.env.schema.yaml"))
    # several hosts share uploads by S3, which the guides do not know, and the stack has variables of its own
    waived = {("BHIV_STORAGE_BACKEND", "choices")}
    outcome = env_engine.validate([sources.from_file(str(rendered / ".env"))], schema, waived)
    assert [finding for finding in outcome.findings if finding.rule.name not in ("unknown_variable", "near_miss")] == []


def test_what_an_inventory_asks_too_much_is_found(render, tmp_path):
    done, folder = render("prod", EDGE_PORT=8088)
    assert done.returncode == 0, done.stdout + done.stderr
    assert violations(folder, tmp_path) == {"SEC132": "edge: publishes port 8088 on 0.0.0.0"}


def test_the_edge_of_servers_has_tls(render):
    expected = {
        "local": ["compose.yaml"],
        "prod": ["compose.yaml", "compose.tls.yaml"],
        "hosts, app": ["compose.yaml", "compose.hosts.yaml"],
        "hosts, edge": ["compose.yaml", "compose.hosts.yaml", "compose.hosts.tls.yaml"],
    }
    for inventory, files in expected.items():
        _done, folder = render(inventory)
        assert json.loads((folder / "stack.json").read_text(encoding="utf-8"))["files"] == files


def test_hosts_find_each_other(render):
    """By their private addresses: the data, the hosts of the application, who may say where a request came from."""
    variables, builders = {}, {}
    for group in ("data", "app", "edge"):
        _done, folder = render(f"hosts, {group}")
        lines = (folder / ".env").read_text(encoding="utf-8").splitlines()
        variables[group] = dict(line.partition("=")[::2] for line in lines)
        builders[group] = json.loads((folder / "stack.json").read_text(encoding="utf-8"))["builder"]
    assert builders == {group: f"{group}1.example.com" for group in builders}, "who else has no release of it"
    assert variables["data"]["DATA_BIND"] == variables["app"]["REDIS_HOST"] == "10.0.0.10"
    assert "@10.0.0.10:5432/" in variables["app"]["APP_DATABASE_URL"]
    assert "@postgres:5432/" in variables["data"]["DATABASE_URL"]
    assert variables["edge"]["EDGE_BACKENDS"] == "10.0.0.11:8080,10.0.0.12:8080"
    assert variables["app"]["EDGE_BIND"] + ":" + variables["app"]["EDGE_PORT"] == "10.0.0.11:8080"
    assert (variables["app"]["EDGE_TRUSTED_PROXIES"], variables["edge"]["EDGE_TRUSTED_PROXIES"]) == ("10.0.0.20", "")
    known = {variables["app"][name] for name in SECRETS if name in variables["app"]}
    assert known and not known & set(variables["edge"].values()), "the balancer knows no secret of the others"


def violations(folder, tmp_path):
    """What the rules have against an inventory's Compose configuration with its env file: rule -> message."""
    stack = json.loads((folder / "stack.json").read_text(encoding="utf-8"))
    spread = set(stack["profiles"]) & {"data", "app", "edge"}  # a host among several runs nothing but its own
    project = pathlib.Path(shutil.copytree(EXAMPLE, tmp_path / "tria"))
    shutil.copy(folder / ".env", project / ".env")
    services = {}
    for name in stack["files"]:
        for service, one in yaml.safe_load((project / name).read_text(encoding="utf-8"))["services"].items():
            services.setdefault(service, {}).update(one)
    # A release names the images that it built by their content.
    built = {name: {"image": f"tria/{name}:0123456789ab"} for name, one in services.items() if "$" in one["image"]}
    (project / "compose.release.yaml").write_text(json.dumps({"services": built}), encoding="utf-8")
    options = {name: option.get("default") for name, option in security_check.argument_spec().items()}
    options.update(areas=["compose"], project_src=str(project), project_name="tria", fail_on="never",
                   profiles=stack["profiles"] if spread else ["*"], files=[*stack["files"], "compose.release.yaml"])
    results = engine.check(options)["results"]
    assert len(results) > 20
    return {row["data"]["rule"]: row["message"] for row in results if row["status"] in ("fail", "warn", "error")}
