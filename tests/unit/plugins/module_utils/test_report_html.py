# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTML page, read by a parser: its structure, its contents, and that nothing in it is anybody else's markup."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import re

import pytest
from flow_server import shop
from probe_peers import entries, http_server
from report_runs import HOSTILE, NAME, check, document, hostile, write

from ansible_collections.tria.production.plugins.module_utils import _health, _report_html, _report_markup

VOID = {"meta", "link", "br"}
TAGS = set(
    "html head meta link title style body a header div p h1 h2 h3 span b strong code time ul li dl dt dd nav main"
    " section article details summary pre table caption thead tbody tr th td svg rect line footer".split()
)


class Page(html.parser.HTMLParser):
    """Elements with their attributes, in order, and their text; fails on what is not nested."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.texts, self.declared = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_decl(self, decl):
        self.declared.append(decl)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs))
        self.elements.append((tag, dict(attrs), list(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, *tags):
        return [attributes for tag, attributes, _open in self.elements if tag in tags]

    def text(self, *tags):
        """The text of the page, or only what stands directly in some elements."""
        return [data for tag, data in self.texts if (tag in tags if tags else tag != "style")]


def page(**changed):
    return Page(_report_html.as_html(document(**changed)))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    latest = write(tmp_path_factory.mktemp("reports"))
    return Page((latest / f"{NAME}.html").read_text(encoding="utf-8"))


def test_the_order_of_the_page(real):
    headings = [tag for tag, _attributes, _open in real.elements if tag in ("h1", "h2", "h3")]
    assert headings[0] == "h1" and headings.count("h1") == 1
    ranks = [int(tag[1]) for tag in headings]
    assert all(later - earlier <= 1 for earlier, later in zip(ranks, ranks[1:]))
    assert real.text("h2") == [
        "What failed",
        "Warnings",
        "Checks by category",
        "Timeline of the gates",
        "Response times",
        "Release and hosts",
        "Since the previous run",
    ]
    assert "Not production ready" in real.text("h1")[-1]


def test_landmarks_language_names_and_tables(real):
    assert real.declared == ["DOCTYPE html"] and real.all("html")[0]["lang"] == "en"
    for landmark in ("header", "main", "nav", "footer"):
        assert len(real.all(landmark)) == 1
    ids = [attributes["id"] for _tag, attributes, _open in real.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"] for attributes in real.all("a")} <= {f"#{one}" for one in ids}
    assert {attributes["aria-labelledby"] for attributes in real.all("section")} <= set(ids)
    assert all(attributes.get("scope") in ("col", "row", "rowgroup") for attributes in real.all("th"))
    assert len(real.all("caption")) == len(real.all("table")) == len(real.all("thead"))
    assert all(attributes.get("aria-hidden") == "true" for attributes in real.all("svg"))
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in real.all("pre"))


def test_nothing_is_fetched_and_nothing_runs(real):
    assert {tag for tag, _attributes, _open in real.elements} <= TAGS
    for tag, attributes, _open in real.elements:
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "style", "srcset", "action")], (
            tag
        )
    assert [attributes["href"] for attributes in real.all("link")] == ["data:,"]
    [style] = real.text("style")
    assert "url(" not in style and "@import" not in style and "http" not in style
    [policy] = [one["content"] for one in real.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert (
        policy.startswith("default-src 'none'") and f"style-src 'sha256-{digest}'" in policy and "unsafe" not in policy
    )


def test_what_the_page_tells(real):
    told = "\n".join(real.text())
    for part in (
        "30",
        "could not be run",
        "tria",
        "20250124T103000Z-5f9c0dd844a5",
        "38 s",
        "4 worse, 1 better",
        "readiness on app1.example.com",
        "Read its last log lines, correct the cause and deploy again.",
        "startup failed: phase=openai",
        "Log of tria-backend-1",
        "Body of the answer",
        "bad_gateway",
        "Container tria-chroma-1",
        "exit code 137",
        "chroma: 4.1 GB resident",
        "API: Vector store",
        "not configured",
        "GET /contents",
        "2.4 s",
        "64 ms",
        "slower",
        "20250123T161200Z-a1b2c3d4e5f6",
        "24 Jan 2025, 10:30:38 UTC",
        "26.1.5, overlay2",
        "78.7 GB free",
    ):
        assert part in told, part


def test_failures_stand_before_warnings_and_these_before_all_checks(real):
    told = "".join(real.text())
    assert told.index("Stopped at readiness") < told.index("Read its last log lines") < told.index("24105 MB found")
    articles = [attributes["class"].split()[-1] for attributes in real.all("article")]
    assert articles[:4] == ["fail", "fail", "fail", "error"] and articles[-1] == "warn"


def test_a_log_that_a_check_shows_is_not_shown_again(real):
    assert len([one for one in real.all("pre") if one["aria-label"] == "Log of tria-backend-1"]) == 1


def test_categories_with_trouble_are_open(real):
    cards = [
        attributes for tag, attributes, _open in real.elements if tag == "details" and attributes.get("class") == "card"
    ]
    is_open = dict(zip(real.text("h3")[-len(cards) - 2 : -2], ["open" in one for one in cards]))
    assert is_open["API"] and is_open["Auth"] and not is_open["Environment"] and not is_open["Upload"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "Production ready"),
        ({"results": {"app1": [check(), check("warn", critical=False)]}}, "Production ready, with warnings"),
        ({"results": {"app1": [check("fail")]}}, "Not production ready"),
        ({"results": {}}, "Not production ready"),
    ],
)
def test_the_verdict(changed, told):
    found = page(**changed)
    assert "".join(found.text("h1")).strip() == told and found.text("title")[0].startswith(
        f"{told}: tria, Deployment validation"
    )


def test_a_run_without_anything():
    found = page(results={}, stack="", started_at="", finished_at="yesterday")
    assert "Nothing was checked." in found.text("p") and found.text("h2") == []


def test_a_failed_gate_without_a_failure_has_its_card():
    found = page(gates=[{"name": "backup", "status": "error", "cause": "disk full", "duration_s": 65.0}])
    assert "Gate backup" in found.text("span") and "disk full" in found.text("dd") and "1 min 5 s" in found.text("td")


@pytest.mark.parametrize("took", ["soon", None, float("nan"), float("inf"), -1.0])
def test_a_time_that_is_none(took):
    made = document(gates=[{"name": "lock", "status": "pass", "duration_s": took}])
    made["categories"]["API"][0]["duration_ms"] = took
    assert "Response times" not in Page(_report_html.as_html(made)).text("h2")


def test_gates_stand_where_they_began():
    gates = [
        {"name": "plan", "status": "pass", "duration_s": 5.0, "host": "a"},
        {"name": "build", "status": "pass", "duration_s": 5.0, "host": "a"},
        {"name": "plan", "status": "pass", "duration_s": 5.0, "offset_s": 15.0, "host": "b"},
    ]
    bars = [one for one in page(gates=gates).all("rect") if one["class"].startswith("tone")]
    assert [(one["x"], one["width"]) for one in bars] == [
        ("0.00%", "25.00%"),
        ("25.00%", "25.00%"),
        ("75.00%", "25.00%"),
    ]


def test_a_repeated_flow_shows_its_percentiles_and_steps_instead_of_its_whole_time():
    each = {"p50_ms": 10.0, "p95_ms": 20.0, "p99_ms": 40.0}
    steps = [{"name": "login", **each}, {"name": "fetch", **each, "max_p95_ms": 80.0}, {"name": "none"}]
    data = {"samples": 40, **each, "steps": steps, "max_p95_ms": 30.0}
    found = page(results={"app1": [check(name="session", duration_ms=9000, data=data), check(duration_ms=12)]})
    assert [told for told in found.text("th") if "session" in told or "API" in told] == [
        "API: Health check",
        "API: session",
        "session: login",
        "session: fetch",
    ]
    assert [one["x1"] for one in found.all("line") if one["class"] == "budget"][1:] == ["37.50%", "100.00%", "50%"]
    assert "9.0 s" in found.text("td") and "9.0 s" not in found.text("caption")


def test_the_budgets_of_real_results_are_drawn():
    flow = {
        "steps": [{"name": "slow", "path": "/slow", "max_ms": 2000}, {"name": "echo", "path": "/echo"}],
        "repeat": {"samples": 2, "warmup": 0, "max_p95_ms": 4000},
    }
    slow = {"name": "slow", "max_ms": 500, "flow": {"steps": [{"name": "slow", "path": "/slow"}]}}
    with shop() as site, http_server((503, "x" * 100)) as port:
        slow["flow"]["url"] = flow["url"] = site.url
        bad = {"name": "bad", "max_ms": 1000, "http": {"url": f"http://127.0.0.1:{port}/"}}
        results = _health.check(entries(slow, bad, {"name": "often", "flow": flow}), 10, "never")["results"]
    results[1]["duration_ms"] = 1.0  # what is faster is not drawn
    drawn = [one["x1"] for one in page(results={"app1": results}).all("line") if one["class"] == "budget"]
    assert drawn == ["50.00%", "100.00%", "50%", "100.00%", "50.00%", "50%"], "two targets, key, flow, its step, key"


def test_many_checks_only_the_slowest_are_drawn():
    found = page(results={"app1": [check(name=str(took), duration_ms=took) for took in range(1, 41)]})
    assert "The 25 slowest of 40 checks" in found.text("caption")
    assert "API: 16" in found.text("th") and "API: 15" not in found.text("th")


def test_hostile_text_stays_text():
    source = _report_html.as_html(hostile())
    found = Page(source)
    assert {tag for tag, _attributes, _open in found.elements} <= TAGS
    told = "".join(found.text())
    assert told.count("<img src=x onerror=alert(1)>") > 40 and "‹U+202E›gnp.‹U+2066›" in told and "&lt;" in told
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\uffff]", source
    )
    for tag, attributes, _open in found.elements:
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "style")], tag
    for raw in ("<img", "</script", "</style></pre>"):
        assert raw not in source
    assert "<img" in HOSTILE


def test_markup_comes_only_from_tags():
    made = _report_markup.tag(
        "a", "<b>", _report_markup.Html("<br>"), 0, None, title="\"<>'", class_="x", aria_label=None
    )
    assert made == '<a title="&quot;&lt;&gt;&#x27;" class="x">&lt;b&gt;<br>0</a>'
    assert _report_markup.percent(5, 0) == "0.00%" and _report_markup.percent(9, 3) == "100.00%"


def luminance(color):
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))


def test_contrast_in_light_and_in_dark(real):
    [style] = real.text("style")
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(blocks) == 3  # light, dark, print
    for block in blocks[:2]:
        color = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
        pairs = [(text, back) for text in ("ink", "soft", "link") for back in ("page", "card", "sunk")]
        pairs += [(tone, back) for tone in ("pass", "warn", "fail", "skip") for back in ("card", f"{tone}-tint")]
        for text, back in pairs:
            light, dark = sorted((luminance(color[text]), luminance(color[back])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, back)


def test_one_page_for_print_dark_and_little_motion(real):
    [style] = real.text("style")
    for query in ("prefers-color-scheme: dark", "prefers-reduced-motion", "@media print", "max-width", "forced-colors"):
        assert query in style
    assert [one for one in real.all("meta") if one.get("name") == "viewport"]
