# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of the databases that restores have replaced are due, by their names alone."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.tria.production.plugins.module_utils._backup import before

NOW = datetime.datetime(2025, 1, 10, 12, 0, 0, tzinfo=datetime.timezone.utc)
OLDEST, OLD, FRESH = (f"shop_before_202501{day}_120000" for day in ("01", "02", "09"))


def due(*names: str, dbname: str = "shop", days: int = 7) -> list[str]:
    return before.due(dbname, names, days, NOW)


def test_a_name_is_found_again() -> None:
    assert before.name("shop", NOW) == "shop_before_20250110_120000"
    assert (
        before.due("shop", [before.name("shop", NOW), before.name("shop", NOW + datetime.timedelta(1))], 0, NOW) == []
    )
    later = NOW + datetime.timedelta(seconds=1)
    assert before.due("shop", [before.name("shop", NOW), before.name("shop", later)], 0, later) == [
        "shop_before_20250110_120000"
    ]


def test_those_whose_days_are_over() -> None:
    assert due(FRESH, OLD, OLDEST) == [OLDEST, OLD]
    assert due(FRESH, OLD, OLDEST, days=8) == [OLDEST]
    assert due(FRESH, OLD, OLDEST, days=9) == []


def test_the_newest_one_never() -> None:
    assert due(OLD, OLDEST) == [OLDEST]
    assert due(OLD) == due() == []


@pytest.mark.parametrize(
    "name",
    [
        "shop_before_the_move",
        "shop_before_20250101_1200000",
        "shop_before_20250101_12000",
        "shop_before_20250101_120000_kept",
        "shop_before_20251301_120000",
        "shop_before_2025011_120000",
        "shop2_before_20250101_120000",
        "my_shop_before_20250101_120000",
        "shop_restoring",
        "shop",
        "",
    ],
)
def test_names_that_no_restore_gives(name: str) -> None:
    assert due(name, FRESH) == []


def test_a_name_that_is_cut_could_be_another_database_s() -> None:
    longest, longer = "x" * 40, "x" * 41
    for dbname, found in ((longest, 1), (longer, 0)):
        kept = [before.name(dbname, NOW - datetime.timedelta(days=age)) for age in (20, 10)]
        assert len(due(*kept, dbname=dbname)) == found, dbname


def test_what_is_said() -> None:
    assert before.Pruned().words() == []
    pruned = before.Pruned([OLDEST], {OLD: "somebody is connected to it"})
    assert pruned.words() == [
        f"Dropped what earlier restores kept: {OLDEST}.",
        f"{OLD} should have been dropped, but somebody is connected to it.",
    ]
    assert pruned.words(done=False)[0].startswith("Would drop ")
