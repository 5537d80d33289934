# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a host can carry a stack: every shortfall at once, nothing changed. Private to the collection.

Needs nothing but the standard library, so that it runs on a bare machine.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import platform
import shlex
import socket
import threading
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _ports
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._result import ERROR, PASS, SKIP, CheckResult, failed

CATEGORY = "Preflight"
GB = 10**9
OS_RELEASE = "/etc/os-release"
MEMINFO = "/proc/meminfo"
PROC = "/proc"
RECOMMENDED = {"cores": 4, "memory_mb": 7600, "disk_gb": 50}
# Between rendering the controller's time and reading ours lie the connection and the start of Python: a host may
# seem this much ahead without being so. Nothing makes it seem behind.
TRANSPORT_S = 15.0
_ADJTIMEX_UNSYNCHRONISED = 0x40


def check_host(wanted: dict[str, t.Any]) -> dict[str, t.Any]:
    """Hold this host against the options of `host_check`.

    Returns `results` (`CheckResult` as dicts) and `host` (facts). Raises `ProductionError` that lists every critical
    shortfall, with the same two as `details`.
    """
    try:
        host = facts()
    except (OSError, ValueError, KeyError) as exc:
        raise ProductionError(
            platform.node(), f"tells nothing about itself: {exc!r}", "It must be a Linux host."
        ) from exc
    results = [
        *_timed(_distribution, host, wanted["distributions"]),
        *_timed(_architecture, host, wanted["architectures"]),
        *_timed(_cores, host, wanted["min_cores"]),
        *_timed(_memory, host, wanted["min_memory_mb"]),
        *_timed(_disks, wanted["disk_paths"], wanted["min_disk_gb"], wanted["min_inodes_percent"]),
        *_timed(_writable, wanted["writable_paths"]),
        *_timed(_free_ports, wanted["ports"], wanted["ports_owned_by"]),
        *_timed(_clock_synchronised, wanted["clock_sync"]),
        *_timed(_clock_offset, wanted["controller_time"], wanted["max_clock_offset"]),
        *_timed(_names, wanted["resolve_names"], wanted["resolve_timeout"]),
    ]
    outcome = {"results": [result.as_dict() for result in results], "host": host}
    blocking = [result for result in results if result.blocks]
    if blocking:
        raise _shortfalls(blocking, outcome)
    return outcome


def facts() -> dict[str, t.Any]:
    """What later roles need to know: distribution, version, codename, architecture, cores, memory_mb, kernel, init."""
    release = os_release(OS_RELEASE)
    return {
        "distribution": release.get("ID", "unknown").capitalize(),
        "version": release.get("VERSION_ID", ""),
        "codename": release.get("VERSION_CODENAME", ""),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_mb": memory_mb(MEMINFO)["MemTotal"],
        "kernel": platform.release(),
        "init": "systemd" if os.path.isdir("/run/systemd/system") else "other",
    }


def os_release(path: str) -> dict[str, str]:
    """The assignments of an os-release(5) file, unquoted; an absent file gives none."""
    try:
        with open(path, encoding="utf-8") as lines:
            pairs = (line.strip().partition("=") for line in lines if "=" in line and not line.startswith("#"))
            return {name: "".join(shlex.split(value)) if value else "" for name, _equals, value in pairs}
    except FileNotFoundError:
        return {}


def memory_mb(path: str) -> dict[str, int]:
    """`MemTotal`, `MemAvailable` and the others of /proc/meminfo, in MiB."""
    with open(path, encoding="ascii") as lines:
        pairs = (line.split(":") for line in lines)
        return {name: int(value.split()[0]) // 1024 for name, value in pairs}


def nearest_existing(path: str) -> str:
    """The path itself or the closest parent that exists; what is checked instead of a folder yet to be made."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _timed(check: t.Callable[..., t.Iterable[CheckResult]], *args: t.Any) -> list[CheckResult]:
    """Run one check; what it could not look at is an `error`, never a pass."""
    started = time.monotonic()
    name = check.__name__.strip("_").replace("_", " ").capitalize()
    try:
        results = list(check(*args))
    except (OSError, ValueError, KeyError) as exc:
        results = [_result(ERROR, name, f"could not be checked: {exc!r}", "Look at this host by hand.")]
    for result in results:
        result.duration_ms = round((time.monotonic() - started) * 1000, 1)
    return results


def _result(status: str, name: str, message: str, remedy: str = "", **data: t.Any) -> CheckResult:
    return CheckResult(name, CATEGORY, status, message=message, remedy=remedy, data=data)


def _graded(good: bool, name: str, message: str, remedy: str, **data: t.Any) -> CheckResult:
    if good:
        return _result(PASS, name, message, **data)
    return failed(name, CATEGORY, message=message, remedy=remedy, data=data)


def _distribution(host: dict[str, t.Any], allowed: dict[str, list[str]]) -> t.Iterator[CheckResult]:
    versions = {name.lower(): [str(version) for version in known or []] for name, known in allowed.items()}
    mine = versions.get(host["distribution"].lower())
    wanted = ", ".join(f"{name} {'/'.join(map(str, known or ['any']))}" for name, known in allowed.items())
    yield _graded(
        mine is not None and (not mine or host["version"] in mine),
        "Distribution",
        f"{host['distribution']} {host['version'] or 'without a version'}",
        f"Supported are {wanted}.",
    )


def _architecture(host: dict[str, t.Any], allowed: list[str]) -> t.Iterator[CheckResult]:
    yield _graded(
        host["architecture"] in allowed, "Architecture", host["architecture"], f"Supported are {', '.join(allowed)}."
    )


def _cores(host: dict[str, t.Any], least: int) -> t.Iterator[CheckResult]:
    message = f"{host['cores']} found, {least} needed"
    remedy = f"Give this machine at least {least} CPU cores ({RECOMMENDED['cores']} recommended)."
    yield _graded(host["cores"] >= least, "CPU cores", message, remedy, recommended=RECOMMENDED["cores"])


def _memory(host: dict[str, t.Any], least: int) -> t.Iterator[CheckResult]:
    message = f"{host['memory_mb']} MB found, {least} MB needed"
    remedy = f"Give this machine at least {least} MB of memory ({RECOMMENDED['memory_mb']} MB recommended)."
    yield _graded(host["memory_mb"] >= least, "Memory", message, remedy, recommended=RECOMMENDED["memory_mb"])


def _disks(paths: list[str], least_gb: float, least_inodes: float) -> t.Iterator[CheckResult]:
    file_systems: dict[int, list[str]] = {}
    for path in paths:
        file_systems.setdefault(os.stat(nearest_existing(path)).st_dev, []).append(path)
    for shared in file_systems.values():
        where, state = ", ".join(shared), os.statvfs(nearest_existing(shared[0]))
        free_gb = round(state.f_bavail * state.f_frsize / GB, 1)
        yield _graded(
            free_gb >= least_gb,
            f"Disk space {where}",
            f"{free_gb} GB free, {least_gb} GB needed",
            f"Free or add disk space for {where} ({RECOMMENDED['disk_gb']} GB recommended).",
            recommended=RECOMMENDED["disk_gb"],
        )
        if not state.f_files:
            yield _result(SKIP, f"Inodes {where}", "this file system has no fixed number of inodes")
            continue
        percent = round(100 * state.f_favail / state.f_files, 1)
        message = f"{percent} % of the inodes free, {least_inodes} % needed"
        remedy = f"Remove small files from the file system of {where}: du --inodes -xd2 finds them."
        yield _graded(percent >= least_inodes, f"Inodes {where}", message, remedy)


def _writable(paths: list[str]) -> t.Iterator[CheckResult]:
    for path in paths:
        existing = nearest_existing(path)
        if not os.path.isdir(existing):
            problem, remedy = "is not a folder", "Move the file away."
        elif os.statvfs(existing).f_flag & os.ST_RDONLY:
            problem, remedy = "is mounted read-only", "Remount it read-write, and see dmesg for why it is not."
        elif not os.access(existing, os.W_OK | os.X_OK):
            problem, remedy = f"is not writable for uid {os.getuid()}", "Run with become, or change its owner."
        else:
            problem, remedy = "", ""
        yield _graded(not problem, f"Writable {path}", f"{existing} {problem or 'is writable'}", remedy)


def _free_ports(wanted: list[dict[str, t.Any]], own_project: str | None) -> t.Iterator[CheckResult]:
    publishers, unasked = _ports.published() if wanted else ([], "")
    for entry in wanted:
        host, port = str(ipaddress.ip_address(entry["host"])), entry["port"]
        here = [one for one in publishers if one.port == port and _ports.overlap(one.host, host)]
        foreign = [one for one in here if not own_project or one.project != own_project]
        problem = remedy = ""
        if foreign:
            problem = "published by " + _publishers(foreign)
            remedy = f"Stop it (docker stop {foreign[0].container}), or publish another port."
        elif not here:
            problem, remedy = _bind_problem(host, port)
        good = f"published by this stack: {_publishers(here)}" if here else "free"
        data = {"engine": unasked} if unasked else {}
        if problem and unasked:
            problem += f" ({unasked})"
        yield _graded(not problem, f"Port {host}:{port}", problem or good, remedy, **data)


def _publishers(found: list[_ports.Published]) -> str:
    return ", ".join(sorted({f"container {one.container}" + f" ({one.project})" * bool(one.project) for one in found}))


def _bind_problem(host: str, port: int) -> tuple[str, str]:
    """What keeps a port from being listened on, and the remedy; two empty strings when nothing does."""
    number = _ports.bind_error(host, port)
    in_the_way = [one for one in _ports.listeners(port, PROC) if _ports.overlap(one.host, host)]
    if number == 0 or (number in (errno.EACCES, errno.EPERM) and not in_the_way):
        return "", ""  # without privilege a low port cannot be tried; nobody listens on it
    if number in (errno.EADDRINUSE, errno.EACCES, errno.EPERM):
        holders = ", ".join(sorted({one.holder or "a process of another user" for one in in_the_way}))
        return f"in use by {holders or 'a socket that /proc does not list'}", "Stop it, or publish another port."
    return f"cannot be listened on: {os.strerror(number)}", f"Use an address that this host has instead of {host}."


def _clock_synchronised(policy: str) -> t.Iterator[CheckResult]:
    name = "Clock synchronised"
    if policy == "ignored":
        yield _result(SKIP, name, "not asked for (clock_sync: ignored)")
        return
    synchronised = kernel_clock_synchronised()
    if synchronised is None:
        yield _result(SKIP, name, "the kernel does not tell this process")
    elif synchronised:
        yield _result(PASS, name, "the kernel's clock is synchronised")
    else:
        remedy = "Install and start systemd-timesyncd or chrony."
        yield failed(
            name, CATEGORY, policy == "required", message="nothing synchronises the kernel's clock", remedy=remedy
        )


class _Timex(ctypes.Structure):
    """The head of the kernel's `struct timex`, with room for the rest."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    ]


def kernel_clock_synchronised() -> bool | None:
    """Whether an NTP client steers the kernel's clock; None where a process may not ask (some containers).

    `modes` is 0: the clock is read, never set.
    """
    state = _Timex()
    if ctypes.CDLL(None).adjtimex(ctypes.byref(state)) < 0:
        return None
    return not state.status & _ADJTIMEX_UNSYNCHRONISED


def _clock_offset(controller_time: float | None, limit: float) -> t.Iterator[CheckResult]:
    if controller_time is None:
        yield _result(SKIP, "Clock offset", "the controller's time was not given")
        return
    offset = time.time() - controller_time
    # only what the transport cannot explain counts
    certain = max(0.0, offset - TRANSPORT_S) if offset > 0 else offset
    side = "ahead of" if certain > 0 else "behind"
    message = f"{abs(certain):.0f} s {side} the controller" if abs(certain) >= 1 else "agrees with the controller"
    remedy = f"Set the clocks: at most {limit:g} s apart. See: timedatectl, chronyc tracking."
    yield _graded(abs(certain) <= limit, "Clock offset", message, remedy, offset_s=round(offset, 3))


def _names(names: list[str], timeout: float) -> t.Iterator[CheckResult]:
    """Resolve all names at the same time; a resolver that hangs costs `timeout` once."""
    answers: dict[str, str] = {}
    # daemon threads: getaddrinfo cannot be cancelled, and must not keep the module alive either
    threads = [threading.Thread(target=_resolve, args=(name, answers), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for name in names:
        answer = answers.get(name, f"no answer within {timeout:g} s")
        remedy = "Check the name, /etc/resolv.conf and /etc/hosts."
        yield _graded(answer == "", f"Resolve {name}", answer or "resolves", remedy)


def _resolve(name: str, answers: dict[str, str]) -> None:
    """Put an empty string or the resolver's complaint into `answers`."""
    try:
        socket.getaddrinfo(name, None)
        answers[name] = ""
    except (OSError, UnicodeError) as exc:
        answers[name] = str(exc)


def _shortfalls(blocking: list[CheckResult], outcome: dict[str, t.Any]) -> ProductionError:
    listed = "".join(f"\n- {result.name}: {result.message}. {result.remedy}" for result in blocking)
    count = f"{len(blocking)} requirement" + "s" * (len(blocking) > 1)
    return ProductionError(platform.node(), f"does not meet {count} of this stack:{listed}", **outcome)
