# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Equal content is an equal archive; anything that a container would notice is another hash."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tarfile
import threading
import time

import pytest

from ansible_collections.tria.production.plugins.module_utils import _source
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

WHEELS = {"requirements": "requirements.txt", "dest": "app/wheels", "python_version": "3.11", "architecture": "x86_64"}


def make(folder):
    """A small project."""
    (folder / "app").mkdir(parents=True)
    (folder / "compose.yaml").write_text("services: {}\n")
    (folder / "requirements.txt").write_text("a==1\n")
    (folder / "app" / "main.py").write_text("print()\n")
    (folder / "app" / "run").write_text("#!/bin/sh\n")
    (folder / "app" / "run").chmod(0o755)
    (folder / "app" / "link").symlink_to("main.py")
    return folder


@pytest.fixture
def project(tmp_path):
    return make(tmp_path / "tria")


@pytest.fixture
def pack(project, tmp_path):
    def call(src=project, **kwargs):
        return _source.pack(str(src), str(tmp_path / "cache"), **kwargs)

    return call


@pytest.fixture
def pip(monkeypatch):
    """Stands for pip's download; remembers what it was asked for."""
    calls = []

    def download(requirements, dest, version, architecture):
        calls.append((os.path.basename(requirements), version, architecture))
        with open(os.path.join(dest, "a-1-py3-none-any.whl"), "w", encoding="utf-8") as stream:
            stream.write(version)

    monkeypatch.setattr(_source, "_pip_download", download)
    return calls


def names(archive):
    with tarfile.open(archive) as tar:
        return tar.getnames()


def test_the_archive(pack, project):
    result = pack(contexts=["./app"])
    assert result["changed"] and result["contexts"].keys() == {"app"} and len(result["sha256"]) == 64
    assert os.path.basename(result["archive"]) == f"tria-{result['sha256'][:20]}.tar"
    with tarfile.open(result["archive"]) as tar:
        assert tar.getnames() == ["app/link", "app/main.py", "app/run", "compose.yaml", "requirements.txt"]
        modes = {member.name: member.mode for member in tar}
        assert (modes["app/run"], modes["app/main.py"]) == (0o755, 0o644)
        assert tar.getmember("app/link").linkname == "main.py"
        assert {(member.uid, member.uname) for member in tar} == {(0, "")}
    assert not pack(contexts=["app"])["changed"]


def test_equal_content_is_an_equal_archive(pack, tmp_path):
    first = pack()
    with open(first["archive"], "rb") as stream:
        content = stream.read()
    os.unlink(first["archive"])
    other = make(tmp_path / "elsewhere" / "tria")
    for parent, _folders, files in os.walk(other):
        for name in files:
            os.utime(os.path.join(parent, name), (1, 1), follow_symlinks=False)
            if os.geteuid() == 0:  # nobody else may give files away
                os.lchown(os.path.join(parent, name), 12345, 12345)
    (other / "compose.yaml").chmod(0o600)
    second = pack(other)
    assert second["sha256"] == first["sha256"] and second["archive"] == first["archive"]
    with open(second["archive"], "rb") as stream:
        assert stream.read() == content


def test_a_changed_file_of_the_same_size_has_another_time(pack, project):
    def member():
        with tarfile.open(pack()["archive"]) as tar:
            return tar.getmember("app/main.py")

    before = member()
    path = project / "app" / "main.py"
    path.write_bytes(path.read_bytes()[::-1])
    after = member()
    assert after.size == before.size and after.mtime != before.mtime
    assert max(before.mtime, after.mtime) < 2**30


def change_content(project):
    (project / "app" / "main.py").write_text("print(1)\n")


def set_executable(project):
    (project / "app" / "main.py").chmod(0o755)


def turn_link(project):
    (project / "app" / "link").unlink()
    (project / "app" / "link").symlink_to("run")


def link_to_file(project):
    (project / "app" / "link").unlink()
    (project / "app" / "link").write_text("main.py")


def rename(project):
    (project / "app" / "main.py").rename(project / "app" / "other.py")


def add(project):
    (project / "app" / "new").write_text("")


@pytest.mark.parametrize("change", [change_content, set_executable, turn_link, link_to_file, rename, add])
def test_what_changes_the_hash(pack, project, change):
    (project / "web").mkdir()
    (project / "web" / "index.html").write_text("")
    before = pack(contexts=["app", "web", "."])
    change(project)
    after = pack(contexts=["app", "web", "."])
    assert after["changed"] and after["sha256"] != before["sha256"]
    assert after["contexts"]["app"] != before["contexts"]["app"]
    assert after["contexts"]["web"] == before["contexts"]["web"]  # nothing but its own content
    assert after["contexts"]["."] == after["sha256"]


def test_excluded_names_at_any_depth(pack, project):
    before = pack(exclude=["__pycache__", "*.pyc", ".env"])
    (project / "app" / "__pycache__").mkdir()
    (project / "app" / "__pycache__" / "main.cpython-311.pyc").write_text("")
    (project / "app" / "old.pyc").write_text("")
    (project / "app" / ".env").write_text("SECRET=1")
    after = pack(exclude=["__pycache__", "*.pyc", ".env"])
    assert after["sha256"] == before["sha256"] and ".env" not in str(names(after["archive"]))


def test_pipes_and_sockets_are_left_out(pack, project):
    before = pack()
    os.mkfifo(project / "app" / "pipe")  # reading it would wait for ever
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(project / "app" / "socket"))
        assert pack()["sha256"] == before["sha256"]


def test_a_link_to_a_folder_stays_a_link(pack, project):
    (project / "alias").symlink_to("app")
    archive = pack()["archive"]
    assert "alias" in names(archive) and "alias/main.py" not in names(archive)


def test_a_name_that_is_not_utf8(pack, project):
    with open(os.fsencode(project) + b"/\xff", "wb") as stream:
        stream.write(b"")
    assert len(names(pack()["archive"])) == 6


def test_no_folder(pack, project):
    with pytest.raises(ProductionError) as raised:
        pack(project / "compose.yaml")
    assert raised.value.culprit == str(project / "compose.yaml")


@pytest.mark.parametrize("context", ["missing", "..", "ap"])
def test_a_context_without_files(pack, context):
    with pytest.raises(ProductionError) as raised:
        pack(contexts=[context])
    assert raised.value.culprit == context and "build context" in raised.value.remedy


def test_check_mode_writes_nothing(pack, tmp_path):
    result = pack(write=False)
    assert result["changed"] and result["sha256"] and not (tmp_path / "cache").exists()


def test_a_failed_write_leaves_no_partial(pack, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        pack()
    assert os.listdir(tmp_path / "cache") == [".lock"]


def test_old_archives_go_those_of_others_stay(pack, project, tmp_path):
    other = shutil.copytree(project, tmp_path / "tria-edge", symlinks=True)  # its name begins like ours
    kept = pack(other)["archive"]
    os.utime(kept, (1, 1))
    archives = []
    for number in range(5):
        (project / "compose.yaml").write_text(str(number))
        archives.append(pack()["archive"])
        os.utime(archives[-1], (time.time() - 200_000 + number,) * 2)
    assert [os.path.exists(archive) for archive in archives] == [False, False, True, True, True]
    assert os.path.exists(kept)


def test_an_archive_that_another_play_may_still_copy_stays(pack, project):
    archive = pack()["archive"]
    os.utime(archive, (1, 1))
    assert pack()["archive"] == archive
    for number in range(5):
        (project / "compose.yaml").write_text(str(number))
        old = pack()["archive"]
        os.utime(old, (2, 2))
    assert os.path.exists(archive)


def test_wheels_are_fetched_once_for_each_content(pack, project, pip):
    before = pack()
    first = pack(wheels=[WHEELS])
    assert "app/wheels/a-1-py3-none-any.whl" in names(first["archive"]) and first["sha256"] != before["sha256"]
    pack(wheels=[WHEELS])
    os.utime(project / "requirements.txt", (1, 1))
    assert pack(wheels=[WHEELS])["sha256"] == first["sha256"] and len(pip) == 1
    (project / "requirements.txt").write_text("a==2\n")
    pack(wheels=[WHEELS])
    pack(wheels=[{**WHEELS, "python_version": "3.12"}])
    pack(wheels=[{**WHEELS, "architecture": "aarch64"}])
    assert pip[1:] == [
        ("requirements.txt", "3.11", "x86_64"),
        ("requirements.txt", "3.12", "x86_64"),
        ("requirements.txt", "3.11", "aarch64"),
    ]


def test_a_missing_requirements_file(pack):
    with pytest.raises(ProductionError) as raised:
        pack(wheels=[{**WHEELS, "requirements": "missing.txt"}])
    assert raised.value.culprit.endswith("missing.txt") and "No such file" in raised.value.cause


def test_a_failed_pip_names_the_requirements_and_leaves_nothing(pack, project, tmp_path, monkeypatch):
    script = "import sys; sys.exit('ERROR: nothing at https://user:hunter2-secret@index.example for a==1')"
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(ProductionError) as raised:
        pack(wheels=[WHEELS])
    assert raised.value.culprit == str(project / "requirements.txt") and "nothing at" in raised.value.cause
    assert "hunter2" not in str(raised.value)
    assert os.listdir(tmp_path / "cache") == [".lock"]


def test_many_hosts_of_a_play_fetch_once(pack, pip):
    results = []
    threads = [threading.Thread(target=lambda: results.append(pack(wheels=[WHEELS]))) for _host in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pip) == 1 and len({result["sha256"] for result in results}) == 1 and len(results) == 8


def test_what_pip_is_asked_for(project, tmp_path, monkeypatch):
    asked = tmp_path / "asked"
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\necho "$@" > {asked}\n')
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    _source.fetch_wheels(str(project), str(tmp_path / "cache"), WHEELS)
    words = asked.read_text().split()
    assert (
        words[:3] == ["-m", "pip", "download"] and "--only-binary=:all:" in words and "--python-version=3.11" in words
    )
    assert "--platform=manylinux_2_28_x86_64" in words


def test_what_a_dockerignore_leaves_out_is_in_no_image(pack, project):
    (project / "app" / "tests").mkdir()
    (project / "app" / "tests" / "test_main.py").write_text("")
    (project / "app" / "Dockerfile").write_text("FROM x\n")
    (project / "app" / ".dockerignore").write_text("*\n!*.py\ntests\n")
    before = pack(contexts=["./app"])
    ignored = {"app/.dockerignore", "app/Dockerfile", "app/link", "app/run", "app/tests/test_main.py"}
    assert set(before["files"]) == {*ignored, "compose.yaml", "requirements.txt"}
    (project / "app" / "tests" / "test_main.py").write_text("changed")
    after = pack(contexts=["./app"])
    assert after["contexts"] == before["contexts"] and after["sha256"] != before["sha256"]
    changed = [name for name in before["files"] if before["files"][name] != after["files"][name]]
    assert changed == ["app/tests/test_main.py"]
    (project / "app" / "main.py").write_text("changed")
    assert pack(contexts=["./app"])["contexts"] != before["contexts"]


def test_a_dockerignore_of_one_dockerfile(pack, project):
    (project / "app" / ".dockerignore").write_text("*\n")
    (project / "app" / "Dockerfile.dockerignore").write_text("run\n")
    assert sorted(pack(contexts=["app"])["files"]) == ["compose.yaml", "requirements.txt"]
