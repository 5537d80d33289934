# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups are no longer kept. Private to the collection."""

from __future__ import annotations

import dataclasses
import datetime
import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup.manifest import Manifest
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


@dataclasses.dataclass
class Rules:
    """How many backups are kept, by which rule; what one rule keeps, no other takes away.

    `last` newest ones; the newest one of each of the `daily` newest days (UTC) that have one, of `weekly` weeks (ISO
    8601), of `monthly` months; never fewer than `least`. `labels` are those of backups that are as good as pinned.
    """

    last: int
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    least: int = 1
    labels: t.Collection[str] = ()

    @classmethod
    def of(cls, options: dict[str, t.Any]) -> Rules:
        """As the module's `options` say; raises `ProductionError` when they would keep nothing, `OSError`."""
        rules = cls(
            last=options["keep_last"],
            daily=options["keep_daily"],
            weekly=options["keep_weekly"],
            monthly=options["keep_monthly"],
            least=options["keep_min"],
            labels={*options["keep_labels"], *_names(options["keep_labels_in"])},
        )
        numbers = [rules.last, rules.daily, rules.weekly, rules.monthly]
        if min(numbers) < 0 or not any(numbers):
            raise ProductionError(
                "keep_last",
                f"is {rules.last}, keep_daily {rules.daily}, keep_weekly {rules.weekly}, keep_monthly {rules.monthly}.",
                "None of them may be less than zero, and one must be more.",
            )
        if rules.least < 1:
            raise ProductionError("keep_min", f"is {rules.least}.", "It must be more than zero.")
        return rules


def expired(backups: list[Manifest], rules: Rules, newest: str) -> list[Manifest]:
    """Those of `backups` (oldest first, of one database) that no rule keeps, oldest first.

    Only verified ones that are neither pinned nor labelled count, so that another never pushes a good one out. Days
    without a backup do not count either: history does not vanish because nobody made one. An unverified one goes when
    it is older than the `last` newest verified ones. `newest` is the dump just made: it counts as the newest even when
    the clock was set back and its date says that it is old.
    """
    loose = (each for each in backups if not each.pinned and each.label not in rules.labels)
    ordered = sorted(loose, key=lambda each: each.dump.file == newest)
    verified = [each for each in reversed(ordered) if each.verified != "none"]
    recent = max(rules.last, 1)
    kept = verified[:recent]
    for count, period in ((rules.daily, _day), (rules.weekly, _week), (rules.monthly, _month)):
        kept += _newest_of_each(verified, count, period)
    kept_files = {each.dump.file for each in kept}
    others = [each for each in verified if each.dump.file not in kept_files]
    kept_files.update(each.dump.file for each in others[: max(rules.least - len(kept_files), 0)])
    if len(verified) < recent:
        return []
    oldest_recent = ordered.index(verified[recent - 1])
    return [
        each
        for place, each in enumerate(ordered)
        if each.dump.file not in kept_files and (each.verified != "none" or place < oldest_recent)
    ]


def _newest_of_each(newest_first: list[Manifest], count: int, period: t.Callable[[Manifest], t.Any]) -> list[Manifest]:
    found: dict[t.Any, Manifest] = {}
    for each in newest_first:
        found.setdefault(period(each), each)
    return list(found.values())[:count]


def _day(backup: Manifest) -> str:
    return backup.created_at[:10]


def _week(backup: Manifest) -> tuple[int, int]:
    year, week, _day_of_week = datetime.date.fromisoformat(backup.created_at[:10]).isocalendar()
    return year, week


def _month(backup: Manifest) -> str:
    return backup.created_at[:7]


def _names(folder: str | None) -> list[str]:
    """The names in a folder; none when it is not there yet."""
    return os.listdir(folder) if folder and os.path.isdir(folder) else []
