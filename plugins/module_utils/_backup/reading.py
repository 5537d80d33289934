# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a dump back with the server's own pg_restore. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import archive
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_LIST_BYTES = 64 << 20  # of a table of contents: some 600,000 entries


class Collector:
    """Output that is small by nature, and refused when it is not."""

    def __init__(self, limit: int = _LIST_BYTES) -> None:
        self._limit = limit
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > self._limit:
            raise ProductionError(
                "PostgreSQL's client", f"printed more than {self._limit} bytes.", "Report this as a bug."
            )


def contents(
    server: Server, argv: list[str], deadline: Deadline, feed: t.Iterator[bytes] | None = None
) -> archive.Contents:
    """What `argv`, a `pg_restore --list`, prints of a dump.

    Raises `archive.Damaged` when that is no table of contents, `ProductionError` when pg_restore refuses the dump.
    """
    listing = Collector()
    server.run(argv, deadline, feed=feed, sink=listing.write)
    return archive.parse_list(listing.data.decode("utf-8", "replace"))


def fed_to(source: Server, argv: list[str], feed: t.Iterator[bytes], deadline: Deadline, failure: str) -> None:
    """Feeds a dump to `argv`; raises `ProductionError` beginning with `failure`, or `archive.Damaged`."""
    try:
        source.run(argv, deadline, feed=feed)
    except ProductionError as exc:
        for _chunk in feed:
            continue  # a damaged file is the better explanation
        raise ProductionError(exc.culprit, f"{failure}: {exc.cause}", exc.remedy, **exc.details) from exc
