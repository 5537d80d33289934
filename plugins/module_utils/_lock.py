# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One deploy of a stack at a time: a leased lock file that says who holds it. Private to the collection.

The lease is counted by the host's clock since boot, which nobody can set; times of day are written for people, and for
what is left of a lease after a reboot. `<lock>.last` keeps who took the lock last: who finds it gone learns from that
whether somebody else has been here meanwhile.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import threading
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

VARIABLE = "TRIA_PRODUCTION_LOCK"  # of the environment of every task of a deploy: which lock it holds
_LOOK_EVERY = 1.0  # s between two looks at whether the lock is still ours
_OVER = ("Z", "X")  # states of a process that has ended, and that nobody has asked for its exit status
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Taken(t.NamedTuple):
    """`note` is a word on a stale or missing lock, else empty; `renewed` says that we had it already."""

    note: str
    renewed: bool


# --- processes --------------------------------------------------------------------------------------------------------


def process(pid: int) -> dict[str, t.Any]:
    """Names one process for ever: `{pid, started, process_space}`; a pid alone is given again."""
    return {"pid": pid, "started": process_started(pid), "process_space": process_space()}


def process_space() -> str:
    """Names where a pid means one process: this boot of this machine, and the namespace of a container on it.

    Empty on a controller without /proc, whose processes cannot be told apart.
    """
    try:
        return f"{_boot()} {os.readlink('/proc/self/ns/pid')}"
    except FileNotFoundError:
        return ""


def process_started(pid: int) -> str:
    """When a process of this machine was started, in ticks since boot; empty when none is seen."""
    status = _status(pid)
    return status[19] if status else ""


def ended(known: dict[str, t.Any]) -> bool:
    """Whether that process is known to be gone; of another machine's, or another container's, nothing is known."""
    if not known.get("process_space") or known["process_space"] != process_space():
        return False
    pid = known.get("pid") or 0
    status = _status(pid)
    if not status:
        return not _exists(pid)
    return status[0] in _OVER or status[19] != known.get("started")


# --- the lock ---------------------------------------------------------------------------------------------------------


def ensure(
    path: str, state: str, owner: dict[str, t.Any], lease: float, dead: dict[str, t.Any] | None, write: bool = True
) -> dict[str, t.Any]:
    """What the module does; returns its `note`, `renewed`, `lock`, `environment`. Raises like `acquire` and `renew`."""
    if state == "absent":
        if write:
            release(path, owner)
        return {"environment": {}}
    if not write:
        return {**probe(path, owner, dead)._asdict(), "lock": path, "environment": {}}
    taken = renew(path, owner, lease) if state == "renewed" else acquire(path, owner, lease, dead)
    return {**taken._asdict(), "lock": path, "environment": environment(path, owner, lease)}


def acquire(path: str, owner: dict[str, t.Any], lease: float, dead: dict[str, t.Any] | None = None) -> Taken:
    """Take the lock, or renew it when `owner` holds it.

    `owner` is `{user, host, pid, started, process_space}` of the deploying process, `lease` in seconds; `dead` is an
    owner that the controller knows to be gone. A module that a dead deploy left running is waited for, until its lease
    is over. Raises `ProductionError` naming the holder, and `OSError`.
    """
    with _alone(path):
        holder = read(path)
        note = _free(path, holder, owner, dead)
        renewed = holder is not None and holder["owner"] == owner
        left = _left(holder) if holder else 0
        _write(path, owner, lease)
    if holder and not renewed:
        _outlive(holder["module"], left)
    return Taken(note, renewed)


def renew(path: str, owner: dict[str, t.Any], lease: float, module: dict[str, t.Any] | None = None) -> Taken:
    """Go on holding the lock; a lock that was removed by hand is taken again. `module` is the process that is at work.

    Raises `ProductionError` when somebody else holds it or has held it meanwhile, and `OSError`.
    """
    with _alone(path):
        holder, last = read(path), _last(path)
        if holder and holder["owner"] != owner:
            raise _lost(f"{describe(holder)} has taken it over.", holder["owner"])
        if not holder and last and last != owner:
            raise _lost(f"{_name(last)} has taken it over meanwhile, and given it back.", last)
        _write(path, owner, lease, module)
    return Taken("" if holder else "was gone, although nobody else had taken it; it is taken again", bool(holder))


def probe(path: str, owner: dict[str, t.Any], dead: dict[str, t.Any] | None = None) -> Taken:
    """Whether `owner` could take the lock now; changes nothing. Returns and raises like `acquire`."""
    holder = read(path)
    return Taken(_free(path, holder, owner, dead), holder is not None and holder["owner"] == owner)


def release(path: str, owner: dict[str, t.Any]) -> bool:
    """Give the lock back; somebody else's is left alone. Returns whether it was ours."""
    if read(path) is None:
        return False
    with _alone(path):
        holder = read(path)
        ours = holder is not None and holder["owner"] == owner
        if ours:
            os.unlink(path)
    return ours


def read(path: str) -> dict[str, t.Any] | None:
    """The lock's content, or None when it is free. A lock nobody can read counts as expired."""
    try:
        with open(path, encoding="utf-8") as stream:
            holder = json.load(stream)
        numbers = {name: float(holder[name]) for name in ("heartbeat", "expires", "lease", "beat")}
        names = {"owner": dict(holder["owner"]), "module": dict(holder["module"]), "boot": str(holder["boot"])}
        return {**names, **numbers}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        numbers = dict.fromkeys(("heartbeat", "expires", "lease", "beat"), 0.0)
        return {"owner": {}, "module": {}, "boot": "", **numbers}


def describe(holder: dict[str, t.Any]) -> str:
    owner = holder["owner"]
    if not owner:
        return "an unreadable owner"
    since = datetime.datetime.fromtimestamp(holder["heartbeat"], datetime.timezone.utc)
    return f"{_name(owner)[:-1]}, last heard of {since:%Y-%m-%d %H:%M:%S} UTC)"


def refused_by_system(exc: OSError) -> ProductionError:
    return ProductionError.from_os(exc, "The lock's folder must be writable, with room on it.")


# --- holding it while a module works ----------------------------------------------------------------------------------


class Heartbeat:
    """Keeps the deploy's lock while a module works, from a thread of its own; without a lock it does nothing."""

    def __init__(self, lock: dict[str, t.Any]) -> None:
        self._lock = lock
        self._module = process(os.getpid())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lock", daemon=True)
        self._trouble: ProductionError | None = None

    def check(self) -> None:
        """Raises `ProductionError` once the lock is lost: for the places where long work can stop safely."""
        trouble = self._trouble
        if trouble and "lock_lost" in trouble.details:
            raise trouble

    def start(self) -> None:
        """Raises `ProductionError` when the lock is lost already: then nothing is begun."""
        if self._lock:
            self._tend(renewing=True)
            if self._trouble:
                raise self._trouble
            self._thread.start()

    def end(self) -> ProductionError | None:
        """Waits for the thread's end; returns what is wrong with the lock."""
        if self._lock:
            self._stop.set()
            self._thread.join()
            self._tend(renewing=False)
        return self._trouble

    def _beat(self) -> None:
        third = self._lock["lease"] / 3
        renewed = time.monotonic()
        while not self._stop.wait(min(_LOOK_EVERY, third)):
            due = time.monotonic() >= renewed + third
            self._tend(renewing=due)
            renewed = time.monotonic() if due else renewed

    def _tend(self, renewing: bool) -> None:
        """Looks whether the lock is still ours; what went wrong with it is kept until a renewal succeeds."""
        path, owner = self._lock["path"], self._lock["owner"]
        try:
            holder = read(path)
            if holder and holder["owner"] != owner:
                raise _lost(f"{describe(holder)} has taken it over.", holder["owner"])
            if ended(owner):  # what a deploy left behind must not keep its lock
                raise _lost("The deploy has ended before its work had.", owner)
            if renewing:
                renew(path, owner, self._lock["lease"], self._module)
                self._trouble = None
        except ProductionError as exc:
            self._trouble = exc
        except OSError as exc:
            self._trouble = refused_by_system(exc)


@contextlib.contextmanager
def beating() -> t.Iterator[Heartbeat]:
    """Keeps the lock that `VARIABLE` names during the block.

    Raises `ProductionError`, with `lock_lost` and the new `owner` as details, when it turns out to be lost: before the
    block when it is so already, else after it, so that its work is whole. A block's own error becomes part of that.
    """
    heartbeat = Heartbeat(_of_this_host(os.environ.get(VARIABLE, "")))
    heartbeat.start()
    failure = None
    try:
        yield heartbeat
    except ProductionError as exc:
        failure = exc
    finally:
        trouble = heartbeat.end()
    if failure and trouble and trouble is not failure:
        details = {**failure.details, **trouble.details}
        raise ProductionError(trouble.culprit, f"{trouble.cause} Meanwhile: {failure}", trouble.remedy, **details)
    for error in (failure, trouble):
        if error:
            raise error


def environment(path: str, owner: dict[str, t.Any], lease: float) -> dict[str, str]:
    """What tells the modules of a deploy which lock to keep."""
    content = {"path": path, "owner": owner, "lease": lease, "place": _place(path)}
    return {VARIABLE: json.dumps(content, sort_keys=True)}


def _of_this_host(text: str) -> dict[str, t.Any]:
    """The lock that the environment names; empty for a task that was delegated to another host than the lock's."""
    lock = json.loads(text) if text else {}
    return lock if lock and lock["place"] == _place(lock["path"]) else {}


def _place(path: str) -> str:
    """Names the folder of the lock among those of all hosts; empty when there is none."""
    try:
        found = os.stat(os.path.dirname(path))
    except OSError:
        return ""
    return f"{_boot()} {found.st_dev} {found.st_ino}"


# --- inside -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _alone(path: str) -> t.Iterator[None]:
    """Between looking at the lock and writing it nobody else does either: all who ask are processes of this host."""
    folder, name = os.path.split(path)
    os.makedirs(folder, mode=0o750, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for rest in os.listdir(folder):
            if rest.startswith(f".{name}."):  # of a process that was killed while it wrote
                os.unlink(os.path.join(folder, rest))
        yield
    finally:
        os.close(descriptor)


def _write(path: str, owner: dict[str, t.Any], lease: float, module: dict[str, t.Any] | None = None) -> None:
    if _last(path) != owner:
        _atomic.write_file(f"{path}.last", json.dumps(owner, sort_keys=True) + "\n", 0o644)
    now = time.time()
    content = {"owner": owner, "module": module or {}, "heartbeat": now, "expires": now + lease, "lease": lease}
    content.update(boot=_boot(), beat=_since_boot())
    _atomic.write_file(path, json.dumps(content, sort_keys=True) + "\n", 0o644)


def _last(path: str) -> dict[str, t.Any]:
    try:
        with open(f"{path}.last", encoding="utf-8") as stream:
            return dict(json.load(stream))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def _free(path: str, holder: dict[str, t.Any] | None, owner: dict[str, t.Any], dead: dict[str, t.Any] | None) -> str:
    """A word on a stale lock, empty for a free one or our own; raises `ProductionError` for somebody else's."""
    if holder is None or holder["owner"] == owner:
        return ""
    reason = "its process is gone" if dead and holder["owner"] == dead else _stale(holder)
    if reason:
        return f"takes over the lock of {describe(holder)}: {reason}"
    raise ProductionError(
        "lock",
        f"{describe(holder)} deploys this stack.",
        f"Wait for it to end. If it is gone, the lock is free in {max(0, int(_left(holder)))} s, or remove {path}.",
        owner=holder["owner"],
    )


def _stale(holder: dict[str, t.Any]) -> str:
    if _left(holder) <= 0:
        return "its lease had run out"
    owner = holder["owner"]
    if ended(owner):
        return "its process is gone"
    if holder["boot"] != _boot() and str(owner.get("process_space")).startswith(holder["boot"] + " "):
        return "this machine, where it ran, was started again"
    return ""


def _left(holder: dict[str, t.Any]) -> float:
    """Seconds until the lease is over. Before a reboot: by the time of day, or since boot if that was set back."""
    if holder["boot"] == _boot():
        return holder["lease"] - (_since_boot() - holder["beat"])
    return min(holder["expires"] - time.time(), holder["lease"] - _since_boot())


def _outlive(module: dict[str, t.Any], seconds: float) -> None:
    """Waits for the end of what a dead deploy left at work, at most as long as its lease would have lasted."""
    deadline = time.monotonic() + seconds
    while module.get("process_space") == process_space() and not ended(module) and time.monotonic() < deadline:
        time.sleep(0.1)


def _lost(cause: str, owner: dict[str, t.Any]) -> ProductionError:
    return ProductionError(
        "lock",
        f"This deploy has lost its lock. {cause}",
        "Wait for that deploy to end, then run this one again. If a task outlasted the lease, raise stack_lock_lease.",
        owner=owner,
        lock_lost=True,
    )


def _name(owner: dict[str, t.Any]) -> str:
    return f"{owner.get('user')}@{owner.get('host')} (pid {owner.get('pid')})"


def _status(pid: int) -> list[str]:
    """What /proc/<pid>/stat says from the process's state on; empty when there is none, or it is hidden."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def _exists(pid: int) -> bool:
    """Also of a process that /proc hides from us."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _boot() -> str:
    with open(_BOOT_ID, encoding="ascii") as stream:
        return stream.read().strip()


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
