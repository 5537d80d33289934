# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Owner, folders and git: who else has, or can change, an env file."""

from __future__ import annotations

import os
import stat
import types

import pytest

from ansible_collections.tria.production.plugins.module_utils import _git
from ansible_collections.tria.production.plugins.module_utils._env import custody, engine
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

MINE = custody.owners(None, {})


@pytest.fixture(name="path")
def fixture_path(tmp_path):
    path = tmp_path / "shop" / ".env"
    path.parent.mkdir()
    path.write_text("A=1\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def checked(path, **params):
    options = {
        "schema": {}, "waive": [], "content": None, "files": [str(path)], "owner": None, "example_files": [],
        "process_environment": False, "recommended": [], **params,
    }
    return [(finding.rule.name, finding.file, finding.line) for finding in engine.check(options, {}).findings]


def test_a_file_in_good_hands(path):
    assert custody.problems(str(path), MINE) == []
    assert checked(path) == []


def test_the_owner(path):
    assert custody.problems(str(path), {path.stat().st_uid + 1}) == [("file_owner", 0)]
    assert checked(path, owner=str(path.stat().st_uid)) == []
    assert checked(path, owner=str(path.stat().st_uid + 4242)) == [("file_owner", str(path), 0)]


def test_who_may_own_it(monkeypatch):
    monkeypatch.setattr(custody.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(custody.pwd, "getpwnam", lambda name: types.SimpleNamespace(pw_uid={"shop": 1001}[name]))
    assert custody.owners(None, {}) == {0, 1000}
    assert custody.owners(None, {"SUDO_UID": "1002"}) == {0, 1000, 1002}
    assert custody.owners("shop", {"SUDO_UID": "1002"}) == {1001}
    assert custody.owners("1003", {}) == {1003}
    with pytest.raises(ProductionError, match="owner: there is no user 'nobody-here' on this host"):
        custody.owners("nobody-here", {})


def test_a_folder_that_everybody_writes_to(path):
    os.chmod(path.parent, 0o777)
    assert checked(path) == [("folder_writable", str(path), 0)]
    os.chmod(path.parent, 0o1777)  # nobody removes what is another's
    assert checked(path) == []
    os.chmod(path.parent, 0o755)
    os.chmod(path.parent.parent, 0o777)
    assert checked(path) == [("folder_writable", str(path), 0)]


def test_a_link_counts_as_what_it_is_to(path, tmp_path):
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o777)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert custody.problems(str(link), MINE) == []
    (tmp_path / "open" / "real").write_text("A=1\n", encoding="utf-8")
    link.unlink()
    link.symlink_to(tmp_path / "open" / "real")
    assert custody.problems(str(link), MINE) == [("folder_writable", 0)]


def test_what_is_no_file_is_for_other_rules(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "loop", tmp_path / "nowhere", tmp_path / "pipe" / "below"):
        assert custody.problems(str(path), set()) == []
    assert [rule for rule, _file, _line in checked("nul\0")] == ["file_missing"]


@pytest.mark.parametrize("state, expected", [
    ("tracked", ["git_tracked"]), ("unignored", ["git_unignored"]), ("ignored", []), ("unknown", []), ("", [])
])
def test_what_git_makes_of_it(path, monkeypatch, state, expected):
    monkeypatch.setattr(_git, "state", lambda _path: state)
    assert [rule for rule, _file, _line in checked(path)] == expected
    waived = [{"name": str(path), "rule": "git_tracked"}, {"name": str(path), "rule": "ENV411"}]
    assert checked(path, waive=waived) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
