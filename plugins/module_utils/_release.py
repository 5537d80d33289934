# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases on a host: planned, staged, made current, marked failed, forgotten. Private to the collection.

`<root>/releases/<id>/` holds the project's files, `compose.release.yaml` (pinned images), `.env` (0600) and
`release.json` (the record). `<root>/current` is a link that is switched by rename.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
import tarfile
import tempfile
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic, _compose, _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

OVERLAY = "compose.release.yaml"
ENV_FILE = ".env"
RECORD = "release.json"
FORMAT = 1  # part of every content hash: raise it when the same inputs give another release


@dataclasses.dataclass
class Desired:
    """What a deploy wants on a host."""

    project: str
    compose: dict[str, t.Any]
    compose_files: list[str]
    profiles: list[str]
    source_sha256: str
    contexts: dict[str, str]
    base_images: dict[str, str]
    env_content: str = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        self.compose = _compose.interpolated(self.compose, self.project, self.env_content)

    def images(self) -> tuple[dict[str, str], list[dict[str, t.Any]]]:
        return _compose.plan_images(self.project, self.compose, self.profiles, self.contexts, self.base_images)

    def content_hash(self) -> str:
        """The hash of everything that goes into the release."""
        inputs = [FORMAT, self.project, self.compose_files, self.profiles, self.source_sha256, self.images()[0]]
        return _compose.content_hash([*inputs, _compose.content_hash(self.env_content)])


class Releases:
    """The releases below one root folder."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.folder = os.path.join(root, "releases")
        self.link = os.path.join(root, "current")

    def path(self, release: str) -> str:
        return os.path.join(self.folder, release)

    def current(self) -> str:
        """The ID of the current release, empty when there is none."""
        return os.path.basename(os.readlink(self.link)) if os.path.islink(self.link) else ""

    def record(self, release: str) -> dict[str, t.Any]:
        """The record of a release; raises `ProductionError` when it is missing or damaged."""
        path = os.path.join(self.path(release), RECORD)
        try:
            with open(path, encoding="utf-8") as stream:
                return dict(json.load(stream))
        except (OSError, ValueError, TypeError) as exc:
            remedy = f"If it is the current release, remove the link {self.link}. Then deploy again: a new release replaces it."
            raise ProductionError(path, f"cannot be read: {exc}.", remedy) from exc

    def write_record(self, record: dict[str, t.Any]) -> None:
        path = os.path.join(self.path(record["id"]), RECORD)
        _atomic.write_file(path, json.dumps(record, indent=2, sort_keys=True) + "\n", 0o600)

    def plan(self, desired: Desired, engine: t.Any) -> dict[str, t.Any]:
        """What a deploy would do: `action` is `none`, `start` (same release, not all of it runs) or `deploy`.

        `engine` is a Docker API client, or None when the host has no Engine yet.
        """
        images, builds = desired.images()
        current = self.current()
        unchanged = bool(current) and self.record(current).get("content_hash") == desired.content_hash()
        reasons = not_running(engine, desired, images) if unchanged else [_change(self, current, images)]
        action = "deploy" if not unchanged else "start" if reasons else "none"
        release = current if unchanged else f"{_now():%Y%m%dT%H%M%SZ}-{desired.content_hash()[:12]}"
        return {
            "action": action,
            "reasons": reasons,
            "release": release,
            "path": self.path(release),
            "current": current,
            "current_path": self.path(current) if current else "",
            "current_record": self.record(current) if current else {},
            "images": images,
            "build": [build for build in builds if engine is None or not _docker.image_id(engine, build["image"])],
            "targets": _compose.container_targets(desired.project, desired.compose, desired.profiles),
        }

    def is_staged(self, release: str) -> bool:
        """Whether the release's folder is there; it is never there in part."""
        return os.path.isdir(self.path(release))

    def stage(self, release: str, desired: Desired, archive: str, offline: bool) -> None:
        """Write a release's folder, whole or not at all, and remove the archive. Raises `ProductionError`, `OSError`."""
        path = self.path(release)
        os.makedirs(self.folder, mode=0o750, exist_ok=True)
        partial = tempfile.mkdtemp(prefix=".partial-", dir=self.folder)
        try:
            _extract(archive, partial)
            images = desired.images()[0]
            overlay = json.dumps(_compose.release_overlay(images, offline), indent=2)
            _atomic.write_file(os.path.join(partial, OVERLAY), overlay + "\n", 0o644)
            _atomic.write_file(os.path.join(partial, ENV_FILE), desired.env_content, 0o600)
            record = {
                "id": release,
                "project": desired.project,
                "status": "staged",
                "content_hash": desired.content_hash(),
                "created_at": _timestamp(),
                "previous": self.current(),
                "compose_files": [*desired.compose_files, OVERLAY],
                "profiles": desired.profiles,
                "images": images,
                "targets": _compose.container_targets(desired.project, desired.compose, desired.profiles),
            }
            _atomic.write_file(os.path.join(partial, RECORD), json.dumps(record, indent=2, sort_keys=True) + "\n", 0o600)
            os.rename(partial, path)
        except BaseException:
            shutil.rmtree(partial)
            raise
        _atomic.sync_folder(self.folder)
        os.unlink(archive)

    def make_current(self, release: str, engine: t.Any, keep: int) -> list[str]:
        """Switch `current` to a release that passed every gate; returns the releases that retention removed."""
        record = self.record(release)
        record.update(
            status="good",
            committed_at=_timestamp(),
            image_ids={name: _docker.image_id(engine, image) for name, image in record["images"].items()},
        )
        self.write_record(record)
        _atomic.switch_link(self.link, os.path.join("releases", release))
        return self.prune(keep)

    def mark_failed(self, release: str, failure: str) -> None:
        """Record that a release did not pass, and why; when it was current already, the one before it is again."""
        record = self.record(release)
        record.update(status="failed", failed_at=_timestamp(), failure=failure)
        self.write_record(record)
        if self.current() == release and record["previous"]:
            _atomic.switch_link(self.link, os.path.join("releases", record["previous"]))

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest `keep` releases, never the current one or the one before it."""
        current = self.current()
        spared = {current, self.record(current).get("previous", "") if current else ""}
        names = [name for name in os.listdir(self.folder) if not name.startswith(".")]
        old = [name for name in sorted(names, reverse=True)[keep:] if name not in spared]
        for name in old + [name for name in os.listdir(self.folder) if name.startswith(".partial-")]:
            shutil.rmtree(self.path(name))
        return old


def not_running(engine: t.Any, desired: Desired, images: dict[str, str]) -> list[str]:
    """Why a release that is current does not run as it should, a line for each service."""
    if engine is None:
        return ["no Docker Engine answers on this host"]
    reasons = []
    containers = _docker.compose_containers(engine, desired.project)
    for target in _compose.container_targets(desired.project, desired.compose, desired.profiles):
        name = target["name"]
        own = [each for each in containers if each["Config"]["Labels"].get(_docker.SERVICE) == name]
        done = [each for each in own if _as_wanted(each, images[name], bool(target["container"].get("one_shot")))]
        wanted = target["container"].get("replicas", 1)
        if len(done) < wanted:
            reasons.append(f"{name}: {len(done)} of {wanted} containers are as they should be")
    return reasons


def _as_wanted(container: dict[str, t.Any], image: str, one_shot: bool) -> bool:
    state = container["State"]
    if container["Config"]["Image"] != image:
        return False
    return state["Status"] == "exited" and state["ExitCode"] == 0 if one_shot else bool(state["Running"])


def _change(releases: Releases, current: str, images: dict[str, str]) -> str:
    if not current:
        return "first deploy"
    before = releases.record(current).get("images", {})
    changed = sorted(name for name in {**before, **images} if before.get(name) != images.get(name))
    return "changed: " + (", ".join(f"image of {name}" for name in changed) or "configuration")


def _extract(archive: str, folder: str) -> None:
    try:
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(folder, filter="data")
            else:  # Python without PEP 706; the archive is our own
                tar.extractall(folder)
    except tarfile.TarError as exc:
        remedy = "Links of a project must stay inside it; a damaged archive is copied again by the next deploy."
        raise ProductionError(archive, f"cannot be unpacked: {exc}.", remedy) from exc


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _timestamp() -> str:
    return _now().isoformat(timespec="seconds")
