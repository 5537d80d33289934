# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases and images that are no longer kept. Private to the collection."""

from __future__ import annotations

import os
import shutil
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import staging, store

_IN_USE = 409  # HTTP status with which the Engine keeps an image that some container has under another name


def prune(releases: store.Releases, keep: int, engine: t.Any) -> dict[str, list[str]]:
    """Remove all but the newest `keep` releases, and the images that only those had: {removed, removed_images}.

    Never the current release, the last good one before it, one that the journal names, or one whose files a container
    has mounted. Of images only those that were built for the project here, or that a deploy pulled by digest.
    """
    staging.sweep(releases)
    current, journal = releases.current(), releases.journal()
    spared = {current, journal.get("release"), journal.get("previous"), *_mounted(releases, engine)}
    spared.add(releases.last_good_before(current) if current else next(iter(releases.good()), ""))
    old = [name for name in releases.names()[keep:] if name not in spared]
    candidates = {image for name in old for image in _removable_images(releases, name)}
    for name in old:
        shutil.rmtree(releases.path(name))
    return {"removed": old, "removed_images": _remove_images(releases, candidates, engine)}


def _mounted(releases: store.Releases, engine: t.Any) -> set[str]:
    """The releases whose folder some container has a file of."""
    sources = [mount.get("Source", "") for each in engine.containers(all=True) for mount in each.get("Mounts") or []]
    return {name for name in releases.names() if any(each.startswith(releases.path(name) + os.sep) for each in sources)}


def _removable_images(releases: store.Releases, release: str) -> set[str]:
    record = _read(releases, release)
    images = set(record.get("images", {}).values())
    built = {image for image in images if image.startswith(f"{record['project']}/")}
    return built | images.intersection(record.get("digests", {}).values())


def _remove_images(releases: store.Releases, candidates: set[str], engine: t.Any) -> list[str]:
    docker = _deps.load("docker")
    used = {each.get("Image") for each in engine.containers(all=True)}
    for name in releases.names():
        record = _read(releases, name)
        if not record:
            return []  # nobody knows which images it needs
        used.update(record["images"].values())
    removed = []
    for image in sorted(candidates - used):
        try:
            engine.remove_image(image)
            removed.append(image)
        except docker.errors.ImageNotFound:
            continue
        except docker.errors.APIError as exc:
            if exc.status_code != _IN_USE:
                raise ProductionError(image, f"cannot be removed: {exc.explanation}.", "Remove it by hand.") from exc
    return removed


def _read(releases: store.Releases, release: str) -> dict[str, t.Any]:
    """The record of a release, empty when it is damaged."""
    try:
        return releases.record(release)
    except ProductionError:
        return {}
