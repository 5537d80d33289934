# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases that restores have replaced: how they are named, and when they go. Private to the collection."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import databases, process
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

Kept = t.Dict[str, t.Dict[str, t.Any]]

_SUFFIX = "_before_%Y%m%d_%H%M%S"


@dataclasses.dataclass
class Pruned:
    """What became of those whose time is over: `dropped`, and `left` with the reason of each."""

    dropped: list[str] = dataclasses.field(default_factory=list)
    left: dict[str, str] = dataclasses.field(default_factory=dict)

    def words(self, done: bool = True) -> list[str]:
        """For the result's message; nothing when nothing was due."""
        verb = "Dropped" if done else "Would drop"
        said = [f"{verb} what earlier restores kept: {', '.join(self.dropped)}."] if self.dropped else []
        return said + [f"{name} should have been dropped, but {why}." for name, why in self.left.items()]


def name(dbname: str, now: datetime.datetime) -> str:
    """What the database that is replaced `now` (UTC) is called afterwards."""
    return databases.beside(dbname, f"{now:{_SUFFIX}}")


def due(dbname: str, names: t.Iterable[str], keep_days: int, now: datetime.datetime) -> list[str]:
    """Those of `names` that a restore of `dbname` has replaced more than `keep_days` ago; never the newest one.

    None of a name so long that it is cut in theirs: they could as well be those of another database.
    """
    kept = sorted((when, each) for each in names for when in _replaced(dbname, each))
    limit = now - datetime.timedelta(days=keep_days)
    return [each for when, each in kept[:-1] if when < limit]


def _replaced(dbname: str, kept: str) -> list[datetime.datetime]:
    """When it was, if `kept` is a name that `name` gives."""
    try:
        when = datetime.datetime.strptime(kept[len(dbname) :], _SUFFIX).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return []
    return [when] if kept == f"{dbname}{when:{_SUFFIX}}" else []


def prune(
    server: Server,
    dbname: str,
    found: Kept,
    keep_days: int,
    deadline: Deadline,
    check_mode: bool = False,
    newest: str = "",
) -> Pruned:
    """Drops those of `found` (`Facts.before`) that are due on `server`; `newest` is one that came after it was asked.

    One that somebody uses, or that is not the login's to drop, is left and told: what was done before is complete.
    """
    pruned = Pruned()
    now = datetime.datetime.now(datetime.timezone.utc)
    for each in due(dbname, {*found, newest}, keep_days, now):
        if not found[each]["ours"]:
            pruned.left[each] = "login_user is not its owner"
        elif found[each]["sessions"]:
            pruned.left[each] = "somebody is connected to it"
        elif check_mode:
            pruned.dropped.append(each)
        else:
            _drop(server, each, pruned, deadline)
    return pruned


def _drop(server: Server, each: str, pruned: Pruned, deadline: Deadline) -> None:
    try:
        databases.drop(server, each, deadline)
    except (ProductionError, process.TimedOut) as exc:
        pruned.left[each] = (exc.cause if isinstance(exc, ProductionError) else str(exc)).rstrip(".")
    else:
        pruned.dropped.append(each)
