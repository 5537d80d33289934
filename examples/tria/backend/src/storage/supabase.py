# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads in a bucket of Supabase Storage."""

from __future__ import annotations

from collections.abc import Mapping

from storage.remote import RemoteStorage, quoted


class SupabaseStorage(RemoteStorage):
    """A private bucket, over the project's REST interface."""

    name = "supabase"
    put_method = "POST"

    def __init__(self, url: str, bucket: str, key: str) -> None:
        super().__init__(f"{url}/storage/v1")
        self._bucket = bucket
        self._key = key
        self.bucket_path = quoted(f"/bucket/{bucket}")

    def object_path(self, key: str) -> str:
        return quoted(f"/object/{self._bucket}/{key}")

    def headers(self, method: str, path: str, sha256: str) -> Mapping[str, str]:
        return {"apikey": self._key, "authorization": f"Bearer {self._key}"}
