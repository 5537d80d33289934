# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Order quotes: quantity and product out of a message, priced and held against the order limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from chatbot.knowledge import KnowledgeBase
from config.settings import Settings
from database.repositories import Product

_CENT = Decimal("0.01")
# "20 paper cups and 3 x BOX-PIZ-32": a number that begins a line item, and what follows up to the next separator.
_ITEM = re.compile(r"(?<![\w-])(\d{1,9})\s*(?:x\s+)?((?:(?!\band\b)[^,;.\d])(?:(?!\band\b)[^,;.])*)", re.IGNORECASE)


@dataclass(frozen=True)
class Quote:
    """Line items as (quantity, product), the sums, and why it cannot be ordered (empty when it can)."""

    items: list[tuple[int, Product]]
    subtotal: Decimal
    tax: Decimal
    total: Decimal
    problems: list[str]

    def as_dict(self) -> dict[str, Any]:
        return {
            "items": [{"sku": product.sku, "quantity": quantity} for quantity, product in self.items],
            "subtotal": float(self.subtotal),
            "tax": float(self.tax),
            "total": float(self.total),
            "problems": self.problems,
        }


def quote(message: str, knowledge: KnowledgeBase, settings: Settings) -> Quote | None:
    """A quote for the quantities in the message, None when it asks for nothing that the catalog has."""
    items = []
    for quantity, what in _ITEM.findall(message):
        found = knowledge.search(what, limit=1)
        if found and int(quantity):
            items.append((int(quantity), found[0]))
    if not items:
        return None
    subtotal = sum((quantity * product.unit_price for quantity, product in items), Decimal(0))
    tax = (subtotal * Decimal(str(settings.tax_rate))).quantize(_CENT, ROUND_HALF_UP)
    return Quote(items, subtotal, tax, subtotal + tax, _problems(items, float(subtotal + tax), settings))


def _problems(items: list[tuple[int, Product]], total: float, settings: Settings) -> list[str]:
    problems = [
        f"at most {settings.max_quantity_per_item} of {product.sku} can be ordered at once"
        for quantity, product in items
        if quantity > settings.max_quantity_per_item
    ]
    if len(items) > settings.max_line_items:
        problems.append(f"an order has at most {settings.max_line_items} line items")
    if total > settings.max_order_total:
        problems.append(f"an order is at most {settings.max_order_total:.2f}")
    if total < settings.min_order_total:
        problems.append(f"an order is at least {settings.min_order_total:.2f}")
    return problems
