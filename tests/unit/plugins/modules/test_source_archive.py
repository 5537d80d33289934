# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`source_archive` from its arguments to its JSON."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.module_utils import _source
from ansible_collections.tria.production.plugins.modules import source_archive


@pytest.fixture
def folders(tmp_path):
    src, cache = tmp_path / "tria", tmp_path / "cache"
    (src / "web").mkdir(parents=True)
    (src / "web" / "Dockerfile").write_text("FROM scratch\n")
    (src / "requirements.txt").write_text("a==1\n")
    return {"src": str(src), "cache": str(cache)}


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        source_archive.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_an_archive(capsys, folders):
    code, result = run(capsys, contexts=["./web"], **folders)
    assert (code, result["changed"], list(result["contexts"])) == (0, True, ["web"])
    assert os.path.exists(result["archive"])
    assert run(capsys, contexts=["./web"], **folders)[1]["changed"] is False


def test_check_mode(capsys, folders):
    code, result = run(capsys, True, **folders)
    assert (code, result["changed"]) == (0, True) and not os.path.exists(folders["cache"])


def test_the_env_file_is_never_packed(capsys, folders):
    before = run(capsys, **folders)[1]["sha256"]
    with open(os.path.join(folders["src"], ".env"), "w", encoding="utf-8") as stream:
        stream.write("PASSWORD=hunter2\n")
    assert run(capsys, **folders)[1]["sha256"] == before


def test_wheels(capsys, folders, monkeypatch):
    asked = []
    monkeypatch.setattr(_source, "_pip_download", lambda *args: asked.append(args[2:]))
    wheels = [{"requirements": "requirements.txt", "dest": "web/wheels", "python_version": "3.11"}]
    assert run(capsys, wheels=wheels, **folders)[0] == 0 and asked == [("3.11", "x86_64")]
    code, result = run(capsys, wheels=[{**wheels[0], "requirements": "missing.txt"}], **folders)
    assert code == 1 and result["culprit"].endswith("missing.txt") and result["remedy"]


def test_a_missing_folder(capsys, tmp_path):
    code, result = run(capsys, src=str(tmp_path / "missing"))
    assert code == 1 and result["culprit"] == str(tmp_path / "missing")


def test_a_full_disk(capsys, folders, monkeypatch):
    def full(archive, *_content):
        raise OSError(28, "No space left on device", archive)

    monkeypatch.setattr(_source, "_write_archive", full)
    code, result = run(capsys, **folders)
    assert (
        code == 1
        and result["culprit"].startswith(folders["cache"])
        and "No space" in result["cause"]
        and result["remedy"]
    )


def test_the_documented_default_is_the_one_in_use():
    assert yaml.safe_load(source_archive.DOCUMENTATION)["options"]["exclude"]["default"] == source_archive.EXCLUDE
