# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody who uses the application: signs in, uploads, asks."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from servers import Answer, Process, request

PASSWORD = "correct horse battery"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def form(content: bytes, filename: str = "picture.png", **fields: str) -> tuple[bytes, dict[str, str]]:
    """A multipart body with one file, and its headers."""
    boundary = secrets.token_hex(12)
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in fields.items()]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
    parts += [head.encode(), b"Content-Type: application/octet-stream\r\n\r\n", content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


@dataclass
class Client:
    """One account of a running application."""

    app: Process
    username: str = field(default_factory=lambda: f"user-{secrets.token_hex(6)}")
    token: str = ""

    def join(self) -> Client:
        """Register and sign in."""
        account = {"username": self.username, "password": PASSWORD}
        assert request(f"{self.app.url}/users/register", account).status == 201
        self.token = request(f"{self.app.url}/users/login-json", account).body["access_token"]
        return self

    def call(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Answer:
        """A request with the account's token."""
        return request(self.app.url + path, body, {"Authorization": f"Bearer {self.token}", **headers}, method=method)

    def upload(self, content: bytes = PNG, filename: str = "picture.png", **fields: str) -> Answer:
        body, headers = form(content, filename, **fields)
        return self.call("/upload", body, **headers)
