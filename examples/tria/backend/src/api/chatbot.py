# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chatbot route."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response
from pydantic import AfterValidator, BaseModel, StringConstraints

from api.metrics import Metrics
from api.security import UNREADABLE, Gate, Signed
from application import Application


def _storable(text: str) -> str:
    """Refuse what PostgreSQL and UTF-8 cannot hold: NUL, half surrogate pairs."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be text without NUL or unpaired surrogates")
    return text


class Question(BaseModel):
    """A customer's message."""

    message: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), AfterValidator(_storable)
    ]
    user_id: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][\w.@:+-]*$")]


class Item(BaseModel):
    """A line of a quote."""

    sku: str
    quantity: int


class QuoteModel(BaseModel):
    """What an order would cost; `problems` is empty when it can be ordered."""

    items: list[Item]
    subtotal: float
    tax: float
    total: float
    problems: list[str]


class ProductModel(BaseModel):
    """A product that the answer refers to."""

    sku: str
    name: str
    unit_price: float


class Answer(BaseModel):
    """The chatbot's answer. `cached` says that the text was computed for an earlier, equal question."""

    response: str
    intent: str
    confidence: float
    products: list[ProductModel]
    quote: QuoteModel | None
    conversation_id: str
    user_id: str
    model: str
    cached: bool


IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$",
           description="The same key with the same body gives the same answer, computed once"),
]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    **UNREADABLE,
    401: {"description": "An access token was sent that is not valid"},
    409: {"description": "The first request with this Idempotency-Key is still running"},
    413: {"description": "The body is too large"},
    422: {"description": "The body is invalid, or the Idempotency-Key was used with another body"},
    429: {"description": "Too many requests; Retry-After says in how many seconds to try again"},
    502: {"description": "The language model could not answer"},
    503: {"description": "The database or Redis is not available"},
}


def chatbot_router(application: Application, metrics: Metrics, gate: Gate) -> APIRouter:
    """POST /api/chatbot."""
    router = APIRouter(prefix="/api", tags=["chatbot"])
    maybe_signed_in = Depends(gate.optional())

    @router.post("/chatbot", response_model=Answer, responses=_RESPONSES)
    async def chatbot(question: Question, response: Response, idempotency_key: IdempotencyKey = None,
                      signed: Signed | None = maybe_signed_in) -> dict[str, Any]:
        """Answer a customer's message. With an access token the conversation belongs to its account."""
        owner = signed.user.conversation_owner if signed else question.user_id

        async def compute() -> dict[str, Any]:
            answer = await application.agent.answer(question.message, owner)
            metrics.intents.labels(answer["intent"]).inc()
            return {**answer, "user_id": question.user_id}

        if idempotency_key is None:
            return await compute()
        answer, replayed = await application.idempotency.once(
            owner if signed else "chatbot", idempotency_key, question.model_dump(), compute
        )
        metrics.idempotency.labels("replayed" if replayed else "computed").inc()
        response.headers["Idempotency-Replayed"] = str(replayed).lower()
        return answer

    return router
