# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Health routes and Prometheus metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.metrics import Metrics
from application import Application


def health_router(application: Application, metrics: Metrics) -> APIRouter:
    """Liveness, readiness, diagnostics, metrics."""
    router = APIRouter(tags=["health"])
    health = application.health

    @router.get("/health")
    @router.get("/api/v1/health/liveness")
    async def liveness() -> dict[str, Any]:
        """Is the process alive? Depends on nothing outside it."""
        return health.liveness()

    @router.get("/api/v1/health/readiness", responses={503: {"description": "A critical service is down"}})
    async def readiness() -> JSONResponse:
        """Can requests be handled? 503 when a critical service is down or the process is stopping."""
        document = await health.readiness()
        for name, service in document["services"].items():
            metrics.dependency_up.labels(name).set(service["healthy"])
        return JSONResponse(document, 200 if document["overall_healthy"] else 503)

    @router.get("/api/v1/health/diagnostics")
    async def diagnostics() -> dict[str, Any]:
        """Everything that helps to find a fault; no secrets."""
        document = await health.diagnostics()
        document["startup"] = [result.as_dict() for result in application.orchestrator.results]
        document["background_tasks"] = application.lifecycle.background_tasks
        redacted: dict[str, Any] = application.logs.redact_document(document)
        return redacted

    @router.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    return router
