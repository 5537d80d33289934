# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installs what makes backups on a schedule, without Ansible, and takes it away again. Private to the collection.

A schedule is a folder with the program and its options, a timer and a service of systemd or an entry of cron, a fact.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._backup import (
    cron,
    guard,
    program,
    record,
    scheduled,
    spec,
)
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # cron reads no file with another letter in its name
_PROGRAM = "pg_backup"
_GRACE_SECONDS = 120  # for a run to clean up after its own timeout
_SYSTEMCTL_SECONDS = 60

_SERVICE = """\
# Made by tria.production.pg_backup_schedule; changes are overwritten.
[Unit]
Description=Backup of the database {dbname} to {dest}
After=docker.service postgresql.service network-online.target

[Service]
Type=oneshot
ExecStart={command}
TimeoutStartSec={seconds}
KillMode=mixed
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7
UMask=0077
CacheDirectory={unit}
Environment=XDG_CACHE_HOME={cache}
ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_CHOWN
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
"""

_TIMER = """\
# Made by tria.production.pg_backup_schedule; changes are overwritten.
[Unit]
Description=Schedule of the backup of the database {dbname}

[Timer]
OnCalendar={calendar}
AccuracySec=1s
RandomizedDelaySec={delay}
Persistent=yes

[Install]
WantedBy=timers.target
"""

_CRON = """\
# Made by tria.production.pg_backup_schedule; changes are overwritten.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
{cron} root {command} >/dev/null
"""


@dataclasses.dataclass
class Places:
    """Where the parts of the schedule `name` are."""

    name: str
    schedules: str = "/etc/tria.production/backups"
    facts: str = "/etc/ansible/facts.d"
    units: str = "/etc/systemd/system"
    crontabs: str = "/etc/cron.d"
    caches: str = "/var/cache"  # systemd makes the service's folder in it
    systemd: str = "/run/systemd/system"  # which is there when systemd is process 1

    @property
    def folder(self) -> str:
        return os.path.join(self.schedules, self.name)

    @property
    def program(self) -> str:
        return os.path.join(self.folder, _PROGRAM)

    @property
    def options(self) -> str:
        return os.path.join(self.folder, scheduled.OPTIONS)

    @property
    def fact(self) -> str:
        return os.path.join(self.facts, f"{self.name}_backup.fact")

    @property
    def service(self) -> str:
        return os.path.join(self.units, f"{scheduled.unit(self.name)}.service")

    @property
    def timer(self) -> str:
        return os.path.join(self.units, f"{scheduled.unit(self.name)}.timer")

    @property
    def crontab(self) -> str:
        return os.path.join(self.crontabs, scheduled.unit(self.name))

    @property
    def cache(self) -> str:
        return os.path.join(self.caches, scheduled.unit(self.name))

    @property
    def has_systemd(self) -> bool:
        return os.path.isdir(self.systemd)

    @property
    def all(self) -> list[str]:
        return [self.timer, self.service, self.crontab, self.fact, self.options, self.program]


def ensure(params: dict[str, t.Any], check_mode: bool = False, places: Places | None = None) -> dict[str, t.Any]:
    """Has the schedule that the module's `params` say; returns the module's result. Raises `ProductionError`."""
    guard.require_makeable(params)
    places = places or Places(params["name"])
    with _told():
        settings = _settings(params, places)
        desired = _files(settings, params["delay"], places)
        written = [path for path, (content, mode) in desired.items() if _differs(path, content, mode)]
        linked = os.path.islink(places.fact) and os.readlink(places.fact) == places.program
        beside, wanted = _beside(places), _paths_beside(settings, places)
        stale = [path for path in places.all if os.path.lexists(path) and path not in (*desired, places.fact)]
        stale += [path for path in beside if path not in wanted]  # those of another dest, or other metrics
        begun = record.read(settings["options"]["dest"], places.name, params["dbname"]) is not None
        asleep = places.has_systemd and not _awake(places.name)
        changes = written + stale + ([] if linked else [places.fact]) + ([] if begun else wanted[:1])
        if not check_mode:
            _prepare(settings, places, begun)
            for path in written:
                _atomic.write_file(path, *desired[path])
            if not linked:
                _atomic.switch_link(places.fact, places.program)
            _let_go(places, stale)
            if asleep or {places.timer, places.service} & set(written):
                _wake(places.name)
        known = {} if check_mode and changes else scheduled.facts(settings)
    verb, when = "would be" if check_mode else "is", settings["calendar"] or settings["cron"]
    return {
        "changed": bool(changes) or asleep,
        "msg": f"the backup of database {params['dbname']} {verb} scheduled: {when}",
        "files": sorted(changes),
        "schedule": known,
    }


def remove(name: str, check_mode: bool = False, places: Places | None = None) -> dict[str, t.Any]:
    """Has no schedule of that name; the backups stay. Returns the module's result. Raises `ProductionError`."""
    places = places or Places(name)
    _require_name(places.name)
    with _told():
        present = [path for path in places.all if os.path.lexists(path)] + _beside(places)
        if not check_mode:
            _let_go(places, present)
            for folder in (places.folder, places.cache):
                if os.path.isdir(folder):
                    shutil.rmtree(folder)
    verb = "would no longer be" if check_mode else "is no longer"
    return {
        "changed": bool(present),
        "msg": f"the backup {verb} scheduled" if present else f"nothing is scheduled as {places.name}",
        "files": sorted(present),
        "schedule": {},
    }


def _settings(params: dict[str, t.Any], places: Places) -> dict[str, t.Any]:
    """What the program gets. Of calendar and cron, the one that this host goes by."""
    _require_name(places.name)
    if params["delay"] < 0:
        raise ProductionError("delay", f"is {params['delay']}.", "Give it seconds, 0 for none.")
    used = "calendar" if places.has_systemd else "cron"
    if not params[used]:
        has = "has systemd" if places.has_systemd else "has no systemd"
        raise ProductionError(used, f"is not set, and this host {has}.", f"Set {used}.")
    _require_time(used, params[used], places)
    options = {name: params[name] for name in spec.MAKING}
    options["dest"] = os.path.abspath(options["dest"])
    return {
        "name": places.name,
        "calendar": params["calendar"] if used == "calendar" else None,
        "cron": params["cron"] if used == "cron" else None,
        "metrics": params["metrics"] or None,
        "options": options,
    }


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        remedy = "Use letters, digits, _ and -, 64 of them at most, a letter or digit first."
        raise ProductionError("name", f"{name!r} is no name for a unit.", remedy)


def _require_time(used: str, expression: str, places: Places) -> None:
    """What cannot be read would never run: systemd and cron say so in their logs only."""
    remedy = "See: man systemd.time, for example *-*-* 03:10:00." if used == "calendar" else "See: man 5 crontab."
    if "\n" in expression:
        raise ProductionError(used, "has more than one line.", remedy)
    if used == "calendar":
        done = _run(["systemd-analyze", "calendar", expression])
        if done.returncode:
            raise ProductionError("calendar", " ".join(done.stderr.split()), remedy)
        return
    try:
        cron.Cron(expression)
    except ValueError as exc:
        raise ProductionError("cron", f"{expression!r}: {exc}.", remedy) from exc
    if not os.path.isdir(places.crontabs):
        raise ProductionError(places.crontabs, "does not exist: this host has no cron.", "Install cron.")


def _files(settings: dict[str, t.Any], delay: int, places: Places) -> dict[str, tuple[str | bytes, int]]:
    """(content, mode) of every file of the schedule, in the order in which they are written."""
    options = settings["options"]
    files: dict[str, tuple[str | bytes, int]] = {
        places.program: (program.build("_backup.scheduled", sys.executable), 0o755),
        places.options: (json.dumps(settings, indent=2, sort_keys=True) + "\n", 0o600),
    }
    command = f"{sys.executable} {places.program} run"
    if not places.has_systemd:
        files[places.crontab] = (_CRON.format(cron=settings["cron"], command=command), 0o644)
        return files
    writable = " ".join(_quoted(path) for path in _written(settings))
    dbname = _plain(options["dbname"])
    service = _SERVICE.format(
        dbname=dbname, dest=_plain(options["dest"]), command=command, writable=writable,
        unit=scheduled.unit(places.name), cache=places.cache, seconds=int(options["timeout"]) + _GRACE_SECONDS,
    )
    files[places.service] = (service, 0o644)
    files[places.timer] = (_TIMER.format(dbname=dbname, calendar=settings["calendar"], delay=delay), 0o644)
    return files


def _written(settings: dict[str, t.Any]) -> list[str]:
    """The folders that a run writes to: a copy may be one of a mounted share, and rclone renews tokens in its file."""
    options = settings["options"]
    places = [each for copy in options["copies"] for each in (copy["rclone"], copy["restic"]) if each]
    configs = [os.path.dirname(copy["config"]) for copy in options["copies"] if copy["config"]]
    known = [options["dest"], settings["metrics"], *configs, *(each for each in places if each.startswith("/"))]
    return list(dict.fromkeys(each for each in known if each))


def _quoted(path: str) -> str:
    """As one word of a unit's setting. Where it is missing, the program shall say so, not systemd alone."""
    return '"-' + _plain(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(text: str) -> str:
    """As text in a unit: one line, without specifiers."""
    return " ".join(text.split()).replace("%", "%%")


def _differs(path: str, content: str | bytes, mode: int) -> bool:
    try:
        with open(path, "rb") as file:
            present = file.read()
            same_mode = os.fstat(file.fileno()).st_mode & 0o7777 == mode
    except FileNotFoundError:
        return True
    return present != (content.encode("utf-8") if isinstance(content, str) else content) or not same_mode


def _prepare(settings: dict[str, t.Any], places: Places, begun: bool) -> None:
    """The folders that everything is in, and a record of runs, which begins now."""
    dest, dbname = settings["options"]["dest"], settings["options"]["dbname"]
    os.makedirs(dest, mode=0o700, exist_ok=True)
    for folder in (places.folder, places.facts, settings["metrics"]):
        if folder:
            os.makedirs(folder, mode=0o755, exist_ok=True)
    if not begun:
        record.Runs(places.name, dbname, record.now()).write(dest)


def _beside(places: Places) -> list[str]:
    """What is there of an installed schedule outside of its own places."""
    try:
        settings = scheduled.read(places.folder)
    except (FileNotFoundError, ValueError):
        return []
    return [path for path in _paths_beside(settings, places) if os.path.lexists(path)]


def _paths_beside(settings: dict[str, t.Any], places: Places) -> list[str]:
    """The record of its runs, and its metrics where it writes some."""
    runs = record.path(settings["options"]["dest"], places.name)
    return [runs] + ([scheduled.metrics_file(settings)] if settings["metrics"] else [])


def _let_go(places: Places, paths: list[str]) -> None:
    """Removes parts of the schedule; a timer is stopped first. A backup that is being made goes on to its end."""
    timer = f"{scheduled.unit(places.name)}.timer"
    if places.timer in paths and places.has_systemd:
        _systemctl("disable", "--quiet", "--now", timer)
    for path in paths:
        os.unlink(path)
    if {places.timer, places.service} & set(paths) and places.has_systemd:
        _systemctl("daemon-reload")
        _systemctl("reset-failed", f"{scheduled.unit(places.name)}.*")  # else a failed run is shown for ever


def _wake(name: str) -> None:
    """Has systemd go by what its files say now."""
    _systemctl("daemon-reload")
    _systemctl("enable", "--quiet", f"{scheduled.unit(name)}.timer")
    _systemctl("restart", f"{scheduled.unit(name)}.timer")


def _awake(name: str) -> bool:
    known = scheduled.timer(name)
    return (known.get("ActiveState"), known.get("UnitFileState")) == ("active", "enabled")


def _systemctl(*arguments: str) -> None:
    done = _run(["systemctl", *arguments])
    if done.returncode:
        raise ProductionError(
            "systemd", f"systemctl {' '.join(arguments)}: {' '.join(done.stderr.split())}", "See: journalctl --boot"
        )


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=_SYSTEMCTL_SECONDS, check=False)
    except subprocess.TimeoutExpired as exc:
        raise ProductionError("systemd", f"{' '.join(argv)} took too long.", "See: journalctl --boot") from exc


@contextlib.contextmanager
def _told() -> t.Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ProductionError.from_os(exc, "The account must be root, with room on the disk.") from exc
