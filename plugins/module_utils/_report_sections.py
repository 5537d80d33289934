# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sections of the HTML report. Private to the collection.

Each function returns the content of one section, empty when there is nothing to say.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _report_elements as elements
from ansible_collections.tria.production.plugins.module_utils import _report_reading as reading
from ansible_collections.tria.production.plugins.module_utils._report_elements import Document, Row
from ansible_collections.tria.production.plugins.module_utils._report_markup import Html, join, tag
from ansible_collections.tria.production.plugins.module_utils._result import ERROR, FAIL, PASS, SKIP, WARN

_NOT_TOLD = ("kind", "healthy", "ready", "body")

# --- what needs attention ---------------------------------------------------------------------------------------------


def failures(made: Document) -> Html:
    """What stopped the run, the checks that failed, the containers in trouble."""
    cards = []
    where, cause, remedy = reading.failure(made)
    if where:
        cards.append(_card(FAIL, where, cause, remedy))
    stopped_at = (made.get("failure") or {}).get("gate")
    cards += [
        _card(gate["status"], f"Gate {gate['name']}", gate.get("cause", ""), "", gate.get("host", ""))
        for gate in reading.red_gates(made)
        if gate["name"] != stopped_at
    ]
    red = [row for row in reading.rows(made) if reading.grade(row) in (FAIL, ERROR)]
    cards += [_check_card(made, row) for row in red]
    told = {title for row in red for title, _text in reading.logs(row["data"])}
    cards += [card for host, entry in made["hosts"].items() for card in _container_cards(host, entry, told)]
    return join(cards)


def warnings(made: Document) -> Html:
    return join(_check_card(made, row) for row in reading.rows(made) if reading.grade(row) == WARN)


def _check_card(made: Document, row: Row) -> Html:
    status = reading.grade(row)
    values = [(key.replace("_", " "), value) for key, value in row["data"].items() if _is_told(key, value)]
    name = f"{row['category']}: {row['name']}"
    return _card(
        status,
        name,
        row["message"],
        row["remedy"],
        row["host"] if elements.several_hosts(made) else "",
        values,
        list(reading.logs(row["data"])),
    )


def _is_told(key: str, value: t.Any) -> bool:
    """Whether a value of a check's `data` is a line for a person."""
    return key not in _NOT_TOLD and isinstance(value, (str, int, float)) and value not in ("", 0)


def _container_cards(host: str, entry: Row, told: set[str]) -> t.Iterator[Html]:
    """Containers in trouble, unless a failed check has shown the log of the same one."""
    for container in entry.get("containers") or []:
        if container.get("trouble") and f"Log of {container.get('name')}" not in told:
            logs = [(title, text) for title, text in reading.logs(container) if text]
            name = f"Container {container.get('name', '')}"
            yield _card(FAIL, name, container["trouble"], "", host, [("image", container.get("image", ""))], logs)


def _card(
    status: str,
    name: str,
    cause: str,
    remedy: str,
    host: str = "",
    values: list[tuple[str, t.Any]] | None = None,
    logs: list[tuple[str, str]] | None = None,
) -> Html:
    told = [tag("div", tag("dt", "Cause"), tag("dd", cause or "Not said.", class_="told"))]
    if remedy:
        told.append(tag("div", tag("dt", "Remedy"), tag("dd", remedy, class_="told"), class_="remedy"))
    shown = [tag("div", tag("span", f"{key}:", class_="soft"), tag("span", value)) for key, value in values or []]
    head = tag("h3", elements.badge(status), tag("span", name), tag("span", host, class_="soft small") if host else "")
    return tag(
        "article",
        head,
        tag("dl", *told),
        tag("div", *shown, class_="values") if shown else "",
        *[elements.log(title, text, status == FAIL) for title, text in logs or []],
        class_=f"card problem {status}",
    )


# --- all checks -------------------------------------------------------------------------------------------------------


def categories(made: Document) -> Html:
    """A table for each category; those in which all is well are folded."""
    return join(_category(made, name, rows) for name, rows in made["categories"].items())


def _category(made: Document, name: str, rows: list[Row]) -> Html:
    grades = [reading.grade(row) for row in rows]
    ran = [grade for grade in grades if grade != SKIP]
    worst = next((status for status in (FAIL, ERROR, WARN, PASS) if status in grades), SKIP)
    told = f"{grades.count(PASS)} of {len(ran)} passed" if ran else "Not checked"
    told += f", {len(grades) - len(ran)} skipped" if ran and len(ran) < len(grades) else ""
    lines = [
        elements.row(
            _check_name(row, elements.several_hosts(made)), (elements.badge(grade), None), (_took(row), "number")
        )
        for row, grade in zip(rows, grades)
    ]
    heads = [("Check", None), ("Result", None), ("Time", "number")]
    summary = tag("summary", tag("h3", name), elements.badge(worst), " ", tag("span", told, class_="soft small"))
    is_open = worst in (FAIL, ERROR, WARN)
    table = elements.table(f"Checks of {name}", heads, lines)
    return tag("details", summary, table, class_="card", open="" if is_open else None)


def _check_name(row: Row, several: bool) -> Html:
    more = [row["message"]] + ([row["host"]] if several else [])
    told = [tag("div", line, class_="soft small told") for line in more if line]
    return join([tag("div", row["name"]), *told])


def _took(row: Row) -> str:
    took = reading.number(row["duration_ms"])
    return reading.milliseconds(took) if took >= 1 else ""


# --- release, hosts, the previous run ---------------------------------------------------------------------------------


def hosts(made: Document) -> Html:
    """What the diagnostics say of each host and its containers."""
    return join(tag("div", *_host(name, entry), class_="card") for name, entry in made["hosts"].items())


def _host(name: str, entry: Row) -> t.Iterator[Html]:
    metrics, engine = entry.get("host") or {}, entry.get("engine") or {}
    facts = [("Release", entry.get("release")), ("State", entry.get("status"))]
    if engine:
        answers = f"{engine.get('version', '')}, {engine.get('storage_driver', '')}"
        facts.append(("Docker Engine", answers if engine.get("answers") else engine.get("error")))
    if metrics:
        facts += [
            ("Load", f"{' '.join(map(str, metrics.get('load') or []))} on {metrics.get('cores')} cores"),
            ("Memory", f"{metrics.get('memory_percent')} % of {metrics.get('memory_mb')} MB used"),
        ]
        facts += [
            (f"Disk {disk.get('path')}", f"{disk.get('percent')} % used, {disk.get('free_gb')} GB free")
            for disk in metrics.get("disks") or []
        ]
    yield tag("h3", name)
    if not entry.get("engine") and not entry.get("host"):
        yield tag("p", "No diagnostics were collected here.", class_="soft")
    yield elements.described([(key, value) for key, value in facts if value], "facts")
    lines = [
        elements.row(
            container.get("service") or container.get("name", ""),
            (elements.badge(FAIL if container.get("trouble") else PASS), None),
            (container.get("trouble") or f"{container.get('state')}, health: {container.get('health')}", None),
            (container.get("restarts", ""), "number wider"),
            (container.get("image", ""), "wider small"),
        )
        for container in entry.get("containers") or []
    ]
    heads = [("Service", None), ("Result", None), ("State", None), ("Restarts", "number wider"), ("Image", "wider")]
    if lines:
        yield elements.table(f"Containers on {name}", heads, lines)
    for container in entry.get("containers") or []:
        if not container.get("trouble"):
            yield from (elements.log(title, text, False) for title, text in reading.logs(container) if text)


def comparison(made: Document) -> Html:
    """What got worse and better since the previous report of this name."""
    compared = made.get("comparison") or {}
    note = tag("p", compared["note"], class_="soft") if compared.get("note") else ""
    if "release" not in compared:
        return tag("div", note, class_="card") if note else Html()
    finished = elements.moment(time.strftime(elements.TIME_FORMAT, time.gmtime(compared["timestamp"])))
    verdict = compared["overall_status"].replace("_", " ").lower()
    facts = [
        ("Previous release", compared["release"]),
        ("Reported", finished),
        ("Its verdict", f"{verdict}, {compared['passed_checks']} of {compared['total_checks']} passed"),
    ]
    changed = [
        (heading, compared[key])
        for key, heading in (
            ("worse", "Worse"),
            ("better", "Better"),
            ("new", "Checked now, but not then"),
            ("gone", "Checked then, but not now"),
        )
    ]
    tables = [_changes(made, heading, rows) for heading, rows in changed if rows]
    much = [row for row in compared["times"] if row["change"]]
    if much:
        tables.append(_changed_times(made, much))
    if not tables:
        tables = [tag("p", "No check came out differently, and none took much longer or shorter.")]
    return tag("div", elements.described(facts, "facts"), note, *tables, class_="card")


def _changes(made: Document, heading: str, rows: list[Row]) -> Html:
    lines = [
        elements.row(
            elements.named(made, row, row["again"]),
            (elements.badge(row["before"]), None),
            (elements.badge(row["now"]), None),
        )
        for row in rows
    ]
    heads = [("Check", None), ("Before", None), ("Now", None)]
    summary = tag("summary", tag("strong", f"{heading}: {len(rows)}"))
    is_open = heading in ("Worse", "Better")
    return tag("details", summary, elements.table(heading, heads, lines), open="" if is_open else None)


def _changed_times(made: Document, rows: list[Row]) -> Html:
    lines = [
        elements.row(
            elements.named(made, row, row["again"]),
            (row["change"].capitalize(), None),
            (reading.milliseconds(row["before_ms"]), "number"),
            (reading.milliseconds(row["now_ms"]), "number"),
        )
        for row in rows
    ]
    heads = [("Check", None), ("Change", None), ("Before", "number"), ("Now", "number")]
    summary = tag("summary", tag("strong", f"Slower or faster: {len(rows)}"))
    return tag("details", summary, elements.table("Slower or faster", heads, lines), open="")
