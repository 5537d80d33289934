# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`host_check` from its arguments to its JSON."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.modules import host_check

# what any machine that runs the tests has
EASY = {
    "distributions": {"Debian": [], "Ubuntu": []},
    "min_cores": 1,
    "min_memory_mb": 256,
    "min_disk_gb": 0.001,
    "clock_sync": "ignored",
}


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        host_check.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_good_host(capsys, check_mode):
    code, result = run(capsys, check_mode, **EASY)
    assert code == 0 and result["changed"] is False
    assert result["host"]["architecture"] and {row["status"] for row in result["results"]} <= {"pass", "skip"}
    assert {"Distribution", "CPU cores", "Memory", "Clock offset"} <= {row["name"] for row in result["results"]}


def test_shortfalls(capsys):
    code, result = run(capsys, **{**EASY, "min_cores": 10_000, "min_memory_mb": 10**9})
    assert code == 1 and result["failed"] is True
    assert result["msg"].count("\n- ") == 2 and "Give this machine at least 10000 CPU cores" in result["msg"]
    assert result["culprit"] and result["cause"] and result["host"]["cores"] < 10_000
    assert [row["name"] for row in result["results"] if row["status"] == "fail"] == ["CPU cores", "Memory"]


def test_the_defaults_are_the_minimum_of_the_guide(capsys):
    _code, result = run(capsys)
    messages = {row["name"].split(" /")[0]: row["message"] for row in result["results"]}
    assert messages["CPU cores"].endswith("2 needed")
    assert messages["Memory"].endswith("3800 MB needed")
    assert messages["Disk space"].endswith("20.0 GB needed")


@pytest.mark.parametrize("args", [{"ports": [{"host": "::1"}]}, {"clock_sync": "perhaps"}, {"min_cores": "many"}])
def test_wrong_arguments(capsys, args):
    code, result = run(capsys, **args)
    assert code == 1 and list(args)[0] in result["msg"]
