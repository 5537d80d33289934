# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading the catalog, recording conversations."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from database.tables import catalog, conversations, messages


@dataclass(frozen=True)
class Product:
    """One line of the catalog."""

    sku: str
    name: str
    description: str
    category: str
    unit_price: Decimal


async def load_catalog(engine: AsyncEngine) -> list[Product]:
    """All products, by SKU."""
    async with engine.connect() as connection:
        rows = await connection.execute(select(catalog).order_by(catalog.c.sku))
        return [Product(**row) for row in rows.mappings()]


async def record_turn(
    engine: AsyncEngine, conversation_id: uuid.UUID, user_id: str, question: str, answer: str
) -> None:
    """Store a question and its answer in one transaction; the conversation is created by its first turn."""
    turn = [("user", question), ("assistant", answer)]
    async with engine.begin() as connection:
        await connection.execute(
            upsert(conversations).values(id=conversation_id, user_id=user_id).on_conflict_do_nothing()
        )
        for role, content in turn:
            await connection.execute(
                insert(messages).values(id=uuid.uuid4(), conversation_id=conversation_id, role=role, content=content)
            )
