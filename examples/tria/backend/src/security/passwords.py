# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passwords, as scrypt hashes that carry their parameters and salt."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets

# OWASP's parameters for 16 MiB a hash; two at a time bound the memory.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 5
_MAX_MEMORY = 64 * 2**20
_gate = asyncio.Semaphore(2)


def _digest(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    # Whatever a JSON string can hold is a password, half a surrogate pair too.
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=cost, r=block, p=parallel, maxmem=_MAX_MEMORY, dklen=32)


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


# What an unknown user's password is compared with: it takes as long, and tells nothing about who exists.
_NOBODY = f"scrypt${_COST}${_BLOCK}${_PARALLEL}${_encode(secrets.token_bytes(16))}${_encode(secrets.token_bytes(32))}"


async def hash_password(password: str) -> str:
    """`scrypt$cost$block$parallel$salt$digest`."""
    salt = secrets.token_bytes(16)
    async with _gate:
        digest = await asyncio.to_thread(_digest, password, salt, _COST, _BLOCK, _PARALLEL)
    return f"scrypt${_COST}${_BLOCK}${_PARALLEL}${_encode(salt)}${_encode(digest)}"


async def verify_password(password: str, stored: str | None) -> bool:
    """Is this the password? Takes as long for an account that does not exist (None)."""
    _scheme, cost, block, parallel, salt, digest = (stored or _NOBODY).split("$")
    async with _gate:
        offered = await asyncio.to_thread(
            _digest, password, base64.b64decode(salt), int(cost), int(block), int(parallel)
        )
    return hmac.compare_digest(offered, base64.b64decode(digest)) and stored is not None
