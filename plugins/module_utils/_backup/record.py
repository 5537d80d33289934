# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of a schedule's runs and of a database's backups, for people and alarms. Private to the collection.

Of the backups their manifests tell, whoever made them. Of the runs their record does, a file beside the backups:
`since`, when the schedule was made; `started_at` and `finished_at` of the last run, UTC, ISO 8601, its `process`, and
its `error` (`culprit`, `cause`, `remedy`), null when there was none; `failures` in a row.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic, _lock
from ansible_collections.tria.production.plugins.module_utils._backup import manifest

_PREFIX, _SUFFIX = ".schedule-", ".json"  # hidden: no manifest


@dataclasses.dataclass
class Runs:
    """The record of a schedule; `name` is its name."""

    name: str
    dbname: str
    since: str
    started_at: str | None = None
    finished_at: str | None = None
    process: dict[str, t.Any] | None = None
    error: dict[str, str] | None = None
    failures: int = 0

    @property
    def running(self) -> bool:
        return self._unfinished and not self._killed

    @property
    def trouble(self) -> dict[str, str] | None:
        """What kept the last run from making a backup, as `error`."""
        if self._unfinished and self._killed:
            return {
                "culprit": f"the run that began at {self.started_at}",
                "cause": "it did not come to its end: it was killed, or the host went down.",
                "remedy": "See the journal for why; the next run removes what it left.",
            }
        return self.error

    @property
    def _unfinished(self) -> bool:
        return self.started_at is not None and self.finished_at is None

    @property
    def _killed(self) -> bool:
        known = self.process or {}
        boots = [(one or "").partition(" ")[0] for one in (known.get("process_space"), _lock.process_space())]
        return boots[0] != boots[1] or _lock.ended(known)

    def begin(self) -> None:
        self.failures += self._unfinished  # the one before was killed: two do not run at once
        self.started_at, self.finished_at, self.error = now(), None, None
        self.process = _lock.process(os.getpid())

    def end(self, error: dict[str, str] | None) -> None:
        self.finished_at, self.error = now(), error
        self.failures = self.failures + 1 if error else 0

    def write(self, dest: str) -> None:
        _atomic.write_file(path(dest, self.name), json.dumps(dataclasses.asdict(self), indent=2) + "\n", 0o600)


def path(dest: str, name: str) -> str:
    """Where the record of a schedule is."""
    return os.path.join(dest, f"{_PREFIX}{name}{_SUFFIX}")


def read(dest: str, name: str, dbname: str) -> Runs | None:
    """The record of a schedule; None without one of that database that can be understood."""
    try:
        with open(path(dest, name), encoding="utf-8") as file:
            runs = Runs(**json.load(file))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return runs if runs.dbname == dbname else None


def of_database(dest: str, dbname: str) -> list[Runs]:
    """The records of all schedules that back a database up to that folder."""
    names = sorted(os.listdir(dest)) if os.path.isdir(dest) else []
    stems = [one[len(_PREFIX) : -len(_SUFFIX)] for one in names if one.startswith(_PREFIX) and one.endswith(_SUFFIX)]
    return [runs for runs in (read(dest, stem, dbname) for stem in stems) if runs]


def verified(dest: str, dbname: str) -> list[manifest.Manifest]:
    """The verified backups of a database, oldest first."""
    return [each for each in manifest.published(dest) if each.dbname == dbname and each.verified != "none"]


def newest(dest: str, dbname: str) -> dict[str, t.Any]:
    """The newest verified backup: `last_success` (UTC, ISO 8601), `size_bytes`, `duration_s`, `verified`, `path`.

    Without one, all of them are null.
    """
    found = verified(dest, dbname)
    if not found:
        return dict.fromkeys(("last_success", "size_bytes", "duration_s", "verified", "path"))
    last = found[-1]
    return {
        "last_success": last.created_at,
        "size_bytes": last.dump.size_bytes,
        "duration_s": last.duration_s,
        "verified": last.verified,
        "path": os.path.join(dest, last.dump.file),
    }


def metrics(runs: Runs, dest: str) -> str:
    """What a file of node_exporter's textfile collector says after a run."""
    labels = {"schedule": runs.name, "dbname": runs.dbname}
    backup = newest(dest, runs.dbname)
    lines = [
        _metric("last_run_timestamp_seconds", "When the last scheduled run ended.", labels, seconds(runs.finished_at)),
        _metric("last_run_success", "Whether it made a verified backup.", labels, 0 if runs.error else 1),
        _metric("failures", "Scheduled runs that failed since the last one that did not.", labels, runs.failures),
        _metric("verified_backups", "Verified backups that are kept.", labels, len(verified(dest, runs.dbname))),
    ]
    if backup["last_success"]:
        level = {**labels, "level": backup["verified"]}
        lines += [
            _metric("last_success_timestamp_seconds", "When the newest verified backup was begun.", labels,
                    seconds(backup["last_success"])),
            _metric("last_success_size_bytes", "Size of its dump.", labels, backup["size_bytes"]),
            _metric("last_success_duration_seconds", "What it took, verified.", labels, backup["duration_s"]),
            _metric("last_success_verified", "How far it was verified, as a label.", level, 1),
        ]
    return "".join(lines)


def _metric(name: str, text: str, labels: dict[str, str], value: float) -> str:
    named = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels.items())
    full = f"tria_backup_{name}"
    return f"# HELP {full} {text}\n# TYPE {full} gauge\n{full}{{{named}}} {value!r}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def now() -> str:
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ}"


def seconds(moment: str | None) -> float:
    """An ISO 8601 time in UTC as seconds since 1970; 0 for none."""
    return datetime.datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() if moment else 0.0
