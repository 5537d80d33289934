# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rights of data subjects: be informed, have one's data, have them erased."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from api.security import UNAUTHORIZED, Gate, Signed
from application import Application


class Erased(BaseModel):
    """How many of what were erased."""

    deleted: bool
    account: int
    contents: int
    conversations: int
    messages: int


def gdpr_router(application: Application, gate: Gate) -> APIRouter:
    """/gdpr/..."""
    router = APIRouter(prefix="/gdpr", tags=["gdpr"])
    signed_in = Depends(gate.required())

    @router.get("/privacy-policy")
    async def privacy_policy() -> dict[str, Any]:
        """What is stored, why, for how long, who receives it, and which rights there are."""
        return _policy(application)

    @router.get("/data-summary", responses=UNAUTHORIZED)
    async def data_summary(signed: Signed = signed_in) -> dict[str, Any]:
        """How much is stored about the account."""
        document = await application.personal_data.export(signed.user)
        return {
            "account": document["account"],
            "contents": len(document["contents"]),
            "conversations": len(document["conversations"]),
            "messages": sum(len(conversation["messages"]) for conversation in document["conversations"]),
        }

    @router.get("/export-data", responses=UNAUTHORIZED)
    async def export_data(signed: Signed = signed_in) -> dict[str, Any]:
        """Everything that is stored about the account; files are at the `url` of each content."""
        return await application.personal_data.export(signed.user)

    @router.delete("/delete-data", response_model=Erased,
                   responses={**UNAUTHORIZED, 502: {"description": "The storage failed; nothing but files is gone"}})
    async def delete_data(signed: Signed = signed_in) -> dict[str, Any]:
        """Erase the account and everything that belongs to it. Its tokens are not accepted any more."""
        counts = await application.personal_data.erase(signed.user)
        await application.tokens.revoke(signed.token)
        return {"deleted": True, **counts}

    return router


def _policy(application: Application) -> dict[str, Any]:
    settings = application.settings
    recipients = ["OpenAI, or the compatible service that the operator configured: messages to the chatbot"]
    if settings.storage_backend != "local":
        recipients.append(f"the operator's {settings.storage_backend} storage: uploaded files")
    if application.errors.active:
        recipients.append("Sentry: error reports, without request bodies or account data")
    if application.analytics.active:
        recipients.append("PostHog: events with an account number, without names")
    return {
        "version": "1.0",
        "controller": "the operator of this installation",
        "purpose": "to answer questions and orders, and to keep files for their owner",
        "legal_basis": "Art. 6 (1) (b) GDPR: performance of a contract",
        "data": {
            "account": "user name, a hash of the password, time of creation",
            "contents": "files, their names and titles",
            "conversations": "messages to the chatbot and its answers",
            "logs": "method, path, status and time of requests, without addresses of clients",
        },
        "retention": {
            "account": "until it is deleted; demo accounts for a day",
            "contents": "until they or the account are deleted",
            "conversations": "until the account is deleted",
            "running_conversation": "30 minutes after its last message, in Redis",
            "idempotency_keys": f"{settings.idempotency_ttl} seconds, in Redis",
        },
        "recipients": recipients,
        "rights": {
            "access and portability (Art. 15, 20)": "GET /gdpr/export-data",
            "erasure (Art. 17)": "DELETE /gdpr/delete-data",
        },
    }
