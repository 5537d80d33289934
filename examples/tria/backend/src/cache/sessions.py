# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Session manager: the running conversation of a user, the last turns of it, in Redis."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass

from redis.asyncio import Redis


@dataclass(frozen=True)
class Session:
    """A conversation and its latest messages, oldest first, as {role, content}."""

    conversation_id: uuid.UUID
    history: list[dict[str, str]]


class SessionManager:
    """Keeps `turns` turns per user; a conversation ends after `ttl` seconds of silence."""

    def __init__(self, redis: Redis, turns: int = 6, ttl: int = 1800) -> None:
        self._redis = redis
        self._messages = turns * 2
        self._ttl = ttl

    async def open(self, user_id: str) -> Session:
        """The user's running conversation, or a new one."""
        id_key, history_key = self._keys(user_id)
        fresh = str(uuid.uuid4())
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(id_key, fresh, nx=True, ex=self._ttl)
            pipe.get(id_key)
            pipe.lrange(history_key, 0, -1)
            _set, conversation_id, history = await pipe.execute()
        if conversation_id == fresh:
            return Session(uuid.UUID(fresh), [])
        return Session(uuid.UUID(conversation_id), [json.loads(message) for message in history])

    async def append(self, user_id: str, session: Session, question: str, answer: str) -> None:
        """Add a turn, forget the oldest, and start the silence anew."""
        id_key, history_key = self._keys(user_id)
        turn = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.rpush(history_key, *(json.dumps(message) for message in turn))
            pipe.ltrim(history_key, -self._messages, -1)
            pipe.expire(history_key, self._ttl)
            pipe.set(id_key, str(session.conversation_id), ex=self._ttl)
            await pipe.execute()

    async def peek(self, user_id: str) -> list[dict[str, str]]:
        """The messages that are kept of the running conversation, oldest first."""
        return [json.loads(message) for message in await self._redis.lrange(self._keys(user_id)[1], 0, -1)]

    async def forget(self, user_id: str) -> None:
        """End the running conversation and keep nothing of it."""
        await self._redis.delete(*self._keys(user_id))

    @staticmethod
    def _keys(user_id: str) -> tuple[str, str]:
        digest = hashlib.sha256(user_id.encode()).hexdigest()
        return f"session:{digest}:id", f"session:{digest}:history"
