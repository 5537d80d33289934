# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JUnit XML, read back as consumers do."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from report_runs import HOSTILE, NAME, check, document, hostile, write

from ansible_collections.tria.production.plugins.module_utils import _report_junit

CHILDREN = {"properties", "skipped", "error", "failure", "system-out"}


def parsed(made):
    return ET.fromstring(_report_junit.as_junit(made).encode("utf-8"))


def case(root, name):
    [found] = [one for one in root.iter("testcase") if one.get("name") == name]
    return found


def counts(element):
    return [int(element.get(key)) for key in ("tests", "failures", "errors", "skipped")]


def test_two_runs_as_files(tmp_path):
    latest = write(tmp_path)
    root = ET.parse(latest / f"{NAME}.xml").getroot()
    made = json.loads((latest / f"{NAME}.json").read_text(encoding="utf-8"))
    assert root.tag == "testsuites" and root.get("name") == f"{NAME} tria" and root.get("time") == "38.000"
    assert [suite.get("name") for suite in root] == [*made["categories"], "Gates"]
    assert counts(root) == [sum(column) for column in zip(*map(counts, root))]
    checks = made["total_checks"] + made["skipped_checks"]
    assert counts(root) == [checks + len(made["gates"]), 3, 1, made["skipped_checks"]]
    names = [(one.get("classname"), one.get("name")) for one in root.iter("testcase")]
    assert len(names) == len(set(names)) and all("." in one[0] for one in names)


def test_the_order_of_elements_is_that_of_the_schema():
    made = document(results={"app1": [check(status) for status in ("pass", "fail", "error", "skip")]})
    for suite in parsed(made):
        assert suite[0].tag == "properties" and {one.tag for one in suite[1:]} == {"testcase"}
        assert {child.tag for one in suite.iter("testcase") for child in one} <= CHILDREN
        assert suite.get("timestamp") == "2025-01-24T10:30:00" and suite.get("hostname") == "app1"


def test_a_failure_tells_everything_in_its_text_and_the_cause_in_its_attribute():
    data = {"containers": [{"name": "tria-backend-1", "log_tail": ["one", "two"]}]}
    row = check("fail", message="Status: 500\nand more", remedy="See the log.", duration_ms=203.4, data=data)
    found = case(parsed(document(results={"app1": [row]})), "Health check")
    assert (found.get("classname"), found.get("time")) == ("tria.API", "0.203")
    [failure] = found
    assert failure.tag == "failure" and failure.attrib == {"message": "Status: 500", "type": "fail"}
    assert failure.text == "Status: 500\nand more\n\nRemedy: See the log.\n\nLog of tria-backend-1:\none\ntwo"


@pytest.mark.parametrize(
    ("status", "critical", "tag"),
    [
        ("pass", True, None),
        ("warn", False, "system-out"),
        ("fail", False, "system-out"),
        ("error", False, "system-out"),
        ("fail", True, "failure"),
        ("error", True, "error"),
        ("skip", True, "skipped"),
    ],
)
def test_each_status_as_the_verdict_counts_it(status, critical, tag):
    root = parsed(document(results={"app1": [check("pass", "other"), check(status, critical=critical, message="why")]}))
    found = list(case(root, "Health check"))
    assert [one.tag for one in found] == ([tag] if tag else [])
    assert all("why" in (one.text or "") + one.get("message", "") for one in found)


@pytest.mark.parametrize(
    ("changed", "name", "message"),
    [
        ({"results": {}}, "Checks", "Nothing was checked."),
        (
            {"failure": {"gate": "backup", "host": "app1", "msg": "disk full. Remedy: Make room."}},
            "backup on app1",
            "disk full.",
        ),
        ({"gates": [{"name": "backup", "status": "fail", "cause": "disk full"}]}, "backup", "disk full"),
        ({"gates": [{"name": "backup", "status": "error"}]}, "backup", "error"),
    ],
)
def test_a_run_that_is_not_ready_is_red(changed, name, message):
    root = parsed(document(**changed))
    [red] = case(root, name)
    assert red.tag in ("failure", "error") and red.get("message") == message
    assert sum(counts(root)[1:3]) == 1


def test_the_gate_that_stopped_the_run_says_why():
    failure = {"gate": "backup", "host": "app1", "msg": "disk full. Remedy: Make room."}
    gates = [{"name": "lock", "status": "pass", "host": "app1"}, {"name": "backup", "status": "fail", "host": "app1"}]
    root = parsed(document(gates=gates, failure=failure))
    assert case(root, "backup")[0].text == "disk full.\n\nRemedy: Make room." and len(case(root, "lock")) == 0


def test_the_same_check_twice_and_on_two_hosts():
    root = parsed(document(results={"app1": [check(), check()], "app2": [check()]}))
    names = [one.get("name") for one in root.iter("testcase")]
    assert sorted(names) == ["Health check [app1]", "Health check [app1] (2)", "Health check [app2]"]
    assert "hostname" not in root[0].attrib


@pytest.mark.parametrize("took", ["soon", None, float("nan"), float("inf"), -1.0, True])
def test_a_time_that_is_none(took):
    made = document()
    made["categories"]["API"][0]["duration_ms"] = took
    assert case(parsed(made), "Health check").get("time") == "0.000"


def test_hostile_text_stays_text():
    root = parsed(hostile())
    text = " ".join([value for one in root.iter() for value in [one.text or "", *one.attrib.values()]])
    assert "<img src=x onerror=alert(1)>" in text and "]]>" in text and "🎉" in text
    assert {one.tag for one in root.iter()} <= CHILDREN | {"testsuites", "testsuite", "testcase", "property"}
    assert not set(text) & set("\x00\x08\x1b\uffff\ud800") and "\x1b" in HOSTILE


def test_no_character_breaks_the_file():
    every = "".join(map(chr, [*range(0x3000), *range(0xD7F0, 0xE010), *range(0xFFF0, 0x10010)]))
    root = parsed(document(results={"app1": [check("fail", every, message=every, remedy=every)]}))
    assert "\u2fff" in case(root, root.find(".//testcase").get("name"))[0].text
