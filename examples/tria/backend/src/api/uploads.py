# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads: in, listed, out, deleted; and the state of the storage."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from api.security import UNAUTHORIZED, Gate, Signed
from application import Application
from database.accounts import add_content, delete_content, find_content, list_contents
from database.personal_data import as_content, key_of
from storage.base import CHUNK, Upload
from storage.types import HEAD_BYTES, FileRefused, checked_name, content_type_of

_TITLE_LENGTH = 200
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "title": {"type": "string", "maxLength": _TITLE_LENGTH},
                    },
                }
            }
        },
    }
}
_UPLOAD_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"description": "The form is malformed"},
    413: {"description": "The file is too large"},
    415: {"description": "The file's type is not allowed, or its content is not what its name says"},
    422: {"description": "No file, or its name is not a plain name"},
    502: {"description": "The storage failed"},
}
_MISSING: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such content of this account"}}


class Content(BaseModel):
    """An upload; `size` in bytes, `url` where its bytes are."""

    id: str
    title: str
    filename: str
    content_type: str
    size: int
    sha256: str
    storage_backend: str
    created_at: str
    url: str


class Contents(BaseModel):
    """A page of uploads, the newest first; `total` counts all of them."""

    items: list[Content]
    total: int
    limit: int
    offset: int


async def receive(application: Application, signed: Signed, request: Request) -> dict[str, Any]:
    """Check the form's file and store it; returns its row."""
    limit = application.settings.max_upload_size_mb * 2**20
    async with request.form(max_files=1, max_fields=4) as form:
        file, title = form.get("file"), form.get("title", "")
        if not isinstance(file, UploadFile):
            raise FileRefused(422, "file_missing", "a form field `file` with a file is needed")
        name = checked_name(file.filename)
        if not isinstance(title, str) or len(title) > _TITLE_LENGTH or not title.isprintable():
            raise FileRefused(422, "invalid_title", f"a title is at most {_TITLE_LENGTH} printable characters")
        size = file.size or 0
        if size > limit:
            raise FileRefused(413, "too_large", f"at most {application.settings.max_upload_size_mb} MB")
        if not size:
            raise FileRefused(422, "empty_file", "the file is empty")
        head = await file.read(HEAD_BYTES)
        content_type = content_type_of(name, head)
        upload = Upload(file.file, size, await asyncio.to_thread(_digest, file.file), content_type)
        return await _store(application, signed, upload, name, title.strip() or name)


async def _store(application: Application, signed: Signed, upload: Upload, name: str, title: str) -> dict[str, Any]:
    storage, content_id = application.storage.active, uuid.uuid4()
    key = key_of(content_id)
    await storage.put(key, upload)
    try:
        return await add_content(application.engine, {
            "id": content_id, "user_id": signed.user.id, "title": title, "filename": name,
            "content_type": upload.content_type, "size": upload.size, "sha256": upload.sha256,
            "storage_backend": storage.name,
        })
    except BaseException:
        # An object that no row knows of would never be found again.
        await storage.delete(key)
        raise


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def uploads_router(application: Application, gate: Gate) -> APIRouter:
    """POST /upload, /contents..."""
    router = APIRouter(tags=["contents"], responses=UNAUTHORIZED)
    signed_in = Depends(gate.required())

    async def mine(content_id: uuid.UUID, signed: Signed = signed_in) -> dict[str, Any]:
        row = await find_content(application.engine, signed.user, content_id)
        if row is None:
            raise HTTPException(404, "there is no such content")
        return row

    content = Depends(mine)

    # The form is read in here, not by a parameter: nothing is received from whoever has no token.
    @router.post("/upload", status_code=201, response_model=Content, responses=_UPLOAD_RESPONSES, openapi_extra=_FORM)
    async def upload(request: Request, signed: Signed = signed_in) -> dict[str, Any]:
        """Upload a file: its size, name and type are checked, the type by its first bytes."""
        limit = application.settings.rate_limit_upload_per_minute
        await application.limiter.take("upload", str(signed.user.id), limit)
        row = await receive(application, signed, request)
        application.analytics.record("file uploaded", signed.user.id, size=row["size"], type=row["content_type"])
        return as_content(row)

    @router.get("/contents", response_model=Contents)
    async def contents(signed: Signed = signed_in, limit: Annotated[int, Query(ge=1, le=100)] = 20,
                       offset: Annotated[int, Query(ge=0, le=10**6)] = 0) -> dict[str, Any]:
        """What the account has uploaded."""
        rows, total = await list_contents(application.engine, signed.user, limit, offset)
        return {"items": [as_content(row) for row in rows], "total": total, "limit": limit, "offset": offset}

    @router.get("/contents/{content_id}", response_model=Content, responses=_MISSING)
    async def one(row: dict[str, Any] = content) -> dict[str, Any]:
        """One upload's description."""
        return as_content(row)

    @router.get("/contents/{content_id}/file", response_class=StreamingResponse, responses=_MISSING)
    async def download(row: dict[str, Any] = content) -> StreamingResponse:
        """One upload's bytes, to be saved, never to be shown by a browser as part of this site."""
        chunks = application.storage.named(row["storage_backend"]).get(key_of(row["id"]))
        # A missing object shows at the first chunk, while there still is a status to say so with.
        first = await anext(chunks)
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(row['filename'])}",
            "Content-Length": str(row["size"]),
            "ETag": f'"{row["sha256"]}"',
        }
        return StreamingResponse(_from(first, chunks), media_type=row["content_type"], headers=headers)

    @router.delete("/contents/{content_id}", status_code=204, responses=_MISSING)
    async def remove(row: dict[str, Any] = content) -> None:
        """Delete an upload, the file first: what fails can be tried again."""
        await application.storage.named(row["storage_backend"]).delete(key_of(row["id"]))
        await delete_content(application.engine, row["id"])

    return router


async def _from(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def storage_router(application: Application) -> APIRouter:
    """GET /storage/status."""
    router = APIRouter(tags=["contents"])

    @router.get("/storage/status")
    async def status() -> dict[str, Any]:
        """Which backend takes uploads, and how each configured one is."""
        return await application.storage.status()

    return router
