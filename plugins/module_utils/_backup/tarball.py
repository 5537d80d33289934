# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Folders of plain files through tar, as a stream that is pushed and as one that is pulled. Private to the collection.

`tarfile` itself reads from a file; what a container sends arrives in pieces.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import archive
from ansible_collections.tria.production.plugins.module_utils._backup.manifest import File

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(_BLOCK)


class Unpacker:
    """Writes the files of a tar stream into a folder, for their owner only, on the disk when `write` returns.

    After the stream: `files`, with their size and hash as they arrived. Raises `archive.Damaged` for whatever is
    neither a plain file nor the folder itself.
    """

    def __init__(self, folder: str) -> None:
        self.files: list[File] = []
        self._folder = folder
        self._header = b""
        self._name = ""
        self._file: t.Any = None
        self._meter: t.Any = None
        self._left = 0  # bytes of the file that are still to come
        self._padding = 0

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._take(rest) :]

    def close(self) -> None:
        """Closes a file that has not arrived as a whole; it is not among `files`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _take(self, data: memoryview) -> int:
        """Bytes of `data` that were used."""
        if self._left:
            used = min(len(data), self._left)
            self._meter.write(data[:used])
            self._left -= used
            if not self._left:
                self._finish()
        elif self._padding:
            used = min(len(data), self._padding)
            self._padding -= used
        else:
            used = min(len(data), _BLOCK - len(self._header))
            self._header += bytes(data[:used])
            if len(self._header) == _BLOCK:
                header, self._header = self._header, b""
                self._begin(header)
        return used

    def _begin(self, header: bytes) -> None:
        if header == _END:
            return
        try:
            found = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except tarfile.HeaderError as exc:
            raise archive.Damaged(f"what came out of the container is no archive of tar: {exc}") from exc
        self._name = posixpath.normpath(found.name)
        if found.isdir() and self._name == ".":
            return
        if not found.isreg() or self._name != posixpath.basename(self._name) or self._name == "..":
            raise archive.Damaged(f"{found.name} does not belong into a dump")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(os.path.join(self._folder, self._name), flags, 0o600), "wb")
        self._meter = archive.Meter(self._file)
        self._left, self._padding = found.size, -found.size % _BLOCK
        if not self._left:
            self._finish()

    def _finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        self.files.append(File(self._name, self._meter.size, self._meter.sha256))


def packed(files: t.Iterable[tuple[File, t.Iterator[bytes]]]) -> t.Iterator[bytes]:
    """A tar stream of `files` with the bytes of each, as many as it says."""
    for each, content in files:
        member = tarfile.TarInfo(each.file)
        member.size, member.mode = each.size_bytes, 0o600
        yield member.tobuf(tarfile.GNU_FORMAT)
        yield from content
        yield bytes(-each.size_bytes % _BLOCK)
    yield _END * 2
