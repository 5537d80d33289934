# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors to Sentry: what the log has at level ERROR and above, without secrets, bodies or local variables."""

from __future__ import annotations

import asyncio
from typing import Any

from config.logs import OneLineFormatter
from config.settings import Settings

_FLUSH_SECONDS = 3.0


class ErrorReports:
    """`active` says whether anything is sent."""

    def __init__(self, release: str) -> None:
        self.active = False
        self._release = release

    def start(self, settings: Settings, logs: OneLineFormatter) -> None:
        """Send from now on, if a DSN is configured."""
        if not settings.sentry_dsn:
            return
        # Only those who use it pay for the import.
        import sentry_sdk
        from sentry_sdk.integrations.logging import LoggingIntegration

        def without_secrets(event: Any, hint: Any) -> Any:
            return logs.redact_document(event)

        sentry_sdk.init(
            dsn=settings.sentry_dsn,
            environment=settings.environment,
            release=self._release,
            before_send=without_secrets,
            include_local_variables=False,
            max_request_body_size="never",
            max_breadcrumbs=20,
            auto_enabling_integrations=False,
            default_integrations=False,
            integrations=[LoggingIntegration(level=None, event_level=40)],
            shutdown_timeout=0,
        )
        self._flush = sentry_sdk.flush
        self.active = True

    async def flush(self) -> None:
        """Send what is still on its way, for a few seconds at most."""
        if self.active:
            await asyncio.to_thread(self._flush, _FLUSH_SECONDS)
