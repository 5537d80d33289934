# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`stack_report` from its arguments to its JSON and its files."""

from __future__ import annotations

import json
import os

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.modules import stack_report

CHECK = {"name": "Health check", "category": "API", "status": "pass", "duration_ms": 12.5}


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        stack_report.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_a_report(capsys, tmp_path):
    args = {"path": str(tmp_path), "release": "r1", "stack": "tria", "results": {"app1": [CHECK]}}
    code, result = run(capsys, gates=[{"name": "lock", "status": "pass", "offset_s": 0, "duration_s": "0.5"}], **args)
    assert (code, result["changed"], result["overall_status"]) == (0, False, "READY")
    assert (result["total_checks"], result["passed_checks"], result["skipped_checks"]) == (1, 1, 0)
    assert result["lines"][-1] == "🎉 ✓ PRODUCTION READY!"
    with open(result["report"], encoding="utf-8") as stream:
        written = json.load(stream)
    assert written["gates"] == [{"name": "lock", "status": "pass", "offset_s": 0.0, "duration_s": 0.5}]
    assert os.readlink(tmp_path / "latest") == "r1"
    assert result["reports"]["json"] == result["report"] and all(map(os.path.isfile, result["reports"].values()))


def test_check_mode(capsys, tmp_path):
    code, result = run(capsys, True, path=str(tmp_path), release="r1", results={"app1": [CHECK]})
    assert (code, result["overall_status"]) == (0, "READY") and os.listdir(tmp_path) == []


def test_a_report_that_cannot_be_written_still_gives_the_verdict(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, result = run(capsys, path=str(tmp_path / "file"), release="r1", results={"app1": [CHECK]})
    assert code == 1 and "cannot be written" in result["msg"] and result["remedy"]
    assert result["overall_status"] == "READY" and result["lines"]


def test_secrets(capsys, tmp_path):
    results = {"app1": [{**CHECK, "status": "fail", "message": "CANARY-0815 refused"}]}
    code, result = run(capsys, path=str(tmp_path), release="r1", results=results, secrets=["CANARY-0815"])
    assert code == 0 and "CANARY" not in json.dumps(result["lines"])
    for path in result["reports"].values():
        with open(path, encoding="utf-8") as stream:
            assert "CANARY" not in stream.read()


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"release": "r1"}, "path"),
        ({"path": "/nonexistent", "release": "../r1"}, "release"),
        ({"path": "/nonexistent", "release": "r1", "gates": [{"name": "x", "status": "ok"}]}, "status"),
        ({"path": "/nonexistent", "release": "r1", "results": {"app1": ["text"]}}, "results of app1"),
    ],
)
def test_wrong_arguments(capsys, args, named):
    code, result = run(capsys, **args)
    assert code == 1 and named in result["msg"]
