# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rate limits in Redis, by the generic cell rate algorithm: a burst of one minute's worth, then a steady flow.

Each key holds one moment, the theoretical arrival time of the next request; time is Redis' own, so that all
processes agree.
"""

from __future__ import annotations

import hashlib
import math

from redis.asyncio import Redis

# KEYS[1]; ARGV: requests per minute. Returns {allowed, remaining, microseconds until the next is allowed}.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local window = 60000000
local step = window / tonumber(ARGV[1])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local after = arrival + step
if after - now > window + 1 then
  return {0, 0, math.ceil(after - now - window)}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1)
return {1, math.floor((window + 1 - (after - now)) / step), 0}
"""


class RateLimited(Exception):
    """Too many requests; `retry_after` in whole seconds."""

    def __init__(self, limit: int, retry_after: int) -> None:
        super().__init__(f"at most {limit} requests a minute")
        self.limit = limit
        self.retry_after = retry_after


class RateLimiter:
    """Counts by scope (what is limited) and subject (who)."""

    def __init__(self, redis: Redis, enabled: bool) -> None:
        self.enabled = enabled
        self._take = redis.register_script(_TAKE)

    async def take(self, scope: str, subject: str, per_minute: int) -> int:
        """Count one request; returns how many more may follow at once, raises RateLimited."""
        if not self.enabled:
            return per_minute
        # Subjects are addresses and names: only their digest is stored.
        key = f"rate:{scope}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"
        allowed, remaining, wait = await self._take(keys=[key], args=[per_minute])
        if not allowed:
            raise RateLimited(per_minute, max(1, math.ceil(wait / 1_000_000)))
        return int(remaining)
