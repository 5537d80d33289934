# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The times in the HTML report: gates, answers, repeated flows. Private to the collection.

Each function returns the content of one section, empty when there is nothing to say.
"""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils import _report_charts as charts
from ansible_collections.tria.production.plugins.module_utils import _report_elements as elements
from ansible_collections.tria.production.plugins.module_utils import _report_reading as reading
from ansible_collections.tria.production.plugins.module_utils._report_elements import Document, Row
from ansible_collections.tria.production.plugins.module_utils._report_markup import Html, join, tag

_SLOWEST = 25


def gates(made: Document) -> Html:
    """What ran when, host by host. A gate that does not say when it began, began when the one before it ended."""
    placed, ends = [], {}
    for gate in made["gates"]:
        host, took = gate.get("host", ""), reading.number(gate.get("duration_s"))
        begun = reading.number(gate["offset_s"]) if "offset_s" in gate else ends.get(host, 0.0)
        ends[host] = begun + took
        placed.append((host, gate, begun, took))
    whole = max(ends.values(), default=0.0)
    before = {(gate["host"], gate["name"]): gate["before_s"] for gate in elements.compared(made, "gates")}
    lines, last = [], None
    for host, gate, begun, took in sorted(placed, key=lambda one: one[0]):
        if host != last and len(ends) > 1:
            lines.append(tag("tr", tag("th", host or "All hosts", colspan=5, scope="rowgroup")))
        last = host
        earlier = before.get((host, gate["name"]))
        told = ("" if earlier is None else reading.duration(earlier), "number wider")
        drawn = charts.span(begun, took, whole, gate["status"])
        cells = ((elements.badge(gate["status"]), None), (reading.duration(took), "number"), told, (drawn, "drawn"))
        lines.append(elements.row(gate["name"], *cells))
    heads = [("Gate", None), ("Result", None), ("Time", "number"), ("Before", "number wider"), ("When", "drawn")]
    caption = f"From the start of the run to its end, {reading.duration(whole)}"
    return tag("div", elements.table(caption, heads, lines), class_="card") if lines else Html()


def times(made: Document) -> Html:
    """How long answers took, and how the times of repeated flows are spread."""
    return join([_slowest(made), _spread(made)])


def _before(made: Document) -> dict[tuple[str, str, str, int], Row]:
    return {(one["host"], one["category"], one["name"], one["again"]): one for one in elements.compared(made, "times")}


def _before_cell(entry: Row | None) -> tuple[str, str]:
    if not entry:
        return "", "number wider"
    change = f", {entry['change']} now" if entry["change"] else ""
    return reading.milliseconds(entry["before_ms"]) + change, "number wider"


def _slowest(made: Document) -> Html:
    named = reading.keyed(reading.rows(made)).items()
    timed = [one for one in named if reading.number(one[1]["duration_ms"]) >= 1 and not reading.is_repeated(one[1])]
    timed.sort(key=lambda one: -one[1]["duration_ms"])
    if not timed:
        return Html()
    then = _before(made)
    shown = [(key, row, then.get(key), _budget(row["data"], "max_ms")) for key, row in timed[:_SLOWEST]]
    whole = max([shown[0][1]["duration_ms"], *[entry["before_ms"] for _key, _row, entry, _most in shown if entry]])
    whole = max([whole, *[budget for _key, _row, _entry, budget in shown if budget]])
    lines = []
    for key, row, entry, budget in shown:
        before = entry["before_ms"] if entry else None
        drawn = charts.time_bar(row["duration_ms"], before, budget, whole)
        took = reading.milliseconds(row["duration_ms"])
        lines.append(
            elements.row(elements.named(made, row, key[3]), (took, "number"), _before_cell(entry), (drawn, "drawn"))
        )
    caption = f"The {_SLOWEST} slowest of {len(timed)} checks" if len(timed) > _SLOWEST else "Checks, the slowest first"
    heads = [("Check", None), ("Time", "number"), ("Before", "number wider"), ("Chart", "drawn")]
    explained = _legend(("now", "this run"), ("before", "previous run"), ("budget", "budget"))
    return tag("div", elements.table(caption, heads, lines), explained, class_="card")


def _spread(made: Document) -> Html:
    """Flows that were repeated, each followed by its steps if it has several."""
    then, found = _before(made), []
    for key, row in reading.keyed(reading.rows(made)).items():
        if reading.is_repeated(row):
            found.append((elements.named(made, row, key[3]), row["data"], then.get(key)))
            steps = [step for step in row["data"].get("steps") or [] if reading.is_repeated({"data": step})]
            found += [(f"{row['name']}: {step.get('name', '')}", step, None) for step in steps if len(steps) > 1]
    if not found:
        return Html()
    whole = max(max(data["p99_ms"], _budget(data, "max_p95_ms") or 0) for _name, data, _entry in found)
    lines = []
    for name, data, entry in found:
        values = [data[key] for key in reading.PERCENTILES]
        p50, p95, p99 = (reading.milliseconds(value) for value in values)
        drawn = charts.percentiles(*values, _budget(data, "max_p95_ms"), whole)
        told = ((p50, "number wider"), (p95, "number"), (p99, "number wider"), _before_cell(entry), (drawn, "drawn"))
        lines.append(elements.row(name, *told))
    columns = (("p50", "number wider"), ("p95", "number"), ("p99", "number wider"), ("p95 before", "number wider"))
    heads = [("Flow", None), *columns, ("Chart", "drawn")]
    explained = _legend(("now", "p50"), ("range", "p95 and p99"), ("budget", "budget of p95"))
    return tag("div", elements.table("Flows that were repeated", heads, lines), explained, class_="card")


def _budget(data: Row, key: str) -> float | None:
    return reading.number(data.get(key)) or None


def _legend(*entries: tuple[str, str]) -> Html:
    return tag("p", *[tag("span", charts.swatch(name), told) for name, told in entries], class_="key")
