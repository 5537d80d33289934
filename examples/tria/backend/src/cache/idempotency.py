# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Idempotency keys in Redis: one key, one answer, computed once.

A key is claimed with SET NX under a token of the claimant; duplicates wait for its answer. A claimant that fails
gives the key back, one that dies loses it when the lease runs out, and a duplicate takes over.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

# Only the claimant may replace its claim: after a lost lease somebody else's answer must stay.
_REPLACE = """
local current = redis.call('GET', KEYS[1])
if current and cjson.decode(current)['token'] == ARGV[1] then
  if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  return 1
end
return 0
"""
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25


class KeyReused(Exception):
    """The key was used before with another request body."""


class StillRunning(Exception):
    """The first request with this key has not finished within the time a duplicate may wait."""


class IdempotencyStore:
    """Answers by key. `lease` bounds one computation, `ttl` how long an answer is kept, both in seconds."""

    def __init__(self, redis: Redis, ttl: int, lease: int) -> None:
        self._redis = redis
        self._ttl = ttl
        self._lease = lease
        self._replace = redis.register_script(_REPLACE)

    async def once(
        self, scope: str, key: str, body: Any, compute: Callable[[], Awaitable[dict[str, Any]]]
    ) -> tuple[dict[str, Any], bool]:
        """The answer for `key`, and whether it was computed before. Raises KeyReused, StillRunning."""
        name = f"idempotency:{scope}:{_digest(key)}"
        fingerprint = _digest(json.dumps(body, sort_keys=True))
        token = secrets.token_hex(16)
        claim = json.dumps({"token": token, "fingerprint": fingerprint})
        deadline, pause = time.monotonic() + self._lease, _FIRST_PAUSE
        while not await self._redis.set(name, claim, nx=True, ex=self._lease):
            stored = await self._redis.get(name)
            if stored is not None:
                record = json.loads(stored)
                if record["fingerprint"] != fingerprint:
                    raise KeyReused
                if "answer" in record:
                    return record["answer"], True
                if time.monotonic() > deadline:
                    raise StillRunning
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
        return await self._claimed(name, token, fingerprint, compute), False

    async def forget(self, scope: str) -> None:
        """Drop every key of a scope."""
        async for name in self._redis.scan_iter(match=f"idempotency:{scope}:*", count=1000):
            await self._redis.delete(name)

    async def _claimed(
        self, name: str, token: str, fingerprint: str, compute: Callable[[], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        try:
            answer = await compute()
        except BaseException:
            await self._replace(keys=[name], args=[token, "", 0])
            raise
        record = json.dumps({"token": token, "fingerprint": fingerprint, "answer": answer})
        await self._replace(keys=[name], args=[token, record, self._ttl])
        return answer


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
