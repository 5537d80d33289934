# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that may be shown. Private to the collection."""

from __future__ import annotations

import re
import typing as t

# a name nobody declared may be a piece of a value that was torn apart; only what is written like a name is shown
_CONVENTIONAL = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\Z")
_LONGEST_WORD, _LONGEST_NAME = 15, 200
_OF_COMPOSE = ("COMPOSE_", "DOCKER_")
UNSHOWN = "(a name)"


def shown(name: str, declared: t.Container[str], after_quote: bool = False) -> str:
    """The name if it may be shown; what could be a piece of a value is not."""
    if not name or name in declared:
        return name
    if after_quote or len(name) > _LONGEST_NAME or not _CONVENTIONAL.match(name):
        return UNSHOWN
    return name if max(map(len, name.split("_"))) <= _LONGEST_WORD else UNSHOWN


def of_compose(name: str) -> bool:
    """Whether the variable is Compose's own, which no schema has to declare."""
    return name.startswith(_OF_COMPOSE)
