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

    `siblings` are the backups of the same database, oldest first. The archives inside the files are compared, as pg_dump
    wrote them: how well they compress says nothing about how much they hold.
    """
    verified = [each for each in siblings if each.verified != "none"]
    if not verified or made.archive_bytes >= min_size_ratio * verified[-1].archive_bytes:
        return
    last = verified[-1]
    raise ProductionError(
        source,
        f"the dump has only {made.archive_bytes / last.archive_bytes:.0%} of what the last backup has, {last.dump.file}:"
        f" {made.archive_bytes} bytes instead of {last.archive_bytes}, before compression. Nothing was published.",
        "See what is missing from the database. When it was deleted on purpose, run once with min_size_ratio=0.",
        archive_bytes=made.archive_bytes,
        last_archive_bytes=last.archive_bytes,
    )
