# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads in a folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from storage.base import CHUNK, ObjectMissing, StorageError, Upload

_KEY = re.compile(r"[0-9a-f-]{36}")
_PARTIAL = ".partial-"


class LocalStorage:
    """A folder of files. Files appear whole: written beside, synchronised, then renamed.

    What is being written is locked by its writer. The kernel frees the lock of a process that was killed, so that
    `sweep` knows what nobody will finish from what another process, with the same folder, is at.
    """

    name = "local"

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    async def check(self) -> None:
        if not await asyncio.to_thread(self._writable):
            raise StorageError(f"local: {self._folder} is not a folder that can be written")

    def _writable(self) -> bool:
        return self._folder.is_dir() and os.access(self._folder, os.R_OK | os.W_OK | os.X_OK)

    async def put(self, key: str, upload: Upload) -> None:
        path = self._path(key)
        try:
            handle, partial = await asyncio.to_thread(tempfile.mkstemp, prefix=_PARTIAL, dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as sink:
                    await asyncio.to_thread(fcntl.flock, sink, fcntl.LOCK_EX)
                    async for chunk in upload.chunks():
                        await asyncio.to_thread(sink.write, chunk)
                    await asyncio.to_thread(_synchronise, sink)
                    await asyncio.to_thread(os.replace, partial, path)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageError(f"local: {error.strerror}") from error

    async def get(self, key: str) -> AsyncIterator[bytes]:
        try:
            source = await asyncio.to_thread(self._path(key).open, "rb")
        except FileNotFoundError as error:
            raise ObjectMissing("local: no such object") from error
        except OSError as error:
            raise StorageError(f"local: {error.strerror}") from error
        with source:
            while chunk := await asyncio.to_thread(source.read, CHUNK):
                yield chunk

    async def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        except OSError as error:
            raise StorageError(f"local: {error.strerror}") from error

    async def sweep(self) -> int:
        """Remove what killed processes left unfinished; returns how many files."""
        try:
            partials = await asyncio.to_thread(lambda: sorted(self._folder.glob(f"{_PARTIAL}*")))
            return sum([await asyncio.to_thread(_abandoned, partial) for partial in partials])
        except OSError as error:
            raise StorageError(f"local: {error.strerror}") from error

    async def close(self) -> None:
        """Nothing is open."""

    def _path(self, key: str) -> Path:
        # Keys are made by the application; a path that somebody slipped in ends here.
        if not _KEY.fullmatch(key):
            raise StorageError("local: not a key of this application")
        return self._folder / key


def _synchronise(sink: BinaryIO) -> None:
    sink.flush()
    os.fsync(sink.fileno())


def _abandoned(partial: Path) -> bool:
    """Remove a partial file unless its writer is alive; says whether it did."""
    try:
        with partial.open("rb") as source:
            fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.unlink()
            return True
    except (BlockingIOError, FileNotFoundError):
        # Its writer is at it, or has just finished.
        return False
