# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as one HTML page: it needs no script, and fetches nothing. Private to the collection."""

from __future__ import annotations

import base64
import hashlib
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _report_charts as charts
from ansible_collections.tria.production.plugins.module_utils import _report_elements as elements
from ansible_collections.tria.production.plugins.module_utils import _report_reading as reading
from ansible_collections.tria.production.plugins.module_utils import _report_sections as sections
from ansible_collections.tria.production.plugins.module_utils import _report_times as times
from ansible_collections.tria.production.plugins.module_utils._report_markup import Html, join, tag
from ansible_collections.tria.production.plugins.module_utils._report_style import STYLE
from ansible_collections.tria.production.plugins.module_utils._result import ERROR, FAIL, PASS, SKIP, WARN

_TONES = {reading.READY: PASS, reading.READY_WITH_WARNINGS: WARN, reading.NOT_READY: FAIL}
_VERDICTS = {
    reading.READY: "Production ready",
    reading.READY_WITH_WARNINGS: "Production ready, with warnings",
    reading.NOT_READY: "Not production ready",
}


def as_html(made: dict[str, t.Any]) -> str:
    """The whole page: the verdict, what failed, then everything else that the document holds."""
    titled = [
        ("failed", "What failed", sections.failures(made)),
        ("warnings", "Warnings", sections.warnings(made)),
        ("categories", "Checks by category", sections.categories(made)),
        ("gates", "Timeline of the gates", times.gates(made)),
        ("times", "Response times", times.times(made)),
        ("hosts", "Release and hosts", sections.hosts(made)),
        ("comparison", "Since the previous run", sections.comparison(made)),
    ]
    shown = [(anchor, heading, content) for anchor, heading, content in titled if content]
    body = tag(
        "body",
        tag("a", "To the results", class_="to-main", href="#main"),
        _verdict(made, shown),
        tag("main", *[_section(*one) for one in shown], id="main", class_="wide", tabindex="-1"),
        tag("footer", tag("div", _origin(made), class_="wide")),
    )
    return "<!DOCTYPE html>\n" + tag("html", _head(made), "\n", body, lang="en", dir="ltr") + "\n"


def _name(made: dict[str, t.Any]) -> str:
    return made["report"].replace("-", " ").capitalize()


def _head(made: dict[str, t.Any]) -> Html:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    # Not even a style that someone smuggled in would be used.
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{_VERDICTS[made['overall_status']]}: {made['stack'] or 'stack'}, {_name(made)}"),
        tag("style", Html(STYLE)),
    )


def _section(anchor: str, heading: str, content: Html) -> Html:
    return tag("section", tag("h2", heading, id=anchor), content, aria_labelledby=anchor)


def _verdict(made: dict[str, t.Any], shown: list[tuple[str, str, Html]]) -> Html:
    tone = _TONES[made["overall_status"]]
    mark = tag("span", elements.MARKS[tone], class_="mark", aria_hidden="true")
    links = [tag("li", tag("a", heading, href=f"#{anchor}")) for anchor, heading, _content in shown]
    return tag(
        "header",
        tag(
            "div",
            tag(
                "div",
                tag("p", _name(made), class_="soft"),
                tag("h1", mark, " ", _VERDICTS[made["overall_status"]]),
                tag("p", _reason(made), class_="told"),
                _counts(made),
                elements.described(_facts(made), "facts"),
                class_="wide",
            ),
            class_=f"verdict {tone}",
        ),
        tag("nav", tag("ul", *links), class_="wide", aria_label="Sections of this report"),
    )


def _reason(made: dict[str, t.Any]) -> str:
    """The sentence below the verdict."""
    where, cause, _remedy = reading.failure(made)
    if where:
        return f"Stopped at {where}: {cause}" if made["failure"].get("gate") else cause
    if not made["total_checks"]:
        return "Nothing was checked."
    return f"{made['passed_checks']} of {made['total_checks']} checks passed."


def _counts(made: dict[str, t.Any]) -> Html:
    grades = [reading.grade(row) for row in reading.rows(made)]
    counts = {status: grades.count(status) for status in (PASS, WARN, FAIL, ERROR, SKIP)}
    if not grades:
        return Html()
    items = [
        tag("li", elements.mark(status), " ", tag("b", count), " ", elements.WORDS[status], class_=status)
        for status, count in counts.items()
        if count or status in (PASS, FAIL)
    ]
    return join([charts.shares(counts), tag("ul", *items, class_="counts")])


def _facts(made: dict[str, t.Any]) -> list[tuple[str, t.Any]]:
    facts = [
        ("Stack", made["stack"]),
        ("Release", made["release"]),
        ("Hosts" if len(made["hosts"]) > 1 else "Host", join(tag("div", host) for host in made["hosts"])),
        ("Finished", elements.moment(made["finished_at"])),
        ("Duration", "" if made["duration_s"] is None else reading.duration(reading.number(made["duration_s"]))),
    ]
    compared = made.get("comparison") or {}
    if "release" in compared:
        told = f"{len(compared['worse'])} worse, {len(compared['better'])} better"
        facts.append(("Since the previous run", tag("a", told, href="#comparison")))
    return [(name, value) for name, value in facts if value]


def _origin(made: dict[str, t.Any]) -> Html:
    beside = tag("code", f"{made['report']}.json")
    return join(["Made by tria.production. All details are in ", beside, " beside this page."])
