# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as JUnit XML, for the test pages of CI systems. Private to the collection.

There is something red in it exactly when the verdict is `NOT_READY`. A warning is a test that passed with output: JUnit
knows nothing in between. Classes and names stay the same from run to run, so that CI systems can tell what is new.
"""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.tria.production.plugins.module_utils import _report_reading as reading
from ansible_collections.tria.production.plugins.module_utils._result import ERROR, FAIL, SKIP, WARN

_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}
_TAGS = {FAIL: "failure", ERROR: "error", SKIP: "skipped"}


def as_junit(made: dict[str, t.Any]) -> str:
    """A suite for each category, then one for the gates, each a test case for each check."""
    several = len(made["hosts"]) > 1
    root = ET.Element("testsuites", {"name": reading.readable(f"{made['report']} {made['stack']}".rstrip())})
    named = reading.keyed(reading.rows(made))
    for category in made["categories"]:
        cases = [
            _check_case(made, row, reading.title(row, several, key[3]))
            for key, row in named.items()
            if key[1] == category
        ]
        root.append(_suite(made, category, cases))
    gates = [_gate_case(made, gate, several) for gate in made["gates"]]
    if gates:
        root.append(_suite(made, "Gates", gates))
    if made["overall_status"] == reading.NOT_READY and not any(_count(root, tag) for tag in ("failure", "error")):
        root.append(_suite(made, "Run", [_run_case(made)]))
    if made["duration_s"] is not None:
        root.set("time", f"{reading.number(made['duration_s']):.3f}")
    _add_counts(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _spaced(root) + "\n"


def _suite(made: dict[str, t.Any], name: str, cases: list[ET.Element]) -> ET.Element:
    suite = ET.Element("testsuite", {"name": reading.readable(name)})
    if made["started_at"]:
        suite.set("timestamp", reading.readable(made["started_at"]).rstrip("Z"))
    if len(made["hosts"]) == 1:
        suite.set("hostname", reading.readable(next(iter(made["hosts"]))))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")
    properties = ET.SubElement(suite, "properties")
    for key in ("stack", "release", "overall_status"):
        ET.SubElement(properties, "property", {"name": key, "value": reading.readable(made[key])})
    suite.extend(cases)
    _add_counts(suite)
    return suite


def _case(made: dict[str, t.Any], group: str, name: str, seconds: float) -> ET.Element:
    # Consumers cut a class name at its dots, and show one without a dot below "(root)".
    words = [word.replace(".", "_") for word in (made["stack"] or "stack", group)]
    named = {"classname": reading.readable(".".join(words)), "name": reading.readable(name)}
    return ET.Element("testcase", {**named, "time": f"{seconds:.3f}"})


def _check_case(made: dict[str, t.Any], row: dict[str, t.Any], name: str) -> ET.Element:
    case = _case(made, row["category"], name, reading.number(row["duration_ms"]) / 1000)
    logs = [f"{title}:\n{text}" for title, text in reading.logs(row["data"])]
    _outcome(case, reading.grade(row), row["message"], row["remedy"], logs)
    return case


def _gate_case(made: dict[str, t.Any], gate: dict[str, t.Any], several: bool) -> ET.Element:
    host = f" [{gate['host']}]" if several and "host" in gate else ""
    case = _case(made, "Gates", gate["name"] + host, reading.number(gate.get("duration_s")))
    stopped = made.get("failure") or {}
    cause, remedy = gate.get("cause", ""), ""
    if stopped.get("gate") == gate["name"] and stopped.get("host", gate.get("host")) == gate.get("host"):
        _where, cause, remedy = reading.failure(made)
    _outcome(case, gate["status"], cause, remedy, [])
    return case


def _run_case(made: dict[str, t.Any]) -> ET.Element:
    """What made the run not ready although no check and no gate did."""
    where, cause, remedy = reading.failure(made)
    case = _case(made, "Run", where or "Checks", reading.number(made["duration_s"]))
    _outcome(case, FAIL, cause or "Nothing was checked.", remedy, [])
    return case


def _outcome(case: ET.Element, status: str, message: str, remedy: str, logs: list[str]) -> None:
    """Put into a case how it ended. Some consumers show only the attribute of a failure, some only its text."""
    message = reading.readable(message)
    parts = [message, f"Remedy: {remedy}" if remedy else "", *logs]
    told = reading.readable("\n\n".join(filter(None, parts)))
    if status in _TAGS:
        first = (message.splitlines() or [""])[0]
        ended = ET.SubElement(case, _TAGS[status], {"message": first or status})
        if status != SKIP:
            ended.set("type", status)
            ended.text = told or status
    elif status == WARN:
        ET.SubElement(case, "system-out").text = f"Warning: {told}"


def _count(element: ET.Element, tag: str) -> int:
    return len(element.findall(f".//testcase/{tag}"))


def _add_counts(element: ET.Element) -> None:
    element.set("tests", str(len(element.findall(".//testcase"))))
    for attribute, tag in _COUNTED.items():
        element.set(attribute, str(_count(element, tag)))


def _spaced(root: ET.Element) -> str:
    """One line for each suite and case; no space within what carries text."""
    for element in root.iter():
        if element.tag in ("testsuites", "testsuite", "properties"):
            element.text = "\n"
        element.tail = "\n" if element.tag in ("testsuite", "testcase", "properties", "property") else None
    return ET.tostring(root, encoding="unicode")
