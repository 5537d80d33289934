# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a dump counts as suddenly shrunken."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.tria.production.plugins.module_utils._backup import manifest, shrinkage
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def backup(archive_bytes: int, verified: str = "archive") -> manifest.Manifest:
    return manifest.Manifest(
        created_at="2025-01-01T00:00:00.000000Z",
        dbname="shop",
        source={},
        dump=manifest.File(f"shop-{archive_bytes}.dump.zst", 1, ""),
        globals=None,
        compression="zstd",
        archive_bytes=archive_bytes,
        database_size_bytes=1,
        server_version="15.1",
        pg_dump_version="15.1",
        entries=1,
        tables=1,
        verified=verified,
        duration_s=1.0,
    )


@pytest.mark.parametrize(
    ("last", "made", "ratio"),
    [
        ([], 1, 0.5),
        ([backup(100)], 50, 0.5),
        ([backup(100)], 500, 1.0),
        ([backup(100)], 1, 0.0),
        ([backup(1000), backup(100)], 60, 0.5),  # the newest one counts
        ([backup(100), backup(1000, "none")], 60, 0.5),  # of those that are proven
    ],
)
def test_enough(last: list[manifest.Manifest], made: int, ratio: float) -> None:
    shrinkage.refuse(backup(made), last, ratio, "database shop")


def test_too_little() -> None:
    with pytest.raises(ProductionError, match=r"only 49% of what the last backup has, shop-100\.dump\.zst") as caught:
        shrinkage.refuse(backup(49), [backup(100)], 0.5, "database shop")
    assert caught.value.culprit == "database shop" and "min_size_ratio=0" in caught.value.remedy
    assert caught.value.details == {"dump_bytes": 49, "last_dump_bytes": 100}


def folder(size: int, compression: str = "gzip") -> manifest.Manifest:
    file = manifest.File("shop.dump.d", size, "")
    return dataclasses.replace(backup(1), dump=file, archive_bytes=None, parts=[file], compression=compression)


def test_folders_are_compared_with_their_like() -> None:
    shrinkage.refuse(folder(40), [folder(70), folder(500, "none"), backup(9000)], 0.5, "database shop")
    shrinkage.refuse(backup(40), [backup(70), folder(9000)], 0.5, "database shop")
    with pytest.raises(ProductionError, match="40 bytes instead of 100. Nothing"):
        shrinkage.refuse(folder(40), [folder(100), backup(1)], 0.5, "database shop")


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_senseless_ratios(ratio: float) -> None:
    with pytest.raises(ProductionError, match="min_size_ratio"):
        shrinkage.require_sane(ratio)
