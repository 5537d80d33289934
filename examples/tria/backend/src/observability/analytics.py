# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Product analytics to PostHog: that something happened and to which account number, nothing about the person."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from config.settings import Settings


class Analytics:
    """`active` says whether anything is sent. Events are queued and sent by a thread; none delays a request."""

    def __init__(self, settings: Settings) -> None:
        self.active = bool(settings.posthog_api_key)
        self._client: Any = None
        if self.active:
            # Only those who use it pay for the import.
            from posthog import Posthog

            self._client = Posthog(
                settings.posthog_api_key,
                host=settings.posthog_host,
                flush_interval=1.0,
                timeout=3,
                max_retries=1,
                max_queue_size=1000,
                disable_geoip=True,
            )

    def record(self, event: str, user_id: uuid.UUID, **properties: Any) -> None:
        """Count an event; `properties` are plain values that name nobody."""
        if self._client is not None:
            self._client.capture(event, distinct_id=str(user_id),
                                 properties={"$process_person_profile": False, **properties})

    async def close(self) -> None:
        """Send what is queued."""
        if self._client is not None:
            await asyncio.to_thread(self._client.shutdown)
