# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All releases that are still there, for a person who asks where to go back to. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import store

_DAMAGED = "damaged"
_COLUMNS = ("", "release", "status", "created (UTC)", "by", "migration", "go back to it?")
_WHY_CHARS = 100


def history(releases: store.Releases) -> list[dict[str, t.Any]]:
    """Every release, the newest first; one that cannot be read has the status `damaged`."""
    current = releases.current()
    return [_entry(releases, name, name == current) for name in releases.names()]


def _entry(releases: store.Releases, release: str, is_current: bool) -> dict[str, t.Any]:
    entry: dict[str, t.Any] = {"id": release, "current": is_current}
    try:
        record, outcome = releases.record(release), releases.outcome(release)
    except ProductionError as exc:
        empty = {"created_at": "", "created_by": {}, "deploy": "", "images": {}, "migration_head": "", "backup": ""}
        return {**entry, **empty, "status": _DAMAGED, "events": [], "why": exc.cause}
    return {
        **entry,
        "status": outcome["status"],
        "created_at": record["created_at"],
        "created_by": record.get("created_by", {}),
        "deploy": record.get("deploy", ""),
        "images": record["images"],
        "migration_head": outcome["migration_head"],
        "backup": outcome["backup"],
        "events": outcome["events"],
        "why": outcome["events"][-1]["why"],
    }


def table(entries: list[dict[str, t.Any]]) -> list[str]:
    """The lines of a table of a history, its head first; a line that says so when there is no release."""
    if not entries:
        return ["There is no release yet."]
    rows = [_COLUMNS, *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _row(entry: dict[str, t.Any]) -> tuple[str, ...]:
    back = "runs now" if entry["current"] else "yes" if entry["status"] == store.GOOD else "no"
    by = "@".join(filter(None, (entry["created_by"].get("user"), entry["created_by"].get("host"))))
    why = " ".join(entry["why"].split())
    why = why if len(why) <= _WHY_CHARS else why[:_WHY_CHARS] + "…"
    return (
        "*" if entry["current"] else "",
        entry["id"],
        entry["status"],
        entry["created_at"][:16].replace("T", " "),
        by,
        entry["migration_head"],
        f"{back}: {why}" if why else back,
    )
