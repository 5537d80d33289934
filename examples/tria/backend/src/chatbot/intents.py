# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Intent classifier: what a message is about, by weighted words."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORDS = {
    "greeting": {"hello": 2, "hi": 2, "hey": 2, "good": 1, "morning": 1, "evening": 1},
    "order": {"order": 3, "buy": 3, "purchase": 3, "need": 2, "want": 2, "send": 1, "deliver": 1},
    "pricing": {"price": 3, "prices": 3, "cost": 3, "costs": 3, "much": 2, "cheap": 2, "tax": 2, "discount": 2},
    "product": {"product": 2, "products": 3, "catalog": 3, "sell": 2, "have": 1, "available": 2, "size": 1},
    "complaint": {"broken": 3, "wrong": 2, "late": 2, "refund": 3, "complaint": 3, "damaged": 3},
    "farewell": {"bye": 3, "goodbye": 3, "thanks": 2, "thank": 2},
}


@dataclass(frozen=True)
class Intent:
    """A label and how sure the classifier is, 0..1."""

    name: str
    confidence: float


class IntentClassifier:
    """Scores each intent by the words of the message; `general` when none is hit."""

    def classify(self, message: str) -> Intent:
        words = re.findall(r"[a-z]+", message.lower())
        scores = {name: sum(weights.get(word, 0) for word in words) for name, weights in _WORDS.items()}
        best = max(scores, key=lambda name: scores[name])
        if not scores[best]:
            return Intent("general", 0.0)
        return Intent(best, round(scores[best] / sum(scores.values()), 2))
