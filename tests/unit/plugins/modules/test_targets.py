# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two modules with targets, as Ansible runs them: options in, JSON out."""

from __future__ import annotations

import functools
import json
import socket

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.module_utils import _probes
from ansible_collections.tria.production.plugins.modules import readiness_wait, service_health


def outcome(capsys, module, **options):
    """The exit status of a module and what it printed."""
    with patch_module_args(options), pytest.raises(SystemExit) as ended:
        module.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


@pytest.fixture(params=[readiness_wait, service_health], ids=["readiness_wait", "service_health"])
def run(request, capsys):
    """Runs each of the two."""
    return functools.partial(outcome, capsys, request.param)


def tcp(port, **options):
    return {"name": "port", "tcp": {"port": port}, **options}


@pytest.fixture()
def listening():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


@pytest.fixture()
def closed():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.mark.parametrize("check_mode", [False, True])
def test_good(run, listening, check_mode):
    code, result = run(targets=[tcp(listening)], timeout=5, _ansible_check_mode=check_mode)
    assert code == 0 and result["changed"] is False
    assert result["overall_status"] == "healthy" and result["results"][0]["status"] == "pass"


def test_failure_names_culprit_cause_and_remedy(run, closed):
    code, result = run(targets=[tcp(closed)], timeout=0.3)
    assert code == 1 and result["failed"] is True
    assert result["culprit"] == "port" and "Connection refused" in result["cause"]
    assert result["remedy"] and result["msg"].startswith("port: ")
    assert result["results"][0]["status"] == "fail"


def test_not_critical(run, closed):
    code, result = run(targets=[tcp(closed, critical=False)], timeout=0.3)
    assert code == 0 and result["overall_status"] == "degraded"


@pytest.mark.parametrize(
    "target, expected",
    [
        ({"name": "x"}, "one of the following is required"),
        ({"name": "x", "tcp": {"port": 1}, "system": {}}, "mutually exclusive"),
        ({"name": "x", "tcp": {"port": 1, "project": "p"}}, "required together"),
        ({"name": "x", "tcp": {}}, "missing required arguments: port"),
        ({"tcp": {"port": 1}}, "missing required arguments: name"),
        ({"name": "x", "system": {}, "ftp": {}}, "Unsupported parameters"),
    ],
)
def test_impossible_targets(run, target, expected):
    code, result = run(targets=[target])
    assert code == 1 and expected in result["msg"]


def test_passwords_do_not_show(run, closed):
    target = {"name": "cache", "redis": {"port": closed, "login_password": "very-secret-1"}}
    _code, result = run(targets=[target], timeout=0.3, secrets=["very-secret-2"])
    assert "very-secret" not in json.dumps(result)


def test_settings_reach_the_engine(capsys, listening):
    code, result = outcome(capsys, readiness_wait, targets=[tcp(listening)], stable_for=0.3, successes=2)
    assert code == 0 and result["elapsed"] >= 0.3 and result["results"][0]["data"]["attempts"] >= 2
    code, result = outcome(capsys, readiness_wait, targets=[tcp(listening)], successes=0)
    assert code == 1 and "do not make sense" in result["msg"]


@pytest.mark.parametrize("fail_on, expected", [("never", 0), ("unhealthy", 0), ("degraded", 1)])
def test_fail_on(capsys, closed, fail_on, expected):
    code, result = outcome(capsys, service_health, targets=[tcp(closed, critical=False)], fail_on=fail_on)
    assert code == expected and result["health"]["status"] == "degraded"


@pytest.mark.parametrize("module", [readiness_wait, service_health])
def test_examples_show_every_kind_and_are_valid(module):
    tasks = [task[f"tria.production.{module.__name__.rpartition('.')[2]}"] for task in yaml.safe_load(module.EXAMPLES)]
    targets = [target for task in tasks for target in task["targets"]]
    assert {kind for target in targets for kind in _probes.KINDS if kind in target} == set(_probes.KINDS)
    for task in tasks:
        validated = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": task["targets"]})
        assert validated.error_messages == []
        _probes.parse(validated.validated_parameters["targets"])
