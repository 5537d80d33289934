# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`docker_engine_info` from its arguments to its JSON."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.modules import docker_engine_info


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        docker_engine_info.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_a_bare_host(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    config = tmp_path / "daemon.json"
    config.write_text('{"live-restore": true}')
    code, result = run(capsys, config_file=str(config), libraries=["json", "surely_not_there"])
    assert (code, result["changed"], result["installed"], result["engine"], result["compose"]) == (
        0,
        False,
        False,
        "",
        "",
    )
    assert result["daemon_config"] == {"live-restore": True} and result["missing_libraries"] == ["surely_not_there"]
    assert isinstance(result["apt_sources"], list) and isinstance(result["stale_pid_files"], list)


def test_check_mode_is_the_same(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(capsys, True) == run(capsys, False)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_configuration(capsys, tmp_path, monkeypatch, content):
    monkeypatch.setenv("PATH", str(tmp_path))
    config = tmp_path / "daemon.json"
    config.write_text(content)
    code, result = run(capsys, config_file=str(config))
    assert code == 1 and result["culprit"] == str(config) and result["cause"] and result["remedy"]
