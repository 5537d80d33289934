# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configured backends: one takes new uploads, all of them give back what they hold."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import Any

from config.settings import Settings
from storage.base import Storage, StorageError
from storage.local import LocalStorage
from storage.s3 import S3Storage
from storage.supabase import SupabaseStorage

_CHECK_SECONDS = 4.0
_REMEMBERED_SECONDS = 5.0


class StorageBackends:
    """`active` is where uploads go; `named` finds the backend of an earlier upload; `local` is always there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.local = LocalStorage(settings.upload_path)
        self._backends: dict[str, Storage] = {"local": self.local}
        if settings.s3_endpoint_url and settings.s3_bucket and settings.s3_secret_access_key:
            self._backends["s3"] = S3Storage(settings.s3_endpoint_url, settings.s3_region, settings.s3_bucket,
                                             settings.s3_access_key_id, settings.s3_secret_access_key)
        if settings.supabase_url and settings.supabase_anon_key:
            self._backends["supabase"] = SupabaseStorage(settings.supabase_url, settings.supabase_bucket,
                                                         settings.supabase_anon_key)
        self.active = self._backends[settings.storage_backend]
        self._status: dict[str, Any] = {}
        self._status_until = 0.0
        self._asking = asyncio.Lock()

    def named(self, name: str) -> Storage:
        """The backend that an upload is in; raises StorageError when it is configured no more."""
        try:
            return self._backends[name]
        except KeyError as error:
            raise StorageError(f"{name}: not configured any more") from error

    async def status(self) -> dict[str, Any]:
        """{backend, healthy, max_upload_size_mb, backends, cdn}; asked at most every few seconds.

        `backends` has each one that this application knows: {configured, active}, and {healthy, response_time_ms}
        where it is configured, `error` where it does not work. `healthy` is the active one's.
        """
        async with self._asking:
            if time.monotonic() > self._status_until:
                self._status = await self._ask()
                self._status_until = time.monotonic() + _REMEMBERED_SECONDS
        return self._status

    async def _ask(self) -> dict[str, Any]:
        grades = await asyncio.gather(*(_grade(backend) for backend in self._backends.values()))
        backends = {
            name: {"configured": False, "active": False} for name in ("local", "s3", "supabase")
        } | {
            name: {"configured": True, "active": backend is self.active, **grade}
            for (name, backend), grade in zip(self._backends.items(), grades, strict=True)
        }
        if backends["local"].get("healthy"):
            backends["local"]["free_bytes"] = shutil.disk_usage(self._settings.upload_path).free
        return {
            "backend": self.active.name,
            "healthy": backends[self.active.name]["healthy"],
            "max_upload_size_mb": self._settings.max_upload_size_mb,
            "backends": backends,
            # Uploads are private to their account: none of them is published.
            "cdn": {"configured": False},
        }

    async def close(self) -> None:
        await asyncio.gather(*(backend.close() for backend in self._backends.values()))


async def _grade(backend: Storage) -> dict[str, Any]:
    started = time.perf_counter()
    error = None
    try:
        await asyncio.wait_for(backend.check(), _CHECK_SECONDS)
    except TimeoutError:
        error = f"{backend.name}: no answer within {_CHECK_SECONDS:g} s"
    except StorageError as failure:
        error = str(failure)
    grade = {"healthy": error is None, "response_time_ms": round((time.perf_counter() - started) * 1000, 1)}
    return {**grade, "error": error} if error else grade
