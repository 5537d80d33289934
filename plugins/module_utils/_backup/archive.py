# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes a dump through compression and hash, reads it back the same way. Private to the collection."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import os
import re
import typing as t
import zlib

from ansible_collections.tria.production.plugins.module_utils import _deps
from ansible_collections.tria.production.plugins.module_utils._backup.process import CHUNK
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

EXTENSIONS = {"zstd": ".zst", "gzip": ".gz", "none": ""}
DEFAULT_LEVELS = {"zstd": 1, "gzip": 1, "none": 0}  # the fastest: pg_dump is the slow side then
LEVELS = {"zstd": (1, 19), "gzip": (1, 9), "none": (0, 0)}

# `pg_restore --list`: entries of the catalogue pg_class (1259) are relations, table data and attachments are not
_TABLE = re.compile(r"^\d+; 1259 \d+ TABLE ", re.MULTILINE)
_HEADER = re.compile(r"^;\s+(?P<key>[A-Z][\w ]+?): (?P<value>.+)$", re.MULTILINE)


class Damaged(Exception):
    """The file is not what was written."""


@dataclasses.dataclass
class Contents:
    """What the table of contents of an archive says."""

    entries: int
    tables: int
    server_version: str
    pg_dump_version: str


class Meter:
    """A binary file that counts and hashes what passes through it."""

    def __init__(self, file: t.Any) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: t.Any) -> int:
        self._file.write(data)
        return self._seen(data)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._seen(data)
        return data

    def flush(self) -> None:
        self._file.flush()

    def _seen(self, data: t.Any) -> int:
        self._sha256.update(data)
        self.size += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


class Writer:
    """Compresses into `file`. After `finish`: `size_bytes`, `sha256` of the file, `archive_bytes` put in."""

    def __init__(self, file: t.Any, compression: str, level: int) -> None:
        self._meter = Meter(file)
        self._stream = _compressor(self._meter, compression, level)
        self.archive_bytes = 0

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        self.archive_bytes += len(data)

    def finish(self) -> None:
        """Writes the compressor's end; without it the file is not complete."""
        if self._stream is not self._meter:
            self._stream.close()

    @property
    def size_bytes(self) -> int:
        return self._meter.size

    @property
    def sha256(self) -> str:
        return self._meter.sha256


def level(compression: str, wanted: int | None) -> int:
    """The level that is `wanted`, or the default; raises `ProductionError` for one that there is not."""
    lowest, highest = LEVELS[compression]
    if wanted is None:
        return DEFAULT_LEVELS[compression]
    if not lowest <= wanted <= highest:
        raise ProductionError(
            "compression_level", f"{wanted} is not a level of {compression}.", f"Use {lowest} to {highest}."
        )
    return wanted


def _compressor(file: t.Any, compression: str, level: int) -> t.Any:
    if compression == "zstd":
        zstandard = _deps.load("zstandard")
        # The content checksum is what notices a flipped bit in the data of an uncompressed dump.
        compressor = zstandard.ZstdCompressor(level=level, threads=-1, write_checksum=True)
        return compressor.stream_writer(file, closefd=False)
    if compression == "gzip":
        return gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=file, mtime=0)
    return file


def _decompressor(file: t.Any, compression: str) -> t.Any:
    if compression == "zstd":
        return _deps.load("zstandard").ZstdDecompressor().stream_reader(file, closefd=False)
    if compression == "gzip":
        return gzip.GzipFile(mode="rb", fileobj=file)
    return file


def checked_chunks(path: str, compression: str, size: int, sha256: str, archive_bytes: int) -> t.Iterator[bytes]:
    """As `chunks`, but every byte of the file is read, from the disk where the kernel lets us, and compared.

    Raises `Damaged` at the end when the file's size, its SHA-256 or the archive's length is not the given one.
    """
    with _from_disk(path) as file:
        yield from checked_stream(file, compression, (size, sha256), archive_bytes)


def checked_stream(
    file: t.Any, compression: str, written: tuple[int, str], archive_bytes: int
) -> t.Iterator[bytes]:
    """As `checked_chunks`, of an open file; `written` is its size and SHA-256."""
    meter, seen = Meter(file), 0
    for chunk in decompressed(meter, compression):
        seen += len(chunk)
        yield chunk
    while meter.read(CHUNK):  # what follows the end of the compressed stream
        continue
    require_same((meter.size, meter.sha256), written)
    if seen != archive_bytes:
        raise Damaged(f"the archive has {seen} bytes, {archive_bytes} were dumped")


@contextlib.contextmanager
def _from_disk(path: str) -> t.Iterator[t.Any]:
    """The file, opened; what is read of it comes from the disk where the kernel lets us."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        yield file


def digest(path: str) -> tuple[int, str]:
    """Size and SHA-256 of the file."""
    with _from_disk(path) as file:
        return digest_of(file)


def digest_of(file: t.Any) -> tuple[int, str]:
    """As `digest`, of what is left of an open file."""
    meter = Meter(file)
    while meter.read(CHUNK):
        continue
    return meter.size, meter.sha256


def require_same(found: tuple[int, str], written: tuple[int, str]) -> None:
    """Raises `Damaged` unless size and SHA-256 are what they were."""
    if found != written:
        raise Damaged(
            f"SHA-256 {found[1]} over {found[0]} bytes was read, {written[1]} over {written[0]} was written"
        )


def decompressed(file: t.Any, compression: str) -> t.Iterator[bytes]:
    damage: t.Any = (EOFError, zlib.error, gzip.BadGzipFile)
    if compression == "zstd":
        damage = _deps.load("zstandard").ZstdError
    stream = _decompressor(file, compression)
    while True:
        try:
            chunk = stream.read(CHUNK)
        except damage as exc:
            raise Damaged(f"cannot be decompressed: {exc}") from exc
        if not chunk:
            return
        yield chunk


def parse_list(text: str) -> Contents:
    """What `pg_restore --list` printed (LC_ALL=C); raises `Damaged` when that is no table of contents."""
    header = {match["key"]: match["value"].strip() for match in _HEADER.finditer(text)}
    try:
        return Contents(
            entries=int(header["TOC Entries"]),
            tables=len(_TABLE.findall(text)),
            server_version=header["Dumped from database version"],
            pg_dump_version=header["Dumped by pg_dump version"],
        )
    except KeyError as exc:
        raise Damaged(f"its table of contents has no {exc}") from exc
