# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollout has begun, for whoever comes after a run that was killed. Private to the collection."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases.store import JOURNAL, Releases

LOCK = ".rollout.lock"
ROLLOUT = "rollout"
STOPPED = "stopped"  # an irreversible migration ran: nothing is reverted any more


def read(root: str) -> dict[str, t.Any]:
    """The journal; {} when nothing is under way. Raises `ProductionError` when it is damaged.

    {deploy, release, previous, started_at, phase: "rollout" or "stopped", done: [services that need no rollout, or not
    any more], migrations: {service: its plan before it ran} or None, backup: path of the dump made before, or ""}
    """
    return Releases(root).journal()


def begin(
    root: str, deploy: str, release: str, previous: str, done: t.Sequence[str], backup: str = ""
) -> dict[str, t.Any]:
    """The journal of this rollout, written unless it is there already. Raises `ProductionError` for somebody else's.

    A deploy that follows one which was stopped by a migration inherits what that one knew of the schema before.
    """
    journal = read(root)
    if journal and journal["release"] == release and journal["phase"] == ROLLOUT:
        return journal
    if journal and journal["phase"] != STOPPED:
        raise ProductionError(
            "journal", f"the rollout of release {journal['release']} was interrupted.",
            "Run the deploy: it finishes or reverts that rollout first.",
        )
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    new = {
        "deploy": deploy, "release": release, "previous": previous, "started_at": now, "phase": ROLLOUT,
        "done": list(done), "migrations": journal.get("migrations"), "backup": journal.get("backup") or backup,
    }
    write(root, new)
    return new


def write(root: str, journal: dict[str, t.Any]) -> None:
    text = json.dumps(journal, indent=2, sort_keys=True) + "\n"
    _atomic.write_file(os.path.join(root, JOURNAL), text, 0o600)


def remove(root: str) -> bool:
    """Whether there was one."""
    try:
        os.unlink(os.path.join(root, JOURNAL))
    except FileNotFoundError:
        return False
    _atomic.sync_folder(root)
    return True


@contextlib.contextmanager
def alone(root: str, timeout: float) -> t.Iterator[None]:
    """One rollout on this host at a time, whoever started it: also after the one before was killed, or cut off.

    The lock passes on to the commands that we run, so that one which outlives its rollout is waited for as well.
    Raises `ProductionError` after `timeout` seconds.
    """
    descriptor = os.open(os.path.join(root, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.set_inheritable(descriptor, True)
        deadline = time.monotonic() + timeout
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                path = os.path.join(root, LOCK)
                remedy = f"See what it waits for: fuser -v {path}. Then run this again."
                raise ProductionError(path, f"another rollout has not ended within {timeout:.0f} s.", remedy)
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
