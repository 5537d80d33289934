# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups are no longer kept: every rule alone, together, and over a year of nights."""

from __future__ import annotations

import datetime
import pathlib
import typing as t

import pytest

from ansible_collections.tria.production.plugins.module_utils._backup import manifest, retention
from ansible_collections.tria.production.plugins.module_utils._backup.retention import Rules
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

OPTIONS = {
    "keep_last": 7,
    "keep_daily": 0,
    "keep_weekly": 0,
    "keep_monthly": 0,
    "keep_min": 1,
    "keep_labels": [],
    "keep_labels_in": None,
}


def made(created: str, name: str = "", **changes: t.Any) -> manifest.Manifest:
    """A backup of a moment such as `2025-01-02T03:04`, or of a day."""
    values: dict[str, t.Any] = {
        "created_at": f"{created if 'T' in created else created + 'T03:00'}:00.000000Z",
        "dbname": "shop",
        "source": {},
        "dump": manifest.File(name or created, 4, ""),
        "globals": None,
        "compression": "zstd",
        "archive_bytes": 10,
        "database_size_bytes": 100,
        "server_version": "15.1",
        "pg_dump_version": "15.1",
        "entries": 5,
        "tables": 1,
        "verified": "archive",
        "duration_s": 0.1,
    }
    return manifest.Manifest(**{**values, **changes})


def expired(backups: list[manifest.Manifest], newest: str = "", **rules: t.Any) -> list[str]:
    """Names of those that go; without a word about it, the last of the list is the one just made."""
    rules.setdefault("last", 0)
    return [each.dump.file for each in retention.expired(backups, Rules(**rules), newest or backups[-1].dump.file)]


def kept(backups: list[manifest.Manifest], **rules: t.Any) -> list[str]:
    gone = expired(backups, **rules)
    return [each.dump.file for each in backups if each.dump.file not in gone]


def nights(first: str, count: int, step: int = 1) -> list[manifest.Manifest]:
    day = datetime.date.fromisoformat(first)
    return [made((day + datetime.timedelta(days=number * step)).isoformat()) for number in range(count)]


FOUR = [made(f"2025-01-0{day}", name) for day, name in enumerate("abcd", 1)]


def test_the_last() -> None:
    assert expired(FOUR, last=2) == ["a", "b"]
    assert expired(FOUR, last=1) == ["a", "b", "c"]
    assert expired(FOUR, last=4) == expired(FOUR, last=9) == []


def test_pinned_ones_neither_count_nor_go() -> None:
    backups = [
        made("2025-01-01", "a", pinned=True),
        made("2025-01-02", "b"),
        made("2025-01-03", "c", pinned=True),
        made("2025-01-04", "d"),
    ]
    assert expired(backups, last=2) == []
    assert expired(backups, last=1) == ["b"]
    assert expired(backups, last=1, least=2) == []
    assert expired(backups, last=1, monthly=5) == ["b"]


def test_labelled_ones_neither_count_nor_go() -> None:
    backups = [made(f"2025-01-0{day}", label=f"r{day}") for day in range(1, 5)]
    assert expired(backups, last=1, labels=["r1", "r4"]) == ["2025-01-02"]
    assert expired(backups, last=2, labels=["r1", "r4"]) == []


def test_a_pinned_backup_does_not_stand_for_its_day() -> None:
    backups = [made("2025-01-01T01:00"), made("2025-01-01T02:00", pinned=True), *nights("2025-01-02", 2)]
    assert expired(backups, daily=3) == []


def test_unverified_ones_do_not_count_and_go_with_their_time() -> None:
    backups = [
        made("2025-01-01", "a"),
        made("2025-01-02", "b", verified="none"),
        made("2025-01-03", "c"),
        made("2025-01-04", "d", verified="none"),
    ]
    assert expired(backups, last=2) == []
    assert expired(backups, last=1) == expired(backups, last=0, daily=1) == ["a", "b"]
    assert expired(backups, last=0, daily=9) == ["b"]  # history is of verified ones
    assert expired(backups, last=9) == []
    assert expired(backups[1:3], last=2) == []  # not before there is enough that is better


def test_a_backup_verified_by_a_restore_counts_as_well() -> None:
    assert expired([made("2025-01-01", "a"), made("2025-01-02", "b", verified="restore")], last=1) == ["a"]


def test_the_newest_stays_whatever_the_clock_says() -> None:
    """The one just made is the oldest by its date: a clock was set back."""
    assert expired(FOUR, newest="a", last=1) == ["b", "c", "d"]
    assert "a" not in expired(FOUR, newest="a", daily=2)
    future = made("2099-01-01", "future")
    assert expired([made("2025-01-01", "a"), made("2025-01-02", "b"), future], newest="b", last=1) == ["a", "future"]


def test_an_unverified_newest_takes_no_other_with_it() -> None:
    backups = [*FOUR, made("2025-01-05", "e", verified="none")]
    assert kept(backups, last=1) == ["d", "e"]
    assert kept([made("2025-01-01", "a", verified="none")], last=1) == ["a"]


def test_the_newest_of_each_day() -> None:
    backups = [made(f"2025-01-0{day}T{hour}:59") for day in (1, 2, 3) for hour in ("00", "12", "23")]
    assert kept(backups, daily=2) == ["2025-01-02T23:59", "2025-01-03T23:59"]
    assert kept(backups, daily=2, last=2) == ["2025-01-02T23:59", "2025-01-03T12:59", "2025-01-03T23:59"]


def test_days_without_a_backup_cost_nothing() -> None:
    """A month of silence, and then one backup: all that was kept before is kept but the oldest."""
    before = nights("2025-01-01", 7)
    assert expired(before, daily=7) == []
    assert expired([*before, made("2025-03-01")], daily=7) == ["2025-01-01"]
    assert expired([*before, made("2025-03-01")], last=1, weekly=2, monthly=2, least=8) == []


def test_weeks_are_those_of_iso_8601() -> None:
    # 2024-12-30 is the Monday of the first week of 2025, 2025-01-05 its Sunday
    backups = [made(day) for day in ("2024-12-29", "2024-12-30", "2025-01-05", "2025-01-06")]
    assert kept(backups, weekly=9) == ["2024-12-29", "2025-01-05", "2025-01-06"]
    assert kept(backups, weekly=2) == ["2025-01-05", "2025-01-06"]


def test_the_same_week_of_two_years_is_two() -> None:
    assert expired([made("2024-01-03"), made("2025-01-02")], weekly=2) == []


def test_months() -> None:
    backups = [made(day) for day in ("2024-01-31", "2025-01-01", "2025-01-31", "2025-02-01")]
    assert kept(backups, monthly=9) == ["2024-01-31", "2025-01-31", "2025-02-01"]
    assert kept(backups, monthly=2) == ["2025-01-31", "2025-02-01"]


def test_never_fewer_than_the_least() -> None:
    backups = [made(f"2025-01-01T0{hour}:00") for hour in range(6)]
    assert len(kept(backups, daily=7)) == 1
    assert kept(backups, daily=7, least=3) == [f"2025-01-01T0{hour}:00" for hour in (3, 4, 5)]
    assert expired(backups, daily=7, least=99) == []
    assert kept([*backups, made("2025-01-02", verified="none")], daily=7, least=2)[:2] == [
        "2025-01-01T04:00",
        "2025-01-01T05:00",
    ]


def test_the_least_adds_the_newest_to_what_is_kept_for_its_period() -> None:
    found = kept(nights("2025-01-01", 70), monthly=3, least=5)
    assert found == ["2025-01-31", "2025-02-28", "2025-03-09", "2025-03-10", "2025-03-11"]


def test_a_year_of_nights_leaves_what_the_rules_promise() -> None:
    """Retention after every night keeps the same as once at the end: nothing is worn away on the way."""
    rules = {"last": 3, "daily": 7, "weekly": 5, "monthly": 12}
    every = nights("2024-03-01", 400)
    folder: list[manifest.Manifest] = []
    for each in every:
        folder.append(each)
        gone = expired(folder, **rules)
        folder = [one for one in folder if one.dump.file not in gone]
    assert [each.dump.file for each in folder] == kept(every, **rules)
    days = [each.dump.file for each in folder]
    assert days[-7:] == [each.dump.file for each in every[-7:]]
    weeks = {datetime.date.fromisoformat(day).isocalendar()[:2] for day in days}
    assert len(weeks) >= 12 and len({day[:7] for day in days}) == 12


def test_one_missed_day_a_week_wears_nothing_away() -> None:
    folder: list[manifest.Manifest] = []
    made_on = [each for number, each in enumerate(nights("2025-01-01", 200)) if number % 7 != 3]
    for count, each in enumerate(made_on, 1):
        folder.append(each)
        gone = expired(folder, daily=10)
        folder = [one for one in folder if one.dump.file not in gone]
        assert folder == made_on[max(count - 10, 0) : count]


def test_no_backup_at_all() -> None:
    assert retention.expired([], Rules(last=3), "x") == []


def test_rules_of_the_options(tmp_path: pathlib.Path) -> None:
    assert Rules.of(OPTIONS) == Rules(last=7, labels=set())
    (tmp_path / "20250101T000000Z-a").mkdir()
    found = Rules.of({**OPTIONS, "keep_last": 0, "keep_monthly": 3, "keep_min": 2, "keep_labels": ["x"]})
    assert found == Rules(last=0, monthly=3, least=2, labels={"x"})
    assert Rules.of({**OPTIONS, "keep_labels_in": str(tmp_path)}).labels == {"20250101T000000Z-a"}
    assert Rules.of({**OPTIONS, "keep_labels_in": str(tmp_path / "not yet")}).labels == set()


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"keep_last": 0}, "keep_last"),
        ({"keep_last": -1}, "keep_last"),
        ({"keep_daily": -1}, "keep_last"),
        ({"keep_min": 0}, "keep_min"),
    ],
)
def test_rules_that_would_keep_nothing(changes: dict[str, t.Any], culprit: str) -> None:
    with pytest.raises(ProductionError) as caught:
        Rules.of({**OPTIONS, **changes})
    assert caught.value.culprit == culprit
