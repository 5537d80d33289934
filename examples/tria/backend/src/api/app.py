# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ASGI application: routers, errors, middleware."""

from __future__ import annotations

from fastapi import FastAPI

from api.chatbot import chatbot_router
from api.errors import add_error_handlers
from api.health import health_router
from api.metrics import Metrics
from api.middleware import RequestMiddleware
from application import Application

VERSION = "1.0.0"


def create_app(application: Application) -> FastAPI:
    """The API over an application that has started."""
    app = FastAPI(title="Tria", version=VERSION, summary="Customer service for a packaging supplier")
    metrics = Metrics(application)
    app.include_router(health_router(application, metrics))
    app.include_router(chatbot_router(application, metrics))
    add_error_handlers(app)
    app.add_middleware(RequestMiddleware, metrics=metrics)
    return app
