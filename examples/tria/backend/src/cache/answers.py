# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cache system: answers to questions that open a conversation, shared by everybody who asks the same."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from redis.asyncio import Redis


class AnswerCache:
    """Answers by model, catalog and normalised question, so that a new model or price asks anew."""

    def __init__(self, redis: Redis, model: str, catalog_version: str, ttl: int = 600) -> None:
        self._redis = redis
        self._prefix = f"answer:{_digest(model + catalog_version)[:16]}"
        self._ttl = ttl

    async def get(self, question: str) -> dict[str, Any] | None:
        stored = await self._redis.get(self._key(question))
        return json.loads(stored) if stored else None

    async def put(self, question: str, answer: dict[str, Any]) -> None:
        await self._redis.set(self._key(question), json.dumps(answer), ex=self._ttl)

    def _key(self, question: str) -> str:
        return f"{self._prefix}:{_digest(' '.join(question.lower().split()))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
