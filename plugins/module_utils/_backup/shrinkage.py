# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A dump that is suddenly much smaller than the last one: data may be gone. Private to the collection."""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils._backup.manifest import Manifest
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def require_sane(min_size_ratio: float) -> None:
    """Raises `ProductionError` for a ratio that none is."""
    if not 0 <= min_size_ratio <= 1:
        raise ProductionError("min_size_ratio", f"is {min_size_ratio:g}.", "Use 0 to 1; 0 compares nothing.")


def refuse(made: Manifest, siblings: list[Manifest], min_size_ratio: float, source: str) -> None:
    """Raises `ProductionError` when `made` has less than `min_size_ratio` of the newest verified one of `siblings`.

    `siblings` are the backups of the same database, oldest first. What is compared is what pg_dump wrote, before it was
    compressed: how well that compresses says nothing about how much it holds. In directory format, only pg_dump knows
    that; there, the sizes of dumps of the same compression are compared.
    """
    like = [each for each in siblings if each.verified != "none" and _kind(each) == _kind(made)]
    if not like or _size(made) >= min_size_ratio * _size(like[-1]):
        return
    last = like[-1]
    raise ProductionError(
        source,
        f"the dump has only {_size(made) / _size(last):.0%} of what the last backup has, {last.dump.file}:"
        f" {_size(made)} bytes instead of {_size(last)}{'' if made.parts else ', before compression'}."
        " Nothing was published.",
        "See what is missing from the database. When it was deleted on purpose, run once with min_size_ratio=0.",
        dump_bytes=_size(made),
        last_dump_bytes=_size(last),
    )


def _kind(record: Manifest) -> str:
    return f"directory, {record.compression}" if record.parts else "custom"


def _size(record: Manifest) -> int:
    return record.dump.size_bytes if record.archive_bytes is None else record.archive_bytes
