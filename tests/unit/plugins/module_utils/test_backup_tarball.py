# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tar as a stream: what goes in comes out, in whatever pieces; what does not belong there is refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pathlib
import subprocess
import tarfile

import pytest

from ansible_collections.tria.production.plugins.module_utils._backup import archive, tarball
from ansible_collections.tria.production.plugins.module_utils._backup.manifest import File

CONTENTS = {"toc.dat": b"toc" * 700, "1.dat.gz": b"", "2.dat.gz": b"x" * 512, "3.dat.gz": b"y" * 100_001}


def part(name: str, content: bytes) -> File:
    return File(name, len(content), hashlib.sha256(content).hexdigest())


PARTS = [part(name, content) for name, content in CONTENTS.items()]


def packed() -> bytes:
    return b"".join(tarball.packed((each, iter([CONTENTS[each.file]])) for each in PARTS))


def unpack(folder: pathlib.Path, stream: bytes, size: int = 4096) -> list[File]:
    with contextlib.closing(tarball.Unpacker(str(folder))) as unpacker:
        for start in range(0, len(stream), size):
            unpacker.write(stream[start : start + size])
    return unpacker.files


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1 << 20])
def test_there_and_back(tmp_path: pathlib.Path, size: int) -> None:
    assert unpack(tmp_path, packed(), size) == PARTS
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == CONTENTS
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_the_tar_of_a_system_makes_and_reads_the_same(tmp_path: pathlib.Path) -> None:
    before, after, between = (tmp_path / name for name in ("before", "after", "between"))
    for folder in (before, after, between):
        folder.mkdir()
    for name, content in CONTENTS.items():
        (before / name).write_bytes(content)
    made = subprocess.run(["tar", "-cf", "-", "-C", str(before), "."], stdout=subprocess.PIPE, check=True).stdout
    assert sorted(unpack(between, made), key=lambda each: each.file) == sorted(PARTS, key=lambda each: each.file)
    subprocess.run(["tar", "-xf", "-", "-C", str(after)], input=packed(), check=True)
    assert {path.name: path.read_bytes() for path in after.iterdir()} == CONTENTS


def test_a_file_of_more_than_8_gib_has_a_header() -> None:
    header = next(tarball.packed([(File("1.dat.gz", 9 << 30, ""), iter([]))]))
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == 9 << 30


def test_a_stream_that_ends_early_has_not_all_files(tmp_path: pathlib.Path) -> None:
    assert unpack(tmp_path, packed()[:50_000]) == PARTS[:3]


def member(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
        file.addfile(info)
    return stream.getvalue()


@pytest.mark.parametrize(
    "stream",
    [
        member("../outside"),
        member("/outside"),
        member("sub/file"),
        member(".."),
        member("link", tarfile.SYMTYPE),
        member("sub", tarfile.DIRTYPE),
        member("pipe", tarfile.FIFOTYPE),
        b"no archive " * 100,
    ],
)
def test_what_does_not_belong_into_a_dump(tmp_path: pathlib.Path, stream: bytes) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(archive.Damaged):
        unpack(inside, stream)
    assert os.listdir(tmp_path) == ["inside"] and not os.listdir(inside)


def test_a_file_that_is_there_is_never_overwritten(tmp_path: pathlib.Path) -> None:
    (tmp_path / "toc.dat").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        unpack(tmp_path, packed())
