# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `backup`: the age of a database's newest backup, and its schedule's last run. Private to the collection."""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import record
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import _base

DOCUMENTATION = r"""
backup:
  description:
    - The newest verified backup of a database, made by M(tria.production.pg_backup). It must be young enough.
    - A failed run of its schedule is a C(warn) as long as the backup before is young enough. Where there is no backup
      yet, and the schedule is younger than O(targets[].backup.max_age), the result is C(skip).
  type: dict
  suboptions:
    dest:
      description: Folder of the backups, on the host.
      type: path
      required: true
    dbname:
      description: Name of the database.
      type: str
      required: true
    max_age:
      description: Hours that the newest backup may be old.
      type: float
      default: 26.0
"""
CATEGORY = "Database"
LIBRARIES = ()
SPEC: dict[str, t.Any] = {
    "options": {
        "dest": {"type": "path", "required": True},
        "dbname": {"type": "str", "required": True},
        "max_age": {"type": "float", "default": 26.0},
    }
}

_MAKE = "Make one with tria.production.pg_backup, and have more made with tria.production.pg_backup_schedule."


def probe(options: dict[str, t.Any], _attempt: _base.Attempt) -> _base.Outcome:
    """Holds the newest verified backup of the database against the age that it may have."""
    dest, dbname, max_age = options["dest"], options["dbname"], options["max_age"]
    try:
        if os.path.lexists(dest):
            os.listdir(dest)  # what cannot be read is not empty
        backup, schedules = record.newest(dest, dbname), record.of_database(dest, dbname)
    except OSError as exc:
        raise ProductionError.from_os(exc, "Let this account read the folder of the backups; become root.") from exc
    troubles = [_trouble(runs) for runs in schedules if runs.trouble]
    if backup["last_success"] is None:
        return _none_yet(options, schedules, troubles)
    age = _hours_since(backup["last_success"])
    data = {**backup, "age_hours": round(age, 1), "max_age_hours": max_age}
    data["failures"] = sum(one.failures for one in schedules)
    said = f"the newest verified backup of {dbname} is {_shown(age)} old"
    if age > max_age:
        why = [f"{_shown(max_age)} are allowed"] + ([one for one, _remedy in troubles] or [_silence(schedules)])
        raise _base.ProbeFailure("; ".join([said, *why]), _remedy_of(troubles, schedules), "age", data=data)
    warnings = [one for one, _remedy in troubles]
    if age < -1:
        warnings.append("that is in the future: the clock of this host was set back")
    return _base.Outcome(said, data, warnings)


def _none_yet(
    options: dict[str, t.Any], schedules: list[record.Runs], troubles: list[tuple[str, str]]
) -> _base.Outcome:
    """Nobody has missed a backup before the schedule had the time to make one."""
    ages = [_hours_since(runs.since) for runs in schedules]
    if ages and not troubles and min(ages) <= options["max_age"]:
        return _base.Outcome(f"the schedule is {_shown(min(ages))} old, no backup was due yet", skipped=True)
    said = [f"{options['dest']} holds no verified backup of {options['dbname']}"] + [one for one, _remedy in troubles]
    raise _base.ProbeFailure("; ".join(said), _remedy_of(troubles, schedules), "none", gone=True)


def _trouble(runs: record.Runs) -> tuple[str, str]:
    """(what went wrong with the last run of a schedule, what to do)."""
    error = runs.trouble or {}
    many = f" ({runs.failures} in a row)" if runs.failures > 1 else ""
    said = f"the last run of schedule {runs.name} failed{many}: {error['culprit']}: {error['cause'].rstrip('.')}"
    return said, error["remedy"]


def _silence(schedules: list[record.Runs]) -> str:
    if not schedules:
        return "nothing is scheduled"
    return f"schedule {schedules[0].name} last ran at {schedules[0].finished_at or 'no time'}"


def _remedy_of(troubles: list[tuple[str, str]], schedules: list[record.Runs]) -> str:
    if troubles:
        return troubles[0][1]
    return f"See: systemctl list-timers tria-backup-{schedules[0].name}.timer" if schedules else _MAKE


def _hours_since(moment: str) -> float:
    return (time.time() - record.seconds(moment)) / 3600


def _shown(hours: float) -> str:
    return f"{hours:.1f} hours"
