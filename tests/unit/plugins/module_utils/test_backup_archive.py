# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compression, hash and reading back; every kind of damage is planted."""

from __future__ import annotations

import gzip
import hashlib
import pathlib
import random
import tracemalloc

import pytest
import zstandard

from ansible_collections.tria.production.plugins.module_utils._backup import archive, encryption
from ansible_collections.tria.production.plugins.module_utils._backup.archive import Damaged

COMPRESSIONS = ["zstd", "gzip", "none"]
CONTENT = random.Random(1).randbytes(700_000) + b"abc" * 300_000

# as pg_restore 15 prints it
LIST = """;
; Archive created at 2025-01-02 03:04:05 UTC
;     dbname: tria: "odd"
;     TOC Entries: 9
;     Compression: 0
;     Dump Version: 1.14-0
;     Format: CUSTOM
;     Integer: 4 bytes
;     Offset: 8 bytes
;     Dumped from database version: 15.14 (Debian 15.14-0+deb12u1)
;     Dumped by pg_dump version: 15.13
;
;
; Selected TOC Entries:
;
6; 2615 16385 SCHEMA - odd schema tria_admin
215; 1259 16387 TABLE public catalog tria_admin
214; 1259 16386 SEQUENCE public catalog_id_seq tria_admin
216; 1259 16396 TABLE odd schema odd -- table tria_admin
217; 1259 16401 VIEW public cheap tria_admin
3365; 0 16387 TABLE DATA public catalog tria_admin
3366; 0 16396 TABLE DATA odd schema odd -- table tria_admin
3220; 0 0 TABLE ATTACH public part_1 tria_admin
"""


def write(path: pathlib.Path, compression: str, content: bytes = CONTENT) -> archive.Writer:
    with open(path, "wb") as file:
        writer = archive.Writer(file, compression, archive.DEFAULT_LEVELS[compression])
        for start in range(0, len(content), 65536):
            writer.write(content[start : start + 65536])
        writer.finish()
    return writer


def read(path: pathlib.Path, compression: str, writer: archive.Writer) -> bytes:
    return b"".join(
        archive.checked_chunks(str(path), compression, writer.size_bytes, writer.sha256, writer.archive_bytes)
    )


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "dump"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_written_is_what_is_read(path: pathlib.Path, compression: str) -> None:
    writer = write(path, compression)
    raw = path.read_bytes()
    assert (writer.size_bytes, writer.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert writer.archive_bytes == len(CONTENT)
    assert read(path, compression, writer) == b"".join(encryption.chunks(str(path), compression, None)) == CONTENT


def test_other_tools_can_read_it(path: pathlib.Path) -> None:
    write(path, "zstd")
    assert zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read() == CONTENT
    assert zstandard.get_frame_parameters(path.read_bytes()).has_checksum
    write(path, "gzip")
    assert gzip.decompress(path.read_bytes()) == CONTENT


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("damage", ["flip", "truncate", "append", "empty"])
def test_damage_is_noticed(path: pathlib.Path, compression: str, damage: str) -> None:
    writer = write(path, compression)
    raw = bytearray(path.read_bytes())
    if damage == "flip":
        raw[len(raw) // 3] ^= 1
    elif damage == "truncate":
        del raw[int(len(raw) * 0.6) :]
    elif damage == "append":
        raw += b"x"
    else:
        raw.clear()
    path.write_bytes(raw)
    with pytest.raises(Damaged):
        read(path, compression, writer)


def test_an_archive_of_another_length_is_noticed(path: pathlib.Path) -> None:
    writer = write(path, "zstd")
    writer.archive_bytes += 1
    with pytest.raises(Damaged, match="were dumped"):
        read(path, "zstd", writer)


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_memory_is_bounded_however_well_it_compresses(path: pathlib.Path, compression: str) -> None:
    with open(path, "wb") as file:
        writer = archive.Writer(file, compression, 1)
        for _round in range(200):
            writer.write(bytes(1 << 20))
        writer.finish()
    tracemalloc.start()
    try:
        for chunk in encryption.chunks(str(path), compression, None):
            assert len(chunk) <= 1 << 20
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_table_of_contents() -> None:
    assert archive.parse_list(LIST) == archive.Contents(
        entries=9, tables=2, server_version="15.14 (Debian 15.14-0+deb12u1)", pg_dump_version="15.13"
    )


def test_what_is_no_table_of_contents() -> None:
    with pytest.raises(Damaged, match="TOC Entries"):
        archive.parse_list("pg_restore: something else\n")
