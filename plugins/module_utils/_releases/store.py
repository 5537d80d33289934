# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The releases below a stack's folder, and what became of each. Private to the collection.

A record is written once. What happens to a release later is its outcome: {status, events, image_ids, migration_head,
schema_hash, gates, backup}, where status is `staged`, `good`, `failed` or `bad`, and an event is {at, by, status, why}.
"""

from __future__ import annotations

import datetime
import json
import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import services as _services

OVERLAY = "compose.release.yaml"
RENDERED = "rendered.json"
RECORD = "release.json"
OUTCOME = "outcome.json"
JOURNAL = "journal.json"
STAGED, GOOD, FAILED, BAD = "staged", "good", "failed", "bad"
# What an outcome holds besides its status and events.
KEPT: dict[str, t.Any] = {"image_ids": {}, "migration_head": "", "schema_hash": "", "gates": [], "backup": ""}

By = t.Dict[str, str]  # who: {user, host}


class Releases:
    """The releases below one root folder. Raises `ProductionError` for what cannot be read, `OSError` when writing."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.folder = os.path.join(root, "releases")
        self.link = os.path.join(root, "current")

    def path(self, release: str) -> str:
        return os.path.join(self.folder, release)

    def current(self) -> str:
        """The ID of the current release, empty when there is none."""
        return os.path.basename(os.readlink(self.link)) if os.path.islink(self.link) else ""

    def names(self) -> list[str]:
        """The IDs of all releases that are there, the newest first."""
        listed = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return sorted((name for name in listed if not name.startswith(".")), reverse=True)

    def is_staged(self, release: str) -> bool:
        """Whether the release's folder is there; it is never there in part."""
        return os.path.isdir(self.path(release))

    def record(self, release: str) -> dict[str, t.Any]:
        """The record of a release. One of before format 2 gets the services that its targets tell of."""
        record = self._own(release, RECORD)
        if "services" not in record:
            record["services"] = _services.of_targets(record["targets"])
        return record

    def digests(self) -> dict[str, str]:
        """What the images of registries are in the current release, by the name that the project gives them."""
        return dict(self.record(self.current()).get("digests", {})) if self.current() else {}

    def outcome(self, release: str) -> dict[str, t.Any]:
        """What became of a release. Before format 2 its record said so."""
        there = os.path.exists(os.path.join(self.path(release), OUTCOME))
        record = {} if there else self.record(release)
        if "status" not in record:
            return self._own(release, OUTCOME)
        events = [_event(STAGED, {}, "", record["created_at"])]
        if "committed_at" in record:
            events.append(_event(GOOD, {}, "", record["committed_at"]))
        if "failed_at" in record:
            events.append(_event(FAILED, {}, record.get("failure", ""), record["failed_at"]))
        return {**KEPT, "status": record["status"], "events": events, "image_ids": record.get("image_ids", {})}

    def status(self, release: str) -> str:
        return str(self.outcome(release)["status"])

    def good(self) -> list[str]:
        """The releases that passed every gate and were not rolled back, the newest first."""
        return [name for name in self.names() if self._passed(name)]

    def last_good_before(self, release: str) -> str:
        """The newest good release older than this one, empty when there is none."""
        return next((name for name in self.good() if name < release), "")

    def note(self, release: str, status: str, by: By, why: str = "", **found: t.Any) -> None:
        """Add an event to a release's outcome, and what was found about it."""
        outcome = self.outcome(release)
        outcome.update(found, status=status, events=[*outcome["events"], _event(status, by, why)])
        write_json(os.path.join(self.path(release), OUTCOME), outcome)

    def make_current(self, release: str) -> None:
        _atomic.switch_link(self.link, os.path.join("releases", release))

    def journal(self) -> dict[str, t.Any]:
        """What a deploy that did not end wrote down before it touched anything; empty when there is none."""
        path = os.path.join(self.root, JOURNAL)
        remedy = "Remove it, and see to migrations yourself: the next deploy starts from what runs."
        return _read(path, remedy) if os.path.exists(path) else {}

    def _passed(self, release: str) -> bool:
        try:
            return self.status(release) == GOOD and bool(self.record(release))
        except ProductionError:
            return False  # what cannot be read cannot be gone back to

    def _own(self, release: str, name: str) -> dict[str, t.Any]:
        remedy = f"If it is the current release, remove the link {self.link}. Then deploy again: "
        return _read(os.path.join(self.path(release), name), remedy + "a new release replaces it.")


def _read(path: str, remedy: str) -> dict[str, t.Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            return dict(json.load(stream))
    except (OSError, ValueError, TypeError) as exc:
        raise ProductionError(path, f"cannot be read: {exc}.", remedy) from exc


def first_outcome(by: By) -> dict[str, t.Any]:
    """The outcome of a release that was just staged."""
    return {**KEPT, "status": STAGED, "events": [_event(STAGED, by, "")]}


def write_json(path: str, content: dict[str, t.Any]) -> None:
    _atomic.write_file(path, json.dumps(content, indent=2, sort_keys=True) + "\n", 0o600)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _event(status: str, by: By, why: str, at: str = "") -> dict[str, t.Any]:
    return {"at": at or now().isoformat(timespec="seconds"), "by": by, "status": status, "why": why}
