# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that differ by a slip of the finger. Private to the collection."""

from __future__ import annotations

import typing as t

_SHORTEST, _LONGEST = 4, 64  # characters of a name that may have a slip in it
_MOST = 10_000  # names that an index of slips is made for: it holds some twenty entries for each


class Similar:
    """An index of names: looking one up takes the time of its length, however many there are.

    Of more than 10,000 names only those are found that differ in case and separators.
    """

    def __init__(self, names: t.Iterable[str]) -> None:
        self._names = tuple(names)
        self._slips = len(self._names) <= _MOST
        self._index: dict[str, str] | None = None

    def to(self, name: str) -> str | None:
        """A name of the index that is one edit away, or the same but for case and separators; None if there is none."""
        if self._index is None:
            self._index = {}
            for known in self._names:
                for variant in _variants(known, self._slips):
                    self._index.setdefault(variant, known)
        variants = _variants(name, self._slips)
        return next((self._index[variant] for variant in variants if variant in self._index), None)


def _variants(name: str, slips: bool) -> list[str]:
    """The name without case and separators and, for `slips`, also without any one of its characters."""
    plain = name.upper().replace("_", "").replace("-", "").replace(".", "")
    if not slips or not _SHORTEST <= len(plain) <= _LONGEST:
        return [plain]
    return [plain, *(plain[:index] + plain[index + 1 :] for index in range(len(plain)))]
