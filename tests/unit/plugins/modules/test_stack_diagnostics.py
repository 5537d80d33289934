# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`stack_diagnostics` from its arguments to its JSON, where no Engine answers."""

from __future__ import annotations

import json
import socket
import sys

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.modules import stack_diagnostics


@pytest.fixture(autouse=True)
def no_engine(monkeypatch):
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))  # bound, and never listened on
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{refusing.getsockname()[1]}")
        yield


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        stack_diagnostics.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_it_works_where_no_engine_answers(capsys, tmp_path):
    path = tmp_path / "tria.fact"
    code, result = run(capsys, project="tria", status="failed", facts_path=str(path))
    assert code == 0 and result["changed"] is True and "warnings" not in result
    assert "does not answer" in result["diagnostics"]["engine"]["error"]
    assert json.loads(path.read_text()) == result["facts"]
    code, result = run(capsys, project="tria", status="failed", facts_path=str(path))
    assert (code, result["changed"]) == (0, False)


def test_check_mode(capsys, tmp_path):
    code, result = run(capsys, True, project="tria", facts_path=str(tmp_path / "tria.fact"))
    assert (code, result["changed"]) == (0, True)
    assert not (tmp_path / "tria.fact").exists()


def test_facts_that_cannot_be_written_warn(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, result = run(capsys, project="tria", facts_path=str(tmp_path / "file" / "tria.fact"))
    assert code == 0 and "Not a directory" in json.dumps(result["warnings"])


def test_a_missing_library_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    code, result = run(capsys, project="tria")
    assert code == 0 and "python3-docker" in result["diagnostics"]["engine"]["error"]


@pytest.mark.parametrize("args", [{}, {"project": "tria", "logs": "some"}])
def test_wrong_arguments(capsys, args):
    code, result = run(capsys, **args)
    assert code == 1 and ("project" in result["msg"] or "logs" in result["msg"])
