# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a release once it ran. Private to the collection."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic, _docker
from ansible_collections.tria.production.plugins.module_utils._releases import retention, store


def commit(
    releases: store.Releases, release: str, engine: t.Any, keep: int, by: store.By, found: dict[str, t.Any]
) -> dict[str, list[str]]:
    """Switch `current` to a release that passed every gate; returns what retention removed.

    `found` are those of `store.KEPT` that this run knows; the others stay as they are.
    """
    images = releases.record(release)["images"]
    image_ids = {name: _docker.image_id(engine, image) for name, image in images.items()}
    releases.note(release, store.GOOD, by, **{**_migrated(releases, release), **found, "image_ids": image_ids})
    releases.make_current(release)
    return retention.prune(releases, keep, engine)


def _migrated(releases: store.Releases, release: str) -> dict[str, t.Any]:
    """The migrations that ran for this release, as the rollout that is not over yet wrote them down."""
    journal = releases.journal()
    if journal.get("release") != release or not journal.get("migrations"):
        return {}
    return {"migrations": [one for plan in journal["migrations"].values() for one in plan["pending"]]}


def fail(releases: store.Releases, release: str, by: store.By, why: str) -> None:
    """Record that a release did not pass, and why; if it was current already, the last good one before it is again."""
    releases.note(release, store.FAILED, by, why)
    if releases.current() == release:
        before = releases.last_good_before(release)
        if before:
            releases.make_current(before)
        else:
            os.unlink(releases.link)
            _atomic.sync_folder(releases.root)
