# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups are no longer kept. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup.manifest import Manifest


def expired(
    backups: list[Manifest], keep_last: int, newest: str, keep_labels: t.Collection[str] = ()
) -> list[Manifest]:
    """Those of `backups` (oldest first, of one database) that are older than its `keep_last` newest verified ones.

    A backup whose label is one of `keep_labels` is as good as pinned. Only verified, unpinned backups count, so that a
    pinned or an unverified one never pushes a good one out; while there are fewer than `keep_last` of them, nothing
    expires. `newest` is the dump just made: it counts as the newest even when the clock was set back and its date says
    that it is old.
    """
    loose = (each for each in backups if not each.pinned and each.label not in keep_labels)
    unpinned = sorted(loose, key=lambda each: each.dump.file == newest)
    counted = [place for place, each in enumerate(unpinned) if each.verified != "none"]
    return unpinned[: counted[-keep_last]] if len(counted) >= keep_last else []
