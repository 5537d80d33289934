# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Redis connection pool and the proof that it can be read and written."""

from __future__ import annotations

import secrets
import time

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config.settings import Settings

_SECONDS = 3
SLOW_MILLISECONDS = 250


def create_redis(settings: Settings) -> Redis:
    """A pooled client whose connects and answers are bounded; one retry covers a connection the server closed."""
    return Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        password=settings.redis_password,
        db=settings.redis_db,
        decode_responses=True,
        max_connections=100,
        socket_connect_timeout=_SECONDS,
        socket_timeout=_SECONDS,
        retry=Retry(NoBackoff(), 1),
        client_name="tria-backend",
    )


async def round_trip(redis: Redis) -> float:
    """Write, read and delete a key of its own; returns the milliseconds, raises when what comes back differs."""
    key, value = f"startup:probe:{secrets.token_hex(8)}", secrets.token_hex(8)
    started = time.perf_counter()
    await redis.set(key, value, ex=30)
    answer = await redis.get(key)
    await redis.delete(key)
    if answer != value:
        raise RuntimeError("Redis did not give back the value that was written")
    return (time.perf_counter() - started) * 1000
