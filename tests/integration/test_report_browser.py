# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTML report in Chromium: on a desk and on a phone, light, dark and on paper, for people with and without eyes."""

from __future__ import annotations

import importlib
import pathlib
import shutil
import subprocess
import sys

import pytest
from browser import Browser
from deployed_stack import ROOT

from ansible_collections.tria.production.plugins.module_utils import _report_html

sys.path.append(str(ROOT / "tests" / "unit" / "plugins" / "module_utils"))
report_runs = importlib.import_module("report_runs")

AXE = "axe-core@4.10.3"
PHONE, DESK = 390, 1280
VIEWS = [(width, scheme) for width in (PHONE, DESK) for scheme in ("light", "dark")]
VISIBLE = "document.body.innerText"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Pages by name: a run that was stopped, one that came out well, one that says hostile things."""
    folder = tmp_path_factory.mktemp("reports")
    latest = report_runs.write(folder)
    hostile = folder / "hostile.html"
    hostile.write_text(_report_html.as_html(report_runs.hostile()), encoding="utf-8")
    first = report_runs.runs()[0]["release"]
    name = f"{report_runs.NAME}.html"
    return {"stopped": latest / name, "good": folder / first / name, "hostile": hostile}


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, which npm fetches once."""
    folder = ROOT / ".build" / "axe"
    found = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not found.exists():
        assert shutil.which("npm"), "npm is missing: install Debian's package npm (tests/setup.yml does)."
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), AXE]
        subprocess.run(command, check=True, timeout=300)
    return found.read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
@pytest.mark.parametrize("name", ["stopped", "good", "hostile"])
def test_a_page_for_every_reader(browser, reports, axe, tmp_path, name, width, scheme):
    browser.show(reports[name], width, scheme=scheme)
    assert browser.requests() == [reports[name].resolve().as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width, "it has to be scrolled sideways"
    assert browser.evaluate("getComputedStyle(document.body).colorScheme") == "light dark"
    dark = browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 26)"
    assert dark == (scheme == "dark"), "the stylesheet is not used"
    assert browser.complaints() == []
    browser.screenshot(tmp_path / f"{name}-{width}-{scheme}.png")
    browser.evaluate(axe + "; undefined")
    violations = browser.evaluate("axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []


def test_the_verdict_and_the_failure_are_what_is_seen_first(browser, reports):
    browser.show(reports["stopped"], PHONE)
    seen = browser.evaluate(VISIBLE)
    assert seen.index("Not production ready") < seen.index("Stopped at readiness on app1.example.com")
    assert browser.evaluate("document.querySelector('h1').getBoundingClientRect().bottom") < 300
    for told in ("Remedy", "startup failed: phase=openai", "4 worse, 1 better", "bad_gateway"):
        assert told in seen
    assert "DATABASE_URL configured" not in seen  # folded, as all is well there
    browser.evaluate(
        "[...document.querySelectorAll('summary')].find(one => one.innerText.includes('Environment')).click()"
    )
    assert "DATABASE_URL configured" in browser.evaluate(VISIBLE)


def test_drawings_are_as_long_as_what_they_stand_for(browser, reports):
    browser.show(reports["stopped"])
    widths = browser.evaluate(
        "[...document.querySelectorAll('section[aria-labelledby=gates] tr')].filter(row => row.querySelector('.tone'))"
        ".map(row => [row.cells[0].innerText, row.querySelector('.tone').getBoundingClientRect().width,"
        " row.querySelector('svg').getBoundingClientRect().width])"
    )
    drawn = {name: length / whole for name, length, whole in widths[:9]}
    total = 0.95 + 1.05 + 0.9 + 0.8 + 2.1 + 8.1 + 3.2 + 6.5 + 14.2
    assert drawn["readiness"] == pytest.approx(14.2 / total, abs=0.01)
    assert drawn["build"] == pytest.approx(8.1 / total, abs=0.01)


def test_on_paper_everything_is_unfolded(browser, reports):
    browser.show(reports["stopped"], media="print")
    heights = browser.evaluate("[...document.querySelectorAll('details > :last-child')].map(one => one.offsetHeight)")
    assert len(heights) > 10 and all(height > 0 for height in heights)
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.pdf().startswith(b"%PDF")


def test_nothing_hostile_runs(browser, reports):
    browser.show(reports["hostile"])
    assert browser.evaluate("document.querySelectorAll('script, img, iframe, object, [onerror], [style]').length") == 0
    assert "<img src=x onerror=alert(1)>" in browser.evaluate(VISIBLE)
    assert not [event for event in browser.events if event.get("method") == "Page.javascriptDialogOpening"]


def test_the_policy_stops_what_would_be_fetched(browser, reports, tmp_path):
    """The policy is real: a page that somebody wrote into still fetches and runs nothing."""
    source = reports["good"].read_text(encoding="utf-8")
    smuggled = "<img src='https://127.0.0.1:9/x'><script>document.title = 'run'</script><style>h1{display:none}</style>"
    page = pathlib.Path(tmp_path, "page.html")
    page.write_text(source.replace("<footer>", f"{smuggled}<footer>"), encoding="utf-8")
    browser.show(page)
    assert browser.evaluate("document.title") != "run" and len(browser.complaints()) >= 3
    assert browser.evaluate("getComputedStyle(document.querySelector('h1')).display") == "block"
