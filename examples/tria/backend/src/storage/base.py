# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of a storage backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

CHUNK = 64 * 1024


class StorageError(Exception):
    """The backend could not do what it was asked; the text names the backend and what it said."""


class ObjectMissing(StorageError):
    """The backend answers, but the object is not there."""


@dataclass(frozen=True)
class Upload:
    """A file on its way into a backend, to be read from its beginning."""

    file: BinaryIO
    size: int
    sha256: str
    content_type: str

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content, read off the event loop."""
        await asyncio.to_thread(self.file.seek, 0)
        while chunk := await asyncio.to_thread(self.file.read, CHUNK):
            yield chunk


class Storage(Protocol):
    """Keeps objects under keys that the application makes; a key is a UUID."""

    name: str

    async def check(self) -> None:
        """Raises StorageError when objects cannot be stored there. Reads only."""

    async def put(self, key: str, upload: Upload) -> None:
        """Store an object, whole or not at all."""

    def get(self, key: str) -> AsyncIterator[bytes]:
        """The object's content; raises ObjectMissing."""

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    async def close(self) -> None:
        """Give connections back."""
