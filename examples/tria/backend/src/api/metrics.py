# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prometheus metrics of the application."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest

from application import Application
from database.engine import pool_status
from observability.performance import Performance


class Metrics:
    """One registry per application, so that several can live in one process."""

    def __init__(self, application: Application) -> None:
        self._engine = application.engine
        self.performance = Performance()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "http_requests_total", "Requests by route and status", ["method", "route", "status"], registry=self.registry
        )
        self.duration = Histogram(
            "http_request_duration_seconds", "Time to answer", ["method", "route"], registry=self.registry
        )
        self.in_progress = Gauge("http_requests_in_progress", "Requests being answered", registry=self.registry)
        self.intents = Counter("chatbot_messages_total", "Messages by intent", ["intent"], registry=self.registry)
        self.idempotency = Counter(
            "chatbot_idempotency_total", "Requests with a key by outcome", ["outcome"], registry=self.registry
        )
        failed = Counter("auth_failed_logins_total", "Refused attempts to sign in", registry=self.registry)
        application.on_failed_login = failed.inc
        self.dependency_up = Gauge(
            "dependency_up", "1 when the service passed its last readiness check", ["service"], registry=self.registry
        )
        pool = Gauge("database_pool_connections", "Connections of the pool", ["state"], registry=self.registry)
        for state in ("size", "checked_in", "checked_out"):
            pool.labels(state).set_function(partial(self._pool, state))

    def _pool(self, state: str) -> int:
        return pool_status(self._engine)[state]

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
