# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make bench ONLY=backup`: what a dump of a database costs, in time, memory and bytes."""

from __future__ import annotations

import os
import pathlib
import statistics
import tempfile
import typing as t

from benchmarks.backup import contenders, database
from benchmarks.backup.contenders import Place, Sample
from benchmarks.figures import show

_SCALES = "20 100"
_ROUNDS = {20: 5, 100: 3}  # at most
_MEMORY_GOAL = 64  # MB of ours, whatever its children need
_GOALS = {  # at most that much of a peer's time
    ("host_none", "raw_zstd"): 1.05,
    ("container_none", "raw_zstd_container"): 1.05,
    ("host_archive", "pg_dump_fc"): 1.0,
}
_UNITS = {"seconds": "s", "inside": "inside_s", "cpu": "cpu_s", "mb": "mb"}
Samples = t.Dict[str, t.List[Sample]]


def run(rounds: int, ours_only: bool) -> None:
    """All contenders in turns, at each scale; SCALES="1 20" for others than usual."""
    scales = [int(word) for word in os.environ.get("SCALES", _SCALES).split()]
    found: dict[int, Samples] = {}
    with tempfile.TemporaryDirectory() as name, database.server() as postgres:
        folder = pathlib.Path(name, "dumps")
        folder.mkdir()
        for scale in scales:
            with database.filled(postgres, scale) as dbname:
                place = Place(postgres, dbname, folder)
                found[scale] = _samples(place, min(rounds, _ROUNDS.get(scale, rounds)), ours_only)
            _show(f"backup_{scale}", found[scale])
    _show_growth(found, scales)


def _samples(place: Place, rounds: int, ours_only: bool) -> Samples:
    starts = contenders.contenders(ours_only)
    found: Samples = {name: [] for name in starts}
    for _round in range(rounds):
        for name, start in starts.items():
            found[name].append(contenders.measure(start, place))
    return found


def _show(title: str, found: Samples) -> None:
    print("# backup contender seconds inside cpu_s own_peak_mb peak_mb mb", flush=True)
    for name, samples in found.items():
        values = (f"{_median(samples, value):.3g}" for value in ("seconds", "inside", "cpu", "own_mb", "all_mb", "mb"))
        print(f"{title} {name} {' '.join(values)}", flush=True)
    for name in (name for name in found if name.startswith(("host_", "container_"))):
        show(f"{title}_{name}_own_peak_mb", _median(found[name], "own_mb"), goal=_MEMORY_GOAL)
        for peer in (peer for peer in found if not peer.startswith(("host_", "container_"))):
            if ("container" in name) != ("container" in peer):
                continue
            for value, unit in _UNITS.items():
                goal = _GOALS.get((name, peer)) if value in ("seconds", "inside") else None
                pair = (_median(found[name], value), _median(found[peer], value))
                show(f"{title}_{name}_vs_{peer}_{unit}", *pair, goal=goal, of_peer=goal is not None)


def _show_growth(found: dict[int, Samples], scales: list[int]) -> None:
    """How much more memory of ours the largest database takes than the smallest."""
    least, most = found[min(scales)], found[max(scales)]
    for name in (name for name in most if name.startswith(("host_", "container_"))):
        show(f"backup_{name}_memory_growth", _median(most[name], "own_mb"), _median(least[name], "own_mb"))


def _median(samples: list[Sample], value: str) -> float:
    return statistics.median(getattr(sample, value) for sample in samples)
