# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that differ by a slip of the finger. Private to the collection."""

from __future__ import annotations

import typing as t

_SHORTEST = 4


class Similar:
    """An index of names: looking one up takes the time of its length, however many there are."""

    def __init__(self, names: t.Iterable[str]) -> None:
        self._names = names
        self._index: dict[str, str] | None = None

    def to(self, name: str) -> str | None:
        """A name of the index that is one edit away, or the same but for case and separators; None if there is none."""
        if self._index is None:
            self._index = {}
            for known in self._names:
                for variant in _variants(known):
                    self._index.setdefault(variant, known)
        return next((self._index[variant] for variant in _variants(name) if variant in self._index), None)


def _variants(name: str) -> list[str]:
    """The name without case and separators, and without any one of its characters."""
    plain = name.upper().replace("_", "").replace("-", "").replace(".", "")
    if len(plain) < _SHORTEST:
        return [plain]
    return [plain, *(plain[:index] + plain[index + 1 :] for index in range(len(plain)))]
