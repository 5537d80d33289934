# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads in a folder."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from storage.base import CHUNK, ObjectMissing, StorageError, Upload

_KEY = re.compile(r"[0-9a-f-]{36}")


class LocalStorage:
    """A folder of files. Files appear whole: written beside, synchronised, then renamed."""

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
            handle, partial = await asyncio.to_thread(tempfile.mkstemp, prefix=".partial-", dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as sink:
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

    async def close(self) -> None:
        """Nothing is open."""

    def _path(self, key: str) -> Path:
        # Keys are made by the application; a path that somebody slipped in ends here.
        if not _KEY.fullmatch(key):
            raise StorageError("local: not a key of this application")
        return self._folder / key


def _synchronise(sink: object) -> None:
    sink.flush()  # type: ignore[attr-defined]
    os.fsync(sink.fileno())  # type: ignore[attr-defined]
