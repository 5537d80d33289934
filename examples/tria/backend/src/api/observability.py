# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is watched: detailed health, performance, Prometheus, the state of Sentry and PostHog."""

from __future__ import annotations

from typing import Any

import psutil
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.metrics import Metrics
from application import Application
from production.health_monitor import system_metrics


def observability_router(application: Application, metrics: Metrics, version: str) -> APIRouter:
    """/health/detailed, /metrics/..., /observability/health."""
    router = APIRouter(tags=["observability"])
    health = application.health

    @router.get("/health/detailed", responses={503: {"description": "A critical service is down"}})
    async def detailed() -> JSONResponse:
        """Readiness with everything around it: storage, observability, version; 503 as readiness."""
        readiness = await health.readiness()
        storage = await application.storage.status()
        document = {
            **health.liveness(),
            "status": readiness["status"],
            "overall_healthy": readiness["overall_healthy"],
            "version": version,
            "environment": application.settings.environment,
            "services": readiness["services"],
            "storage": {name: storage[name] for name in ("backend", "healthy")},
            "observability": _state(application),
            "metrics": readiness["metrics"],
        }
        return JSONResponse(document, 200 if readiness["overall_healthy"] else 503)

    @router.get("/metrics/prometheus", response_class=Response)
    async def prometheus() -> Response:
        """The same as /metrics."""
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    @router.get("/metrics/performance")
    async def performance() -> dict[str, Any]:
        """Response times by route, in milliseconds, and what the process uses."""
        process = psutil.Process()
        return {
            "uptime_seconds": health.liveness()["uptime_seconds"],
            "http": metrics.performance.summary(),
            "system": system_metrics(),
            "process": {"memory_mb": round(process.memory_info().rss / 2**20, 1), "threads": process.num_threads()},
        }

    @router.get("/observability/health")
    async def observability() -> dict[str, Any]:
        """Which of Sentry, PostHog and Prometheus are configured and active."""
        return _state(application)

    return router


def _state(application: Application) -> dict[str, Any]:
    settings = application.settings
    return {
        "sentry": {"configured": bool(settings.sentry_dsn), "active": application.errors.active},
        "posthog": {"configured": bool(settings.posthog_api_key), "active": application.analytics.active},
        "prometheus": {"configured": True, "active": True, "path": "/metrics/prometheus"},
    }
