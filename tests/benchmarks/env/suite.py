# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make bench ONLY=env`: what it costs to hold an env file against a schema, and who reads it as Compose does."""

from __future__ import annotations

import os
import pathlib
import statistics
import tempfile
import typing as t

from benchmarks.env import cases, contenders
from benchmarks.env.contenders import Sample
from benchmarks.env.work import Work, write
from benchmarks.figures import show

_SIZES = "1000 10000 100000"  # variables
_ROUNDS = {1000: 10, 10000: 5, 100000: 3}  # at most
_GOAL = {10000: 1.0}  # s in the engine
_LINEAR = 1.5  # times as long for each variable, from one size to the next
_MOST_OF_PEERS = 10000  # variables; it takes them a minute and more for ten times as many
Samples = t.Dict[str, t.List[Sample]]


def run(rounds: int, ours_only: bool) -> None:
    """All contenders in turns, at each size; SIZES="1000" for others than usual."""
    sizes = [int(word) for word in os.environ.get("SIZES", _SIZES).split()]
    peers = {} if ours_only else contenders.all_peers()
    found: dict[int, Samples] = {}
    with tempfile.TemporaryDirectory() as name:
        for size in sizes:
            work = write(pathlib.Path(name, str(size)), size)
            everybody = {**contenders.OURS, **(peers if size <= _MOST_OF_PEERS else {})}
            found[size] = _samples(work, everybody, min(rounds, _ROUNDS.get(size, 1)))
            _show(work, found[size])
        cases.show(pathlib.Path(name), {"ours": contenders.OURS["engine"], **peers})
    _show_growth(found, sizes)
    if not ours_only:
        _show_differences()


def _samples(work: Work, all_of_them: dict[str, contenders.Contender], rounds: int) -> Samples:
    found: Samples = {name: [] for name in all_of_them}
    for _round in range(rounds):
        for name, contender in all_of_them.items():
            found[name].append(contenders.measure(contender, work))
    return found


def _show(work: Work, found: Samples) -> None:
    title = f"env_{work.size}"
    print("# env contender seconds inside own_peak_mb found_wrong", flush=True)
    for name, samples in found.items():
        values = (f"{_median(samples, value):.3g}" for value in ("seconds", "inside", "mb"))
        print(f"{title} {name} {' '.join(values)} {samples[0].wrong}_of_{work.bad}", flush=True)
    engine, module = found["engine"], found["module"]
    show(f"{title}_engine_s", _median(engine, "inside"), goal=_GOAL.get(work.size))
    show(f"{title}_module_s", _median(module, "seconds"))
    show(f"{title}_engine_peak_mb", _median(engine, "mb"))
    show(f"{title}_module_peak_mb", _median(module, "mb"))
    for peer in (peer for peer in found if peer not in contenders.OURS):
        if peer in contenders.TELL_THEIR_TIME:
            show(f"{title}_engine_vs_{peer}_inside_s", _median(engine, "inside"), _median(found[peer], "inside"))
        show(f"{title}_engine_vs_{peer}_s", _median(engine, "seconds"), _median(found[peer], "seconds"))
        show(f"{title}_module_vs_{peer}_s", _median(module, "seconds"), _median(found[peer], "seconds"))
        show(f"{title}_engine_vs_{peer}_peak_mb", _median(engine, "mb"), _median(found[peer], "mb"))


def _show_growth(found: dict[int, Samples], sizes: list[int]) -> None:
    """Microseconds for each variable beside those of the next smaller size; the same means linear."""
    for small, large in zip(sizes, sizes[1:]):
        each = [_median(found[size]["engine"], "inside") / size * 1e6 for size in (large, small)]
        show(f"env_growth_{small}_to_{large}_us_each", *each, goal=_LINEAR, of_peer=True)


def _show_differences() -> None:
    """Files that are read otherwise than Compose reads them: by us, and by python-dotenv."""
    from benchmarks.env import differences  # needs hypothesis, which no other suite does

    files, ours, dotenv = differences.count(contenders.python())
    show(f"env_differences_in_{files}_files", ours, dotenv, goal=0)


def _median(samples: list[Sample], value: str) -> float:
    return statistics.median(getattr(sample, value) for sample in samples)
