# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the sections of the HTML report are made of. Private to the collection."""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _report_reading as reading
from ansible_collections.tria.production.plugins.module_utils._report_markup import Html, join, tag
from ansible_collections.tria.production.plugins.module_utils._result import ERROR, FAIL, PASS, SKIP, WARN

MARKS = {PASS: "✓", WARN: "!", FAIL: "✕", ERROR: "✕", SKIP: "–"}
WORDS = {PASS: "passed", WARN: "with a warning", FAIL: "failed", ERROR: "could not be run", SKIP: "skipped"}
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

_BADGES = {PASS: "Passed", WARN: "Warning", FAIL: "Failed", ERROR: "Could not run", SKIP: "Skipped", "": "Not run"}

Document = t.Dict[str, t.Any]
Row = t.Dict[str, t.Any]


def mark(status: str) -> Html:
    return tag("span", MARKS[status], aria_hidden="true", class_="mark")


def badge(status: str) -> Html:
    """A status in a word, with its mark."""
    told = f"{MARKS[status]} {_BADGES[status]}" if status else _BADGES[status]
    return tag("span", told, class_=f"badge {status or SKIP}")


def described(pairs: t.Iterable[tuple[str, t.Any]], class_: str | None = None) -> Html:
    """Names and values."""
    return tag("dl", *[tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs], class_=class_)


def moment(stamp: str) -> Html:
    """A time in UTC for a person; as it is when it has another form."""
    with contextlib.suppress(ValueError, TypeError):
        return tag("time", time.strftime("%d %b %Y, %H:%M:%S UTC", time.strptime(stamp, TIME_FORMAT)), datetime=stamp)
    return join([stamp])


def table(caption: str, heads: list[tuple[str, str | None]], rows: list[Html]) -> Html:
    """A table; each head of a column comes with its class."""
    cells = [tag("th", head, scope="col", class_=class_) for head, class_ in heads]
    return tag("table", tag("caption", caption), tag("thead", tag("tr", *cells)), tag("tbody", *rows))


def row(head: t.Any, *cells: tuple[t.Any, str | None]) -> Html:
    """A row of a table; each cell comes with its class."""
    return tag("tr", tag("th", head, scope="row"), *[tag("td", content, class_=class_) for content, class_ in cells])


def log(title: str, text: str, is_open: bool) -> Html:
    """The log of somebody, which may be folded and scrolled."""
    shown = tag("pre", text, tabindex=0, role="group", aria_label=title)
    return tag("details", tag("summary", title), shown, open="" if is_open else None)


def named(made: Document, found: Row, again: int) -> Html:
    """A check in a list of all categories; with several hosts, its own below it."""
    name = f"{found['category']}: {reading.title(found, False, again)}"
    return join([name, tag("div", found["host"], class_="soft small") if several_hosts(made) else None])


def several_hosts(made: Document) -> bool:
    return len(made["hosts"]) > 1


def compared(made: Document, key: str) -> list[Row]:
    """A part of the comparison, empty where there is none."""
    return (made.get("comparison") or {}).get(key, [])
