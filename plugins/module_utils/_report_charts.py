# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drawings of the HTML report. Private to the collection.

Each is a row of a table that says the same in numbers: whoever does not see the drawing misses nothing. Lengths are per
cent of the row, so that nothing is scaled and no letter gets too small on a phone.
"""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._report_markup import Html, percent, tag


def shares(counts: dict[str, int]) -> Html:
    """How many checks ended in which way, as parts of one line."""
    whole, drawn, begun = sum(counts.values()), [], 0
    for status, count in counts.items():
        if count:
            place = {"x": percent(begun, whole), "width": percent(count, whole)}
            drawn.append(tag("rect", class_=status, y=0, height="100%", **place))
        begun += count
    return tag("svg", *drawn, class_="share", aria_hidden="true", focusable="false")


def span(begun: float, took: float, whole: float, status: str) -> Html:
    """When something ran, on an axis from 0 to `whole`."""
    at = min(begun, whole)
    # What took next to nothing stays visible.
    place = {"x": percent(at, whole), "y": 4, "width": percent(max(took, whole / 200), whole), "height": 14}
    return _bar(tag("rect", class_=f"tone {status}", rx=3, **place))


def time_bar(now: float, before: float | None, budget: float | None, whole: float) -> Html:
    """A time, below it the one before, and a line where the budget ends."""
    drawn = [tag("rect", class_="now", y=2, height=11, width=percent(now, whole), rx=2)]
    if before:
        drawn.append(tag("rect", class_="before", y=14, height=5, width=percent(before, whole), rx=2))
    return _bar(*drawn, *_budget(budget, whole))


def percentiles(p50: float, p95: float, p99: float, budget: float | None, whole: float) -> Html:
    """The times that 50, 95 and 99 % of the samples kept below, one behind the other."""
    pairs = ((p99, "range"), (p95, "range"), (p50, "now"))
    drawn = [tag("rect", class_=name, y=4, height=13, width=percent(value, whole), rx=2) for value, name in pairs]
    return _bar(*drawn, *_budget(budget, whole))


def swatch(name: str) -> Html:
    """What a part of a drawing looks like, for its key."""
    if name == "budget":
        drawn = tag("line", class_=name, x1="50%", x2="50%", y1=0, y2="100%")
    else:
        drawn = tag("rect", class_=name, width="100%", height="100%", rx=2)
    return tag("svg", drawn, class_="bar", aria_hidden="true", focusable="false")


def _budget(budget: float | None, whole: float) -> t.Iterator[Html]:
    if budget:
        at = percent(budget, whole)
        yield tag("line", class_="budget", x1=at, x2=at, y1=0, y2="100%")


def _bar(*drawn: Html) -> Html:
    track = tag("rect", class_="track", y=2, height=18, width="100%", rx=3)
    return tag("svg", track, *drawn, class_="bar", aria_hidden="true", focusable="false")
