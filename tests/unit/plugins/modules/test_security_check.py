# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`security_check` from its arguments to its JSON."""

from __future__ import annotations

import json
import socket

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.module_utils._security import host
from ansible_collections.tria.production.plugins.modules import security_check

SERVICE = {
    "image": "registry.example.org/app:1.4", "user": "1000", "cap_drop": ["ALL"], "read_only": True,
    "security_opt": ["no-new-privileges:true"], "restart": "always", "mem_limit": "1000000", "cpus": 1, "pids_limit": 9,
    "logging": {"driver": "local"}, "healthcheck": {"test": ["CMD", "probe"]},
}


@pytest.fixture()
def config(tmp_path):
    """Writes a resolved configuration; returns its path."""

    def write(**changes):
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"name": "shop", "services": {"app": {**SERVICE, **changes}}}), encoding="utf-8")
        return str(path)

    return write


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        security_check.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_good_configuration(capsys, config, check_mode):
    code, result = run(capsys, check_mode, areas=["compose"], config_path=config())
    assert code == 0 and result["changed"] is False and result["overall_status"] == "healthy"
    assert {row["status"] for row in result["results"]} == {"pass", "skip"}


def test_a_violation(capsys, config):
    code, result = run(capsys, areas=["compose"], config_path=config(privileged=True))
    assert code == 1 and result["failed"] is True and result["violations"]["critical"] == 1
    assert result["culprit"] == "Security" and "app: is privileged" in result["cause"]
    assert result["remedy"].startswith("SEC102: Remove privileged")
    code, result = run(capsys, areas=["compose"], config_path=config(privileged=True), fail_on="never")
    assert code == 0 and result["overall_status"] == "unhealthy"


def test_a_waiver(capsys, config):
    waiver = {"rule": "SEC102", "subject": "app", "reason": "until the driver is replaced"}
    code, result = run(capsys, areas=["compose"], config_path=config(privileged=True), waivers=[waiver])
    assert code == 0 and "until the driver is replaced" in json.dumps(result["results"])


def test_a_front_that_does_not_answer(capsys):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        code, result = run(capsys, areas=["front"], url=f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert code == 1 and "pass" not in {row["status"] for row in result["results"]}


@pytest.mark.parametrize(
    "args, told",
    [
        ({"areas": ["moon"]}, "areas"),
        ({"project_src": "/a", "config_path": "/b"}, "mutually exclusive"),
        ({"areas": ["host"], "waivers": [{"rule": "SEC101", "subject": "app"}]}, "reason"),
        ({"areas": ["host"], "waivers": [{"rule": "SEC000", "subject": "app", "reason": "x"}]}, "there is no rule"),
    ],
)
def test_wrong_arguments(capsys, args, told):
    code, result = run(capsys, **args)
    assert code == 1 and told in result["msg"]


def test_the_host_of_these_tests_can_be_looked_at(capsys, monkeypatch):
    monkeypatch.setattr(host, "SEARCH_PATH", "/nowhere")  # apt takes seconds
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")  # with or without an Engine here, the same
    code, result = run(capsys, areas=["host"], fail_on="never", disk_paths=["/"])
    assert code == 0 and all(row["data"]["area"] == "host" and row["data"]["rule"] for row in result["results"])


def test_the_defaults_are_documented():
    documented = yaml.safe_load(security_check.DOCUMENTATION)["options"]
    for name, spec in security_check.argument_spec().items():
        assert documented[name].get("default") == spec.get("default"), name
