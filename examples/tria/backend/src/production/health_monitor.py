# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Health: liveness without dependencies, readiness with deep checks, diagnostics for troubleshooting.

Critical services are the database, Redis and OpenAI; ChromaDB is watched when it is configured and never critical.
OpenAI is asked in the background, at an interval, so that probes cost no API calls.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import psutil
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chatbot.openai_client import OpenAIClient, OpenAIError
from config.settings import Settings
from database.engine import current_head, expected_head, pool_status
from database.vectors import ChromaClient
from production.startup_orchestrator import describe

_log = logging.getLogger("health")
_CHECK_SECONDS = 3.0
_CRITICAL = ("database", "redis", "openai")


class HealthMonitor:
    """Grades the application. `stopping` tells that the process is on its way out."""

    def __init__(self, settings: Settings, engine: AsyncEngine, redis: Redis, openai: OpenAIClient,
                 stopping: asyncio.Event) -> None:
        self._settings = settings
        self._engine = engine
        self._redis = redis
        self._openai = openai
        self._stopping = stopping
        self._started = time.monotonic()
        self._chroma: ChromaClient | None = None
        self._openai_error: str | None = "not checked yet"
        self._errors: dict[str, str] = {}
        # The first reading since boot means nothing; the ones after it cover the time since the last reading.
        psutil.cpu_percent()

    def liveness(self) -> dict[str, Any]:
        """{status, timestamp, uptime_seconds}; asks nothing outside the process."""
        return {"status": "alive", "timestamp": _now(), "uptime_seconds": round(time.monotonic() - self._started)}

    async def readiness(self) -> dict[str, Any]:
        """{status, overall_healthy, services, metrics}; status is healthy, degraded, unhealthy or shutting_down."""
        services = await self._services()
        healthy = all(services[name]["healthy"] for name in _CRITICAL)
        status = "unhealthy" if not healthy else "healthy" if _all_healthy(services) else "degraded"
        if self._stopping.is_set():
            healthy, status = False, "shutting_down"
        return {"status": status, "overall_healthy": healthy, "services": services, "metrics": system_metrics()}

    def watch_chroma(self, chroma: ChromaClient) -> None:
        """Have ChromaDB in every readiness document from now on."""
        self._chroma = chroma

    async def check_openai(self) -> list[str]:
        """Ask the API for its models and remember how that went; raises OpenAIError."""
        try:
            models = await self._openai.models()
        except OpenAIError as error:
            self._openai_error = str(error)
            raise
        self._openai_error = None
        return models

    async def watch_openai(self) -> None:
        """Background task: `check_openai` for ever, at the configured interval."""
        while True:
            await asyncio.sleep(self._settings.openai_check_interval)
            try:
                await asyncio.wait_for(self.check_openai(), self._settings.openai_check_interval + _CHECK_SECONDS)
            except TimeoutError:
                self._openai_error = "no answer in time"
            except OpenAIError as error:
                _log.warning("openai: %s", error)

    async def diagnostics(self) -> dict[str, Any]:
        """Readiness and what explains it: versions, configuration without secrets, schema, Redis, process."""
        process = psutil.Process()
        with process.oneshot():
            usage = {
                "pid": process.pid,
                "memory_mb": round(process.memory_info().rss / 2**20, 1),
                "threads": process.num_threads(),
                "open_files": process.num_fds(),
                "cpu_seconds": round(sum(process.cpu_times()[:2]), 2),
            }
        return {
            **self.liveness(),
            "readiness": await self.readiness(),
            "errors": dict(self._errors),
            "configuration": self._settings.public(),
            "schema": {"expected": expected_head(), "current": await _or_none(current_head(self._engine))},
            "redis": await _or_none(self._redis_facts()),
            "process": usage,
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("fastapi", "sqlalchemy", "psycopg", "redis", "uvicorn")},
            },
            "host": {"name": platform.node(), "cpus": os.cpu_count(), "load": [round(n, 2) for n in os.getloadavg()]},
        }

    async def _services(self) -> dict[str, dict[str, Any]]:
        checks: dict[str, Callable[[], Awaitable[None]]] = {"database": self._ping_database, "redis": self._ping_redis}
        if self._chroma:
            checks["chromadb"] = self._chroma.heartbeat
        results = await asyncio.gather(*(self._grade(name, ping) for name, ping in checks.items()))
        graded = dict(zip(checks, results, strict=True))
        graded["database"]["pool"] = pool_status(self._engine)
        graded["redis"].update(host=self._settings.redis_host, port=self._settings.redis_port)
        self._remember("openai", self._openai_error)
        openai = {
            "healthy": self._openai_error is None,
            "api_key_set": bool(self._settings.openai_api_key),
            "model": self._settings.openai_model,
        }
        chroma = graded.pop("chromadb", None)
        return {**graded, "openai": openai, **({"chromadb": chroma} if chroma else {})}

    async def _grade(self, name: str, ping: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        started = time.perf_counter()
        error = None
        try:
            await asyncio.wait_for(ping(), _CHECK_SECONDS)
        except TimeoutError:
            error = f"no answer within {_CHECK_SECONDS:g} s"
        # Whatever a driver raises here means the same: this service cannot be used.
        except Exception as failure:
            error = describe(failure)
        self._remember(name, error)
        return {"healthy": error is None, "response_time_ms": round((time.perf_counter() - started) * 1000, 1)}

    def _remember(self, name: str, error: str | None) -> None:
        """Log when a service becomes unhealthy or healthy again, not on every probe."""
        known = self._errors.get(name)
        if error is None and known is not None:
            del self._errors[name]
            _log.info("%s is healthy again", name)
        elif error is not None:
            self._errors[name] = error
            if known is None:
                _log.warning("%s is unhealthy: %s", name, error)

    async def _ping_database(self) -> None:
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def _ping_redis(self) -> None:
        await self._redis.ping()

    async def _redis_facts(self) -> dict[str, Any]:
        facts = await self._redis.info()
        wanted = ("redis_version", "used_memory_human", "connected_clients", "uptime_in_seconds", "aof_enabled")
        return {name: facts.get(name) for name in wanted}


def system_metrics() -> dict[str, float]:
    """{cpu_percent, memory_percent, disk_percent} of the machine."""
    return {
        "cpu_percent": psutil.cpu_percent(),
        "memory_percent": psutil.virtual_memory().percent,
        "disk_percent": psutil.disk_usage("/").percent,
    }


def _all_healthy(services: dict[str, dict[str, Any]]) -> bool:
    return all(service["healthy"] for service in services.values())


async def _or_none(fact: Awaitable[Any]) -> Any:
    """A fact for diagnostics, None where its service does not answer: the readiness part says why."""
    try:
        return await asyncio.wait_for(fact, _CHECK_SECONDS)
    except Exception as error:
        _log.debug("no fact for diagnostics: %r", error)
        return None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
