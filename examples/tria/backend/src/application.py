# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The application's parts and the startup phases that put them together."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from cache.answers import AnswerCache
from cache.connection import SLOW_MILLISECONDS, create_redis, round_trip
from cache.idempotency import IdempotencyStore
from cache.sessions import SessionManager
from chatbot.agent import CustomerServiceAgent
from chatbot.intents import IntentClassifier
from chatbot.knowledge import KnowledgeBase
from chatbot.openai_client import OpenAIClient
from config.logs import OneLineFormatter
from config.settings import Settings, load_settings
from database.engine import create_pool, verify_schema
from database.personal_data import PersonalData
from database.repositories import load_catalog
from database.vectors import ChromaClient
from observability.analytics import Analytics
from observability.errors import ErrorReports
from production.health_monitor import HealthMonitor
from production.lifecycle_manager import LifecycleManager
from production.startup_orchestrator import Phase, StartupOrchestrator
from security.rate_limits import RateLimiter
from security.tokens import TokenIssuer
from storage.backends import StorageBackends

_log = logging.getLogger("startup")
_STARTUP_SECONDS = 10.0
# What a chatbot request needs beside the model's answer; together they bound how long an idempotency key is claimed.
_REQUEST_MARGIN_SECONDS = 30


class Application:
    """Parts appear phase by phase; after `start` all of them are there and have been checked."""

    settings: Settings
    engine: AsyncEngine
    redis: Redis
    openai: OpenAIClient
    health: HealthMonitor
    agent: CustomerServiceAgent
    idempotency: IdempotencyStore
    storage: StorageBackends
    tokens: TokenIssuer
    limiter: RateLimiter
    personal_data: PersonalData
    analytics: Analytics
    on_failed_login: Callable[[], None]

    def __init__(
        self, environ: Mapping[str, str], lifecycle: LifecycleManager, logs: OneLineFormatter, version: str
    ) -> None:
        self.lifecycle = lifecycle
        self.orchestrator = StartupOrchestrator(_STARTUP_SECONDS)
        self.logs = logs
        self.errors = ErrorReports(f"tria@{version}")
        self._environ = environ

    async def start(self) -> None:
        """Run every phase in order; raises StartupError."""
        await self.orchestrator.run(self.phases())
        await self.lifecycle.run_startup()

    def phases(self) -> list[Phase]:
        """The guide's order. ChromaDB alone is not critical."""
        return [
            Phase("environment", self._environment),
            Phase("database", self._database),
            Phase("redis", self._redis),
            Phase("openai", self._openai),
            Phase("chromadb", self._chromadb, critical=False),
            Phase("components", self._components),
            Phase("health_checks", self._health_checks),
        ]

    async def _environment(self) -> str:
        self.settings = load_settings(self._environ)
        self.logs.hide(self.settings.secrets())
        self.orchestrator.timeout = self.settings.startup_timeout
        # First of all, so that what goes wrong in the next phases is reported too.
        self.errors.start(self.settings, self.logs)
        return f"{self.settings.environment} configuration is valid"

    async def _database(self) -> str:
        self.engine = create_pool(self.settings.database_url, self.settings.database_pool_size)
        self.lifecycle.add_shutdown_hook("database pool", self.engine.dispose)
        facts = await verify_schema(self.engine)
        return f"migration {facts['head']}, {len(facts['tables'])} tables, {facts['catalog_rows']} products"

    async def _redis(self) -> str:
        self.redis = create_redis(self.settings)
        self.lifecycle.add_shutdown_hook("redis pool", self.redis.aclose)
        milliseconds = await round_trip(self.redis)
        if milliseconds > SLOW_MILLISECONDS:
            _log.warning("redis is slow: a round trip took %.0f ms", milliseconds)
        return f"written, read and deleted in {milliseconds:.1f} ms"

    async def _openai(self) -> str:
        settings = self.settings
        self.openai = OpenAIClient(
            settings.openai_base_url, settings.openai_api_key, settings.openai_model, settings.openai_timeout
        )
        self.lifecycle.add_shutdown_hook("openai client", self.openai.close)
        self.health = HealthMonitor(settings, self.engine, self.redis, self.openai, self.lifecycle.stopping)
        models = await self.health.check_openai()
        if settings.openai_model not in models:
            _log.warning("openai does not list the model %s for this key", settings.openai_model)
        return f"the key is accepted, {len(models)} models"

    async def _chromadb(self) -> str:
        if not self.settings.chroma_url:
            return "not configured"
        chroma = ChromaClient(self.settings.chroma_url)
        self.lifecycle.add_shutdown_hook("chromadb client", chroma.close)
        self.health.watch_chroma(chroma)
        await chroma.heartbeat()
        return "heartbeat answered"

    async def _components(self) -> str:
        settings = self.settings
        await self._open_storage()
        knowledge = KnowledgeBase(await load_catalog(self.engine))
        sessions = SessionManager(self.redis)
        self.agent = CustomerServiceAgent(
            settings,
            self.engine,
            self.openai,
            knowledge,
            IntentClassifier(),
            AnswerCache(self.redis, settings.openai_model, knowledge.version),
            sessions,
        )
        lease = int(settings.openai_timeout) + _REQUEST_MARGIN_SECONDS
        self.idempotency = IdempotencyStore(self.redis, settings.idempotency_ttl, lease)
        self.personal_data = PersonalData(self.engine, self.storage, sessions, self.idempotency)
        self.tokens = TokenIssuer(settings.jwt_secret_key, settings.access_token_minutes, self.redis)
        self.limiter = RateLimiter(self.redis, settings.enable_rate_limiting)
        self.analytics = Analytics(settings)
        self.lifecycle.add_shutdown_hook("analytics", self.analytics.close)
        self.lifecycle.add_startup_hook("openai watch", self._start_openai_watch)
        return "intent classifier, customer service agent, knowledge base, cache system, session manager"

    async def _open_storage(self) -> None:
        """Uploads can be stored, or the application does not start. Forms are spooled on the volume, not in memory."""
        folder = Path(self.settings.upload_path)
        spool = folder / ".spool"
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.tempdir = str(spool)
        self.storage = StorageBackends(self.settings)
        self.lifecycle.add_shutdown_hook("storage", self.storage.close)
        await self.storage.active.check()
        swept = await self.storage.local.sweep()
        if swept:
            _log.warning("%d unfinished uploads of a process that was killed are removed", swept)

    async def _start_openai_watch(self) -> None:
        self.lifecycle.start_background_task("openai watch", self.health.watch_openai())

    async def _health_checks(self) -> str:
        document = await self.health.readiness()
        if not document["overall_healthy"]:
            unhealthy = [name for name, service in document["services"].items() if not service["healthy"]]
            raise RuntimeError("unhealthy: " + ", ".join(unhealthy))
        return str(document["status"])
