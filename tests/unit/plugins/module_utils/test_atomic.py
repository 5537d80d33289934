# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files and links, interrupted."""

from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.tria.production.plugins.module_utils import _atomic


def fail(*_args):
    raise OSError(28, "No space left on device")


def test_a_file(tmp_path):
    path = tmp_path / "file"
    _atomic.write_file(str(path), "ä\n", 0o640)
    assert path.read_bytes() == "ä\n".encode() and stat.S_IMODE(path.stat().st_mode) == 0o640
    _atomic.write_file(str(path), "b", 0o600)
    assert path.read_text() == "b" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_a_secret_is_never_readable_by_others(tmp_path, monkeypatch):
    modes = []
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda old, new: (modes.append(stat.S_IMODE(os.stat(old).st_mode)), replace(old, new))
    )
    old = os.umask(0)
    try:
        _atomic.write_file(str(tmp_path / "file"), "secret", 0o600)
    finally:
        os.umask(old)
    assert modes == [0o600]


@pytest.mark.parametrize("step", ["fsync", "fchmod", "replace"])
def test_the_old_file_stays_when_writing_fails(tmp_path, monkeypatch, step):
    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        _atomic.write_file(str(tmp_path / "file"), "new", 0o600)
    assert (tmp_path / "file").read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_text_that_has_no_utf8_form(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        _atomic.write_file(str(tmp_path / "file"), "\udcff", 0o600)
    assert os.listdir(tmp_path) == []


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        _atomic.write_file(str(tmp_path / "missing" / "file"), "", 0o600)


def test_a_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _atomic.switch_link("current", "releases/1")
    _atomic.switch_link("current", "releases/2")
    assert os.readlink("current") == "releases/2" and os.listdir(tmp_path) == ["current"]


def test_the_old_link_stays_when_switching_fails(tmp_path, monkeypatch):
    path = str(tmp_path / "current")
    _atomic.switch_link(path, "releases/1")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        _atomic.switch_link(path, "releases/2")
    assert os.readlink(path) == "releases/1" and os.listdir(tmp_path) == ["current"]


def test_a_real_folder_is_not_replaced(tmp_path):
    (tmp_path / "current").mkdir()
    with pytest.raises(OSError, match="current"):
        _atomic.switch_link(str(tmp_path / "current"), "releases/1")
    assert os.listdir(tmp_path) == ["current"]
