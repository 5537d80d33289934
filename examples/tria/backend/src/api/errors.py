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
from security.rate_limits import RateLimited
from storage.base import ObjectMissing, StorageError
from storage.types import FileRefused

_log = logging.getLogger("request")


def _answer(status: int, error: str, message: str, **headers: str) -> JSONResponse:
    return JSONResponse({"error": error, "message": message}, status, headers=headers or None)


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    # The input is not echoed: it may be long, or text that JSON cannot carry.
    detail = [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in error.errors()]
    return JSONResponse({"error": "invalid_request", "message": "the request is invalid", "detail": detail}, 422)


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    names = {401: "unauthorized", 413: "too_large"}
    body = {"error": names.get(error.status_code, "http_error"), "message": error.detail}
    return JSONResponse(body, error.status_code, headers=error.headers)


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
    return redis_unavailable(error)


def redis_unavailable(error: RedisError) -> JSONResponse:
    """503, and a line in the log."""
    _log.error("redis: %s", error)
    return _answer(503, "redis_unavailable", "Redis is not available", **{"Retry-After": "5"})


async def _limited(request: Request, error: RateLimited) -> JSONResponse:
    return rate_limited(error)


def rate_limited(error: RateLimited) -> JSONResponse:
    """429, and when to come back."""
    headers = {"X-RateLimit-Limit": str(error.limit), "X-RateLimit-Remaining": "0"}
    return _answer(429, "rate_limited", str(error), **headers, **{"Retry-After": str(error.retry_after)})


async def _refused(request: Request, error: FileRefused) -> JSONResponse:
    return _answer(error.status, error.error, str(error))


async def _storage(request: Request, error: StorageError) -> JSONResponse:
    if isinstance(error, ObjectMissing):
        _log.error("storage lost an object: %s", error)
        return _answer(404, "content_lost", "the storage does not have this file any more")
    _log.error("storage: %s", error)
    return _answer(502, "storage_failed", "the storage could not do this")


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
        RateLimited: _limited,
        FileRefused: _refused,
        StorageError: _storage,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
