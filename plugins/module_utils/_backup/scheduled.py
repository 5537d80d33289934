# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a schedule runs, without Ansible: makes the backup, or tells of it as facts. Private to the collection.

`run` makes a backup as the `options.json` beside the program says, and writes its record and metrics. Without an
argument it prints what is known, as JSON: it is a fact of the host, so that this is always told anew.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
import sys
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._backup import cron, record

OPTIONS = "options.json"
_AGAIN_SECONDS = 5.0  # between two looks at whether another backup has finished
_NOT_DUE = ("", "n/a", "infinity")


def main(argv: list[str]) -> int:
    """The exit status; a fact is printed whatever happens, as a play must not fail of it."""
    folder = os.path.dirname(os.path.realpath(argv[0]))
    if argv[1:] == ["run"]:
        return run(read(folder))
    try:
        told = facts(read(folder))
    except OSError as exc:  # somebody without rights asks
        told = {"error": str(exc)}
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def read(folder: str) -> dict[str, t.Any]:
    """What `schedule` installed: `name`, `calendar`, `cron`, `metrics`, and pg_backup's `options`."""
    with open(os.path.join(folder, OPTIONS), encoding="utf-8") as file:
        return json.load(file)


def run(settings: dict[str, t.Any]) -> int:
    """Makes the backup; 0 when there is one. Whatever else goes wrong, what happened is written down."""
    name, dest, dbname = settings["name"], settings["options"]["dest"], settings["options"]["dbname"]
    runs = record.read(dest, name, dbname) or record.Runs(name, dbname, record.now())
    runs.begin()
    error: dict[str, str] | None = None
    with contextlib.ExitStack() as at_the_end:  # the last one first, each of them also when one before it fails
        at_the_end.callback(lambda: _write_metrics(settings, runs))
        at_the_end.callback(lambda: runs.write(dest))
        at_the_end.callback(lambda: runs.end(error))
        try:
            os.makedirs(dest, mode=0o700, exist_ok=True)
            runs.write(dest)
            error = _make(settings)
        except BaseException as exc:
            error = {"culprit": type(exc).__name__, "cause": str(exc), "remedy": "See the journal for more."}
            raise
    return 1 if error else 0


def _make(settings: dict[str, t.Any]) -> dict[str, str] | None:
    """Makes the backup; its error."""
    from ansible_collections.tria.production.plugins.module_utils._backup import engine  # which facts do not pay for
    from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
    from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

    options = settings["options"]
    deadline = time.monotonic() + options["timeout"]
    while True:
        try:
            sys.stdout.write(engine.create(options)["msg"] + "\n")
            return None
        except (ProductionError, MissingLibrary) as exc:
            told = exc.as_result()
            if "holder" in told and time.monotonic() + _AGAIN_SECONDS < deadline:
                time.sleep(_AGAIN_SECONDS)  # a deploy backs up, or somebody restores
                continue
            sys.stderr.write(f"{exc}\n")
            return {"culprit": told["culprit"], "cause": told.get("cause", str(exc)), "remedy": told.get("remedy", "")}


def _write_metrics(settings: dict[str, t.Any], runs: record.Runs) -> None:
    if settings["metrics"]:
        _atomic.write_file(metrics_file(settings), record.metrics(runs, settings["options"]["dest"]), 0o644)


def metrics_file(settings: dict[str, t.Any]) -> str:
    return os.path.join(settings["metrics"], f"tria_backup_{settings['name']}.prom")


def facts(settings: dict[str, t.Any]) -> dict[str, t.Any]:
    """What is known of the schedule: the newest verified backup, the last run, when the next one is due."""
    dest, dbname = settings["options"]["dest"], settings["options"]["dbname"]
    runs = record.read(dest, settings["name"], dbname)
    return {
        "name": settings["name"],
        "dbname": dbname,
        "dest": dest,
        "schedule": settings["calendar"] or settings["cron"],
        "next_due": next_due(settings),
        **record.newest(dest, dbname),
        "last_run": runs.finished_at if runs else None,
        "running_since": runs.started_at if runs and runs.running else None,
        "last_error": runs.trouble if runs else None,
        "failures": runs.failures if runs else 0,
    }


def unit(name: str) -> str:
    """What the units and the entry of cron are called."""
    return f"tria-backup-{name}"


def next_due(settings: dict[str, t.Any]) -> str | None:
    """When the next run is due, UTC, ISO 8601; null while one is at work, and where it cannot be told."""
    if settings["cron"]:
        local = cron.Cron(settings["cron"]).next(datetime.datetime.now())
        return None if local is None else _iso(local.astimezone(datetime.timezone.utc))
    told = timer(settings["name"]).get("NextElapseUSecRealtime", "")
    return None if told in _NOT_DUE else _iso(datetime.datetime.strptime(told, "%a %Y-%m-%d %H:%M:%S UTC"))


def _iso(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def timer(name: str) -> dict[str, str]:
    """What systemd knows of a schedule's timer; {} where there is no systemd."""
    properties = "--property=ActiveState,UnitFileState,NextElapseUSecRealtime"
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["systemctl", "show", f"{unit(name)}.timer", properties],
            env=environment, capture_output=True, text=True, timeout=10, check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines())
