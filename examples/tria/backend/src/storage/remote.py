# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the backends behind HTTP have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

import httpx

from storage.base import CHUNK, ObjectMissing, StorageError, Upload

_TIMEOUT = httpx.Timeout(30.0, connect=3.0)
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class RemoteStorage(ABC):
    """A bucket of a service. Subclasses say how it is addressed and how requests are signed."""

    name = ""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT, follow_redirects=False)

    @abstractmethod
    def headers(self, method: str, path: str, sha256: str) -> Mapping[str, str]:
        """What proves to the service who asks; `sha256` is the digest of the request's body."""

    @abstractmethod
    def object_path(self, key: str) -> str:
        """The path of an object's URL."""

    bucket_path = ""
    check_method = "GET"
    put_method = "PUT"

    async def check(self) -> None:
        await self._send(self.check_method, self.bucket_path)

    async def put(self, key: str, upload: Upload) -> None:
        headers = {"Content-Type": upload.content_type, "Content-Length": str(upload.size)}
        await self._send(self.put_method, self.object_path(key), upload.sha256, headers, upload.chunks())

    async def get(self, key: str) -> AsyncIterator[bytes]:
        path = self.object_path(key)
        try:
            async with self._http.stream("GET", path, headers=self.headers("GET", path, _EMPTY)) as answer:
                self._judge(answer)
                async for chunk in answer.aiter_raw(CHUNK):
                    yield chunk
        except httpx.HTTPError as error:
            raise StorageError(f"{self.name}: {type(error).__name__}") from error

    async def delete(self, key: str) -> None:
        try:
            await self._send("DELETE", self.object_path(key))
        except ObjectMissing:
            return

    async def close(self) -> None:
        await self._http.aclose()

    async def _send(self, method: str, path: str, sha256: str = _EMPTY, headers: Mapping[str, str] | None = None,
                    body: AsyncIterator[bytes] | None = None) -> None:
        signed = {**self.headers(method, path, sha256), **(headers or {})}
        try:
            self._judge(await self._http.request(method, path, headers=signed, content=body))
        except httpx.HTTPError as error:
            raise StorageError(f"{self.name}: {type(error).__name__}") from error

    def _judge(self, answer: httpx.Response) -> None:
        if answer.status_code == 404:
            raise ObjectMissing(f"{self.name}: no such bucket or object")
        if not answer.is_success:
            raise StorageError(f"{self.name}: answered with {answer.status_code}")


def quoted(path: str) -> str:
    """A path as it stands in a URL and in a signature: everything quoted but the slashes."""
    return quote(path, safe="/-_.~")
