# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ASGI application: routers, errors, middleware."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api.auth import auth_router
from api.chatbot import chatbot_router
from api.errors import add_error_handlers
from api.gdpr import gdpr_router
from api.health import health_router
from api.metrics import Metrics
from api.middleware import RateLimitMiddleware, RequestMiddleware
from api.observability import observability_router
from api.security import Gate
from api.uploads import storage_router, uploads_router
from application import Application

VERSION = "1.0.0"


def create_app(application: Application) -> FastAPI:
    """The API over an application that has started."""
    app = FastAPI(title="Tria", version=VERSION, summary="Customer service for a packaging supplier")
    settings, metrics, gate = application.settings, Metrics(application), Gate(application)
    app.include_router(health_router(application, metrics))
    app.include_router(observability_router(application, metrics, VERSION))
    app.include_router(auth_router(application, gate))
    app.include_router(uploads_router(application, gate))
    app.include_router(storage_router(application))
    app.include_router(gdpr_router(application, gate))
    app.include_router(chatbot_router(application, metrics, gate))
    add_error_handlers(app)
    # The last one added is the outermost: every answer, a refused one too, is counted and gets its headers.
    app.add_middleware(RateLimitMiddleware, limiter=application.limiter, per_minute=settings.rate_limit_per_minute)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID", "Idempotency-Replayed"],
            # Tokens travel in a header: no cookie is of use to this API.
            allow_credentials=False,
            max_age=600,
        )
    app.add_middleware(RequestMiddleware, metrics=metrics, max_upload_bytes=settings.max_upload_size_mb * 2**20)
    return app
