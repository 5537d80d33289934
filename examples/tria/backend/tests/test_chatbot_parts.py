# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chatbot's own parts: intents, catalog search, quotes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from chatbot.intents import IntentClassifier
from chatbot.knowledge import KnowledgeBase
from chatbot.quotes import quote
from config.settings import load_settings
from database.repositories import Product
from database.seed import PRODUCTS
from test_settings import GOOD

KNOWLEDGE = KnowledgeBase([Product(*row[:4], Decimal(row[4])) for row in PRODUCTS])


@pytest.mark.parametrize(
    ("message", "intent"),
    [
        ("Hello there", "greeting"),
        ("I need to order 20 paper cups", "order"),
        ("How much do pizza boxes cost?", "pricing"),
        ("Which products do you sell?", "product"),
        ("My delivery arrived damaged, I want a refund", "complaint"),
        ("Thanks, bye", "farewell"),
        ("Lorem ipsum", "general"),
    ],
)
def test_intents(message: str, intent: str) -> None:
    found = IntentClassifier().classify(message)
    assert found.name == intent
    assert 0 <= found.confidence <= 1


def test_search_finds_by_name_first_and_nothing_for_nothing() -> None:
    assert KNOWLEDGE.search("pizza boxes", limit=2)[0].sku.startswith("BOX-PIZ")
    assert KNOWLEDGE.search("CUP-BAM-350")[0].sku == "CUP-BAM-350"
    assert KNOWLEDGE.search("submarine") == []


def test_the_version_follows_the_catalog() -> None:
    assert KnowledgeBase(KNOWLEDGE.products[:-1]).version != KNOWLEDGE.version


def test_a_quote_is_exact() -> None:
    priced = quote("order 10 x CUT-WOO-SET, 4 recycled napkins and 1 submarine", KNOWLEDGE, load_settings(GOOD))
    assert priced is not None
    assert [(quantity, product.sku) for quantity, product in priced.items] == [(10, "CUT-WOO-SET"), (4, "NAP-REC-1000")]
    assert (priced.subtotal, priced.tax, priced.total) == (Decimal("161.40"), Decimal("12.91"), Decimal("174.31"))
    assert priced.problems == []


def test_nothing_to_quote() -> None:
    assert quote("what does it cost?", KNOWLEDGE, load_settings(GOOD)) is None


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"MAX_QUANTITY_PER_ITEM": "9"}, "at most 9 of"),
        ({"MAX_ORDER_TOTAL": "50"}, "at most 50.00"),
        ({"MIN_ORDER_TOTAL": "5000"}, "at least 5000.00"),
        ({"MAX_LINE_ITEMS": "1"}, "at most 1 line items"),
    ],
)
def test_every_order_limit_is_held(limits: dict[str, str], problem: str) -> None:
    priced = quote("order 10 bamboo cups and 10 paper straws", KNOWLEDGE, load_settings({**GOOD, **limits}))
    assert priced is not None
    assert any(problem in text for text in priced.problems)
