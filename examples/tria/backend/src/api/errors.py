# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong, as JSON of one shape: {error, message}, and `detail` for invalid requests."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from cache.idempotency import KeyReused, StillRunning
from chatbot.openai_client import OpenAIError
from production.startup_orchestrator import describe

_log = logging.getLogger("request")


def _answer(status: int, error: str, message: str, **headers: str) -> JSONResponse:
    return JSONResponse({"error": error, "message": message}, status, headers=headers or None)


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    # The input is not echoed: it may be long, or text that JSON cannot carry.
    detail = [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in error.errors()]
    return JSONResponse({"error": "invalid_request", "message": "the request is invalid", "detail": detail}, 422)


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse({"error": "http_error", "message": error.detail}, error.status_code, headers=error.headers)


async def _reused(request: Request, error: KeyReused) -> JSONResponse:
    return _answer(422, "idempotency_key_reused", "this Idempotency-Key was used before with another request body")


async def _running(request: Request, error: StillRunning) -> JSONResponse:
    headers = {"Retry-After": "1"}
    return _answer(409, "request_in_progress", "the first request with this Idempotency-Key still runs", **headers)


async def _model(request: Request, error: OpenAIError) -> JSONResponse:
    _log.error("openai: %s", error)
    return _answer(502, "model_failed", "the language model could not answer")


async def _database(request: Request, error: SQLAlchemyError) -> JSONResponse:
    _log.error("database: %s", describe(error))
    return _answer(503, "database_unavailable", "the database is not available", **{"Retry-After": "5"})


async def _redis(request: Request, error: RedisError) -> JSONResponse:
    _log.error("redis: %s", error)
    return _answer(503, "redis_unavailable", "Redis is not available", **{"Retry-After": "5"})


def add_error_handlers(app: FastAPI) -> None:
    """Give every failure its status and shape."""
    handlers: dict[type[Exception], Any] = {
        RequestValidationError: _invalid,
        HTTPException: _http,
        KeyReused: _reused,
        StillRunning: _running,
        OpenAIError: _model,
        SQLAlchemyError: _database,
        RedisError: _redis,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
