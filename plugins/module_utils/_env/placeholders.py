# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values that stand where a real one should be. Private to the collection.

A threshold of entropy fails both ways: it refuses one in five of `openssl rand -hex 16` and passes
`CHANGE_THIS_TO_A_RANDOM_SECRET_KEY_32`. So this looks for what placeholders are made of: words that people put at the
beginning or the end, and templates. What random generators yield has none of these.
"""

from __future__ import annotations

import re

_VENDOR = r"\A(?:[a-z]{2,4}[-_](?:[a-z]{2,5}[-_])?)?"  # sk-, phc_, sk-proj-
_MARK = re.compile(
    rf"""
    {_VENDOR} (?: (?:change[-_]?|replace[-_]) (?:me|this|it|with) (?![a-z])
                | your[-_] | placeholder | to[-_]be[-_](?:set|changed|replaced)
                | (?:put|insert|enter|add)[-_] .* (?:key|secret|password|token|value|dsn|url|here) \Z )
    | [-_] (?: change[-_]?(?:me|this|it) | placeholder | (?:key|secret|password|token|value|id)[-_]here ) \Z
    | \A (?:todo|fixme|tbd) \Z
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_TEMPLATE = re.compile(
    r"\A(?:<[\w .:-]+>|\$\{.*\}|\$\(.*\)|\{\{.*\}\}|%[A-Za-z_]\w*%|__[A-Z][A-Z0-9_]*__)\Z", re.DOTALL
)
_FILLER = re.compile(_VENDOR + r"(?:x{4,}|\*{3,}|\.{3,}|-{4,}|_{4,})\Z", re.IGNORECASE)

# as a secret only; for anything else these may well be meant
_SPOKEN = re.compile(r"\A(?:(?:change|replace|insert|enter|put)\s+(?:me|this|it|your|the)\b|your\s+\w+)", re.IGNORECASE)
_EXAMPLE_WORDS = frozenset(
    """
    a access actual admin an api auth bar changeit character characters chars client default demo dev development
    dsn dummy example fake fixme foo for go guest here id in insecure is it jwt key letmein local long me minimum
    must my new none not null of pass passw passwd password please postgres private prod production qwerty random
    real redis refresh replace root safe sample secret secretkey secure session so some string strong super tbd
    temp temporary test testing the this to todo token undefined user value very welcome with
    """.split()
)
_WORD = re.compile(r"[A-Za-z]+")


def placeholder(text: str, secret: bool) -> str | None:
    """Why `text` is taken for a placeholder, in words that show nothing of it; None if it is not."""
    if _TEMPLATE.match(text):
        return "is a template that nobody filled in"
    if _MARK.search(text):
        return "still holds a placeholder"
    if _FILLER.match(text):
        return "consists of filler characters"
    return example_words(text) if secret else None


def example_words(text: str) -> str | None:
    """As `placeholder`, for what only a secret must not be made of."""
    spoken = _SPOKEN.match(text) or _example_share(text) >= 2 / 3
    return "consists of words that examples are made of" if spoken else None


def _example_share(text: str) -> float:
    """The share of the text's letters that belongs to words of examples; digits and separators between do not count."""
    words = _WORD.findall(text)
    letters = sum(map(len, words))
    # numbers must not make up the text: a hex string may well have only an `a` for a letter
    if letters * 2 < sum(map(str.isalnum, text)):
        return 0.0
    return sum(len(word) for word in words if word.lower() in _EXAMPLE_WORDS) / letters if letters else 0.0
