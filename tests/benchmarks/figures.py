# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a benchmark prints: one line a figure, smaller is better."""

from __future__ import annotations

import dataclasses
import math
import typing as t


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure; its unit is the end of its name. `goal` is the most that `ours`, or its ratio `of_peer`, may be."""

    name: str
    ours: float
    peer: t.Optional[float] = None
    goal: t.Optional[float] = None
    of_peer: bool = False

    def line(self) -> str:
        ratio = self.ours / self.peer if self.peer else None
        held = ratio if self.of_peer else self.ours
        verdict = "-" if self.goal is None or held is None else "met" if held <= self.goal else "missed"
        shown = f"ours={_number(self.ours)} peer={_number(self.peer)} ratio={_number(ratio)} goal={_number(self.goal)}"
        return f"bench {self.name} {shown} {verdict}"


def show(
    name: str, ours: float, peer: float | None = None, goal: float | None = None, of_peer: bool = False
) -> None:
    """Prints a figure as soon as it is known."""
    print(Figure(name, ours, peer, goal, of_peer).line(), flush=True)


def percentile(values: t.Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was really measured; of few values, p95 is the worst."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(percent / 100 * len(ordered))) - 1]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
