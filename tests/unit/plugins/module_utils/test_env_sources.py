# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever an env file's path leads to gives a clear finding: no traceback, no wait."""

from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.tria.production.plugins.module_utils._env import engine, sources
from ansible_collections.tria.production.plugins.module_utils._env.schema import load


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    """Everything that a path can lead to."""
    (tmp_path / "file").write_bytes(b"A=1\n")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, target in (
        ("link", "file"),
        ("link_to_link", "link"),
        ("dangling", "nothing"),
        ("dangling_link", "dangling"),
        ("self", "self"),
        ("ping", "pong"),
        ("pong", "ping"),
        ("through_file", "file/x"),
        ("to_directory", "directory"),
        ("to_pipe", "pipe"),
        ("to_device", "/dev/zero"),
    ):
        (tmp_path / name).symlink_to(target)
    return tmp_path


def found(path):
    source = sources.from_file(str(path))
    assert (source.text is None) == bool({rule for rule, _line in source.problems} - {"file_mode"})
    assert source.label == str(path)
    return source.problems


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("nothing", "file_missing"),
        ("", "file_kind"),
        ("file/x", "file_missing"),
        ("nul\0", "file_missing"),
        ("\ud800", "file_missing"),
        ("dangling/x", "file_missing"),
        ("x" * 5000, "file_unreadable"),
        ("dangling", "file_link"),
        ("dangling_link", "file_link"),
        ("self", "file_link"),
        ("ping", "file_link"),
        ("ping/x", "file_link"),
        ("through_file", "file_link"),
        ("directory", "file_kind"),
        ("to_directory", "file_kind"),
        ("pipe", "file_kind"),
        ("to_pipe", "file_kind"),
        ("to_device", "file_kind"),
        ("file", None),
        ("link", None),
        ("link_to_link", None),
        ("directory/../file", None),
    ],
)
def test_what_a_path_leads_to(folder, name, rule):
    assert found(folder / name) == ([(rule, 0)] if rule else [])


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "/dev/full", "/proc", "/", "."])
def test_devices_and_folders_of_the_system(path):
    assert {rule for rule, _line in found(path)} <= {"file_kind", "file_unreadable", "file_missing", "file_link"}
    assert found(path)


def test_an_empty_path_leads_nowhere():
    assert found("") == [("file_missing", 0)]


def test_a_pipe_that_takes_the_place_of_the_file_is_not_waited_for(folder, monkeypatch):
    regular = os.stat(folder / "file")
    monkeypatch.setattr(sources.os, "stat", lambda path: regular)
    assert found(folder / "pipe") == [("file_kind", 0)]
    assert found(folder / "directory") == [("file_kind", 0)]
    assert found(folder / "nothing") == [("file_missing", 0)]


def test_a_file_whose_folder_may_not_be_entered(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sources.os, "stat", refuse)
    assert found(folder / "file") == [("file_unreadable", 0)]


def test_a_file_that_cannot_be_read_though_it_can_be_opened():
    assert found("/proc/self/mem") == [("file_unreadable", 0)]


def test_a_file_that_has_no_size_is_read_all_the_same(monkeypatch):
    assert os.stat("/proc/self/status").st_size == 0
    assert sources.from_file("/proc/self/status").text.startswith("Name:")
    monkeypatch.setattr(sources, "LARGEST", 20)
    assert ("file_too_large", 0) in found("/proc/self/status")


@pytest.mark.parametrize(("size", "problems"), [(sources.LARGEST, []), (sources.LARGEST + 1, [("file_too_large", 0)])])
def test_the_largest_file(folder, size, problems):
    os.truncate(folder / "file", size)
    assert found(folder / "file") == problems


def test_a_file_of_hundreds_of_megabytes_is_not_read(folder, monkeypatch):
    os.truncate(folder / "file", 900 * 1024 * 1024)
    monkeypatch.setattr(sources.os, "read", None)
    assert found(folder / "file") == [("file_too_large", 0)]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\xff\xfeA\0=\x001\0\n\0", 1),
        (b"\xfe\xff\0A\0=\x001\0\n", 1),
        (b"A=1\nB=\xe9\n", 2),
        (b"A=1\n\n\nB=\xc3", 4),
        (b"A=\xc0\xaf\n", 1),
        (b"A=\xed\xa0\x80\n", 1),
        (b"A=\xf4\x90\x80\x80\n", 1),
        (b"\x7fELF\x02\x01\x01\n\x90\x90", 2),
        (b"\n" * 100000 + b"\x80", 100001),
    ],
)
def test_bytes_that_are_no_utf_8(folder, data, line):
    (folder / "file").write_bytes(data)
    assert found(folder / "file") == [("encoding", line)]


def test_content_has_the_limits_of_a_file():
    assert sources.from_content("A=1\n").text == "A=1\n"
    for content, problem in (("A" * (sources.LARGEST + 1), ("file_too_large", 0)), ("\n\udcff", ("encoding", 2))):
        source = sources.from_content(content)
        assert (source.text, source.problems) == (None, [problem])


def test_nothing_stays_open(folder):
    before = len(os.listdir("/proc/self/fd"))
    for path in sorted(folder.iterdir()):
        sources.from_file(str(path))
    assert len(os.listdir("/proc/self/fd")) == before


def findings(path):
    schema = load({"variables": {"A": {"required": True}}})
    outcome = engine.validate([sources.from_file(str(path))], schema)
    return [(finding.rule.name, finding.variable, finding.line) for finding in outcome.findings]


def test_files_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b"A=1\nB=\xff\n")
    os.chmod(tmp_path / "latin", 0o600)
    assert findings(tmp_path / "missing") == [("file_missing", "", 0)]
    assert findings(tmp_path) == [("file_kind", "", 0)]
    assert findings(tmp_path / "pipe") == [("file_kind", "", 0)]
    assert findings("/dev/zero") == [("file_kind", "", 0)]
    assert findings(tmp_path / "latin") == [("encoding", "", 2)]


def test_a_socket_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert findings("socket") == [("file_kind", "", 0)]


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "env").write_text("A=1\n", encoding="utf-8")

    def refuse(*_arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sources.os, "open", refuse)
    assert findings(tmp_path / "env") == [("file_unreadable", "", 0)]


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST", 10)
    (tmp_path / "env").write_text("A=1234567890\n", encoding="utf-8")
    os.chmod(tmp_path / "env", 0o600)
    assert findings(tmp_path / "env") == [("file_too_large", "", 0)]


def test_the_mode_of_a_file(tmp_path):
    path = tmp_path / "env"
    path.write_text("A=1\n", encoding="utf-8")
    os.chmod(path, 0o640)
    assert findings(path) == [("file_mode", "", 0)]
    os.chmod(path, 0o600)
    assert findings(path) == []
