# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knowledge base: the catalog in memory, searched by words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from database.repositories import Product

_STOP = set("a an and the of for with do you have i is are to how much what".split())


class KnowledgeBase:
    """Products with their words; `version` changes with any product."""

    def __init__(self, products: Sequence[Product]) -> None:
        self.products = list(products)
        self.version = hashlib.sha256(repr(self.products).encode()).hexdigest()[:16]
        self._names = [words(product.name) | words(product.sku) for product in self.products]
        self._texts = [words(f"{product.description} {product.category}") for product in self.products]

    def search(self, message: str, limit: int = 5) -> list[Product]:
        """The products that share most words with the message, best first; a word of the name counts double."""
        wanted = words(message)
        scored = [
            (2 * len(wanted & name) + len(wanted & text), -index)
            for index, (name, text) in enumerate(zip(self._names, self._texts, strict=True))
        ]
        best = sorted((score for score in scored if score[0]), reverse=True)[:limit]
        return [self.products[-index] for _score, index in best]


def words(text: str) -> set[str]:
    """The words that carry meaning, plural forms made singular."""
    found = re.findall(r"[a-z]+|\d+", text.lower())
    return {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in found} - _STOP
