# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Customer service agent: brings intent, catalog, quote and history together into one answer."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from cache.answers import AnswerCache
from cache.sessions import SessionManager
from chatbot.intents import Intent, IntentClassifier
from chatbot.knowledge import KnowledgeBase
from chatbot.openai_client import OpenAIClient
from chatbot.quotes import Quote, quote
from config.settings import Settings
from database.repositories import Product, record_turn

_ROLE = (
    "You are the customer service of Tria, a supplier of packaging for restaurants. Answer briefly and friendly, "
    "only from the catalog and the quote below. Say so when the catalog does not have what is asked for."
)


class CustomerServiceAgent:
    """Answers one message at a time; conversations are kept in Redis while they run and in PostgreSQL for good."""

    def __init__(self, settings: Settings, engine: AsyncEngine, openai: OpenAIClient, knowledge: KnowledgeBase,
                 classifier: IntentClassifier, answers: AnswerCache, sessions: SessionManager) -> None:
        self._settings = settings
        self._engine = engine
        self._openai = openai
        self._knowledge = knowledge
        self._classifier = classifier
        self._answers = answers
        self._sessions = sessions

    async def answer(self, message: str, user_id: str) -> dict[str, Any]:
        """{response, intent, confidence, products, quote, conversation_id, user_id, model, cached}."""
        session = await self._sessions.open(user_id)
        content = None if session.history else await self._answers.get(message)
        cached = content is not None
        if content is None:
            content = await self._compose(message, session.history)
            if not session.history:
                await self._answers.put(message, content)
        await record_turn(self._engine, session.conversation_id, user_id, message, content["response"])
        await self._sessions.append(user_id, session, message, content["response"])
        return {
            **content,
            "conversation_id": str(session.conversation_id),
            "user_id": user_id,
            "model": self._openai.model,
            "cached": cached,
        }

    async def _compose(self, message: str, history: list[dict[str, str]]) -> dict[str, Any]:
        intent = self._classifier.classify(message)
        products = self._knowledge.search(message)
        priced = quote(message, self._knowledge, self._settings) if intent.name in ("order", "pricing") else None
        prompt = _instructions(intent, products or self._knowledge.products, priced)
        text = await self._openai.complete([prompt, *history, {"role": "user", "content": message}])
        return {
            "response": text,
            "intent": intent.name,
            "confidence": intent.confidence,
            "products": [
                {"sku": product.sku, "name": product.name, "unit_price": float(product.unit_price)}
                for product in products
            ],
            "quote": priced.as_dict() if priced else None,
        }


def _instructions(intent: Intent, products: list[Product], priced: Quote | None) -> dict[str, str]:
    lines = [_ROLE, f"The customer's intent: {intent.name}.", "Catalog:"]
    lines += [
        f"- {product.sku}: {product.name}, {product.unit_price:.2f}. {product.description}." for product in products
    ]
    if priced:
        lines.append(f"Quote: subtotal {priced.subtotal:.2f}, tax {priced.tax:.2f}, total {priced.total:.2f}.")
        lines += [f"It cannot be ordered: {problem}." for problem in priced.problems]
    return {"role": "system", "content": "\n".join(lines)}
