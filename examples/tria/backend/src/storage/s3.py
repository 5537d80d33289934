# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads in a bucket of an S3-compatible service, requests signed with AWS Signature Version 4."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from storage.remote import RemoteStorage, quoted


class S3Storage(RemoteStorage):
    """Path-style addresses, which every compatible service understands. `url` is the endpoint, without a path."""

    name = "s3"
    check_method = "HEAD"

    def __init__(self, url: str, region: str, bucket: str, access_key: str, secret_key: str) -> None:
        super().__init__(url)
        self._host = urlsplit(url).netloc
        self._region = region
        self._bucket = bucket
        self._access_key = access_key
        self._secret_key = secret_key
        self.bucket_path = quoted(f"/{bucket}")

    def object_path(self, key: str) -> str:
        return quoted(f"/{self._bucket}/{key}")

    def headers(self, method: str, path: str, sha256: str) -> Mapping[str, str]:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        signed = {"host": self._host, "x-amz-content-sha256": sha256, "x-amz-date": moment}
        names = ";".join(signed)
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{sha256}"
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{self._secret_key}".encode()
        for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={self._access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
        )
        return {**signed, "authorization": authorization}
