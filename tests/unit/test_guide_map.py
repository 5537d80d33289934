# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`docs/guide-map.md` leaves nothing of the guides out, and what it and the other pages name exists."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
MAP = ROOT / "docs" / "guide-map.md"
TEXT = MAP.read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "roles").glob("*/README.md"))]
TEST_FOLDERS = (ROOT / "tests", ROOT / "examples" / "tria" / "backend" / "tests")

VARIABLES = """
    POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB DATABASE_URL REDIS_HOST REDIS_PORT REDIS_PASSWORD REDIS_DB OPENAI_API_KEY
    OPENAI_MODEL SECRET_KEY ENVIRONMENT TAX_RATE XERO_SALES_ACCOUNT_CODE XERO_TAX_TYPE MAX_QUANTITY_PER_ITEM MAX_ORDER_TOTAL
    MAX_LINE_ITEMS MIN_ORDER_TOTAL XERO_CLIENT_ID XERO_CLIENT_SECRET XERO_TENANT_ID XERO_REFRESH_TOKEN SENTRY_DSN
    JWT_SECRET_KEY POSTHOG_API_KEY POSTHOG_HOST BHIV_STORAGE_BACKEND SUPABASE_URL SUPABASE_ANON_KEY MAX_UPLOAD_SIZE_MB
    ENABLE_RATE_LIMITING
""".split()
ENDPOINTS = """
    /health /api/v1/health/liveness /api/v1/health/readiness /api/v1/health/diagnostics /metrics /api/chatbot /docs
    /contents /health/detailed /metrics/performance /metrics/prometheus /gdpr/privacy-policy
""".split()
CHECKLIST = "Environment Database API Auth Upload Observability Security Storage".split()
VALIDATION = [
    "Deployment Readiness", "Core Endpoints", "Authentication Flow", "Upload System", "Monitoring System", "GDPR Compliance",
    "Performance Benchmarks",
]


def code_spans(text: str) -> list[str]:
    """What stands between backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def named(words: str) -> list[str]:
    """Names that follow one of the words: "role `a`", "roles `a`, `b`"."""
    lists = re.findall(rf"\b(?:{words}) ((?:`\w+`(?:, | and )?)+)", TEXT)
    return sorted({name for one in lists for name in re.findall(r"`(\w+)`", one)})


def anchors(page: pathlib.Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(target: str, folder: pathlib.Path, page: pathlib.Path) -> bool:
    """Whether a path with an anchor, relative to a folder, leads nowhere."""
    path, _hash, anchor = target.partition("#")
    found = (folder / path).resolve() if path else page
    return not found.exists() or bool(anchor) and anchor not in anchors(found)


def test_every_variable_of_the_guides_is_there_and_in_the_schema() -> None:
    schema = yaml.safe_load((ROOT / "examples" / "tria" / "env.schema.yaml").read_text(encoding="utf-8"))["variables"]
    assert [name for name in VARIABLES if not re.search(rf"\b{name}\b", TEXT)] == []
    assert [name for name in VARIABLES if name not in schema] == []


def test_every_endpoint_of_the_guides_is_there() -> None:
    spans = {word for span in code_spans(TEXT) for word in span.split()}
    assert [path for path in ENDPOINTS if path not in spans] == []


def test_every_category_of_the_guides_is_there() -> None:
    assert [name for name in CHECKLIST + VALIDATION if f"**{name}**" not in TEXT] == []


def rows() -> list[list[str]]:
    """The cells of every row of the tables, without headings."""
    tables = re.findall(r"^\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split(" |")] for table in tables for row in table.splitlines()]


def test_no_item_is_without_its_counterpart() -> None:
    assert len(rows()) > 150
    assert [row for row in rows() if not all(row)] == []


def test_every_named_test_exists() -> None:
    files = {path.name: path for folder in TEST_FOLDERS for path in folder.rglob("test_*.py")}
    cases = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", TEXT)))
    assert len(cases) > 80
    absent = [
        f"{file}::{name}"
        for file, name in cases
        if file not in files or f"def {name}(" not in files[file].read_text(encoding="utf-8")
    ]
    assert absent == []


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ("roles?", "roles/{}/meta/argument_specs.yml"),
        ("modules?", "plugins/modules/{}.py"),
        ("callback", "plugins/callback/{}.py"),
        ("kinds?", "plugins/module_utils/_probes/{}.py"),
    ],
)
def test_every_named_role_and_plugin_exists(words: str, pattern: str) -> None:
    assert named(words)
    assert [name for name in named(words) if not (ROOT / pattern.format(name)).is_file()] == []


def test_every_named_rule_exists() -> None:
    rules = {"ENV": "env-rules.md", "SEC": "security-rules.md"}
    pages = {kind: (ROOT / "docs" / page).read_text(encoding="utf-8") for kind, page in rules.items()}
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert sorted({f"{kind}{number}" for kind, number in re.findall(r"\b(ENV|SEC)(\d{3})\b", text)
                   if f"{kind}{number}" not in pages[kind]}) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: pathlib.Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if missing(link, page.parent, page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_and_make_target_exists(page: pathlib.Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    text = page.read_text(encoding="utf-8")
    folders = "docs|examples|inventories|meta|molecule|playbooks|plugins|roles|tests"
    # What is made or filled in is not here: reports, a vault, names in angle brackets or with a star.
    paths = [span for span in code_spans(text) if re.fullmatch(rf"(?:{folders})/[\w./#-]+", span) and "vault.yml" not in span]
    assert [path for path in paths if missing(path, ROOT, page)] == []
    assert sorted(set(re.findall(r"\bmake ([a-z-]+)\b", "\n".join(code_spans(text)))) - set(targets)) == []
