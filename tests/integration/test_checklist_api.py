# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checklist against APIs of the guide's shape: nothing but the planted fault is found, and nothing is left behind."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from checklist_report import CATEGORIES, checks, report_in
from deployed_stack import ROOT
from guide_api import GuideApi

DEMO = {"Auth: JWT issued and verified", "Upload: File types validated"}
# Fault -> the checks that find it, all of them.
FAULTS: dict[str, set[str]] = {
    "good": set(),
    "demo_off": set(),
    "wrong_environment": {"Environment: Environment as the API says it"},
    "database_down": {"Database: Database as the API sees it", "API: Detailed health"},
    "health_500": {"API: Health check"},
    "health_slow": {"API: Health check"},
    "docs_500": {"API: API documentation"},
    "metrics_500": {"API: Metrics"},
    "unknown_path_served": {"API: Unknown path"},
    "debug_open": {"Auth: Auth debug endpoint"},
    "demo_refused": {"Auth: Demo login available"},
    "login_500": DEMO,
    "token_ignored": {
        "Auth: Token required", "Auth: Forged token refused", "Auth: JWT issued and verified", "Upload: Upload needs a token",
        "Security: SEC411 Protected paths (front)",
    },
    "signature_ignored": {"Auth: Forged token refused", "Auth: JWT issued and verified"},
    "deletion_500": DEMO,
    "supabase_down": {"Auth: Supabase integration"},
    "limit_untold": {"Upload: Upload size limit"},
    "upload_open": {"Upload: Upload needs a token", "Upload: Oversized upload refused", "Upload: File types validated"},
    "types_unchecked": {"Upload: File types validated"},
    "cdn_down": {"Upload: CDN integration"},
    "sentry_inactive": {"Observability: Sentry error tracking"},
    "posthog_inactive": {"Observability: PostHog analytics"},
    "performance_missing": {"Observability: Performance metrics"},
    "prometheus_is_json": {"Observability: Prometheus metrics"},
    "observability_untold": {"Observability: Observability in detailed health"},
    "malformed_500": {"Security: Input validation"},
    "no_rate_limits": {"Security: Rate limiting"},
    "headers_missing": {
        "Security: SEC404 Content security policy (front)", "Security: SEC405 Content types not guessed (front)",
        "Security: SEC406 No framing (front)",
    },
    "cors_reflected": {"Security: SEC408 CORS (front)"},
    "env_served": {"Security: SEC409 Hidden paths (front)"},
    "traces_shown": {"Security: SEC410 No stack traces (front)"},
    "storage_down": {"Storage: Storage status", "Storage: Storage backend local"},
    "s3_down": {"Storage: Storage backend S3"},
    "disk_full": {"Storage: Free space"},
}  # fmt: skip
BAD = ("fail", "error", "warn")
UNHURRIED = dict.fromkeys(("health", "detailed", "docs", "metrics", "performance", "prometheus", "storage"), 60000)


def checklist(folder: pathlib.Path, *arguments: str, **variables) -> subprocess.CompletedProcess[str]:
    """The playbook, by default without any inventory; its reports go to `folder`."""
    values = {"deploy_reports": str(folder / "reports"), **variables}
    return subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "playbooks/checklist.yml", "-e", json.dumps(values), *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.fixture
def api():
    """Starts APIs with faults."""
    started = []

    def start(*faults):
        started.append(GuideApi(*faults))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture(scope="module", name="planted")
def fixture_planted(tmp_path_factory):
    """An API for each fault, all of them gone through in one run, as hosts of one inventory: (APIs by fault, run, report)."""
    folder = tmp_path_factory.mktemp("planted")
    apis = {fault: GuideApi(fault) for fault in FAULTS}
    hosts = {fault: {"deploy_url": one.url, "checklist_max_ms": UNHURRIED} for fault, one in apis.items()}
    hosts["health_slow"]["checklist_max_ms"] = {**UNHURRIED, "health": 600}
    inventory = {
        "stack": {"hosts": hosts, "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
    }
    (folder / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
    run = checklist(folder, "-i", str(folder / "inventory.yml"), "--forks=3")
    yield apis, run, report_in(folder)
    for one in apis.values():
        one.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_nothing_else(planted, fault):
    apis, _run, report = planted
    assert checks(report, fault, *BAD) == FAULTS[fault]
    assert checks(report, fault, "error") == set()
    assert checks(report, fault, "warn") == (FAULTS[fault] if fault == "health_slow" else set())
    left = 2 if fault in ("deletion_500", "token_ignored") else 0  # who sent the token is not known
    assert len(apis[fault].accounts) == left, "demo accounts are left behind"


def test_the_run_says_what_failed_and_where(planted):
    _apis, run, report = planted
    assert run.returncode != 0 and report["overall_status"] == "NOT_READY" and "changed=0" in run.stdout
    assert "❌ API: API documentation" in run.stdout
    assert (
        "❌ Observability: Sentry error tracking: sentry.active is false instead of true. Remedy: Read the body"
        in run.stdout
    )


def test_any_api_without_an_inventory(api, tmp_path):
    good = api("good")
    run = checklist(tmp_path, api_url=good.url, checklist_max_ms=UNHURRIED)
    assert run.returncode == 0, run.stdout
    report = report_in(tmp_path)
    assert (
        report["overall_status"] == "READY"
        and list(report["categories"]) == list(CATEGORIES)
        and "changed=0" in run.stdout
    )
    assert f"OVERALL STATUS: {report['total_checks']}/{report['total_checks']} checks passed" in run.stdout
    assert "🎉 ✓ PRODUCTION READY!" in run.stdout and not good.accounts and not good.uploads
    assert report["stack"] == report["release"] == good.url.rpartition("/")[2].replace(":", "-")
    assert {path.name for path in (tmp_path / "reports" / "latest").iterdir()} == {
        f"production-readiness-report.{extension}" for extension in ("json", "xml", "html")
    }
    # what is not configured, or cannot be seen from outside, is neither passed nor silent
    skipped = {
        row["name"]: row["message"] for rows in report["categories"].values() for row in rows if row["status"] == "skip"
    }
    unseen = ("Environment variables", "Deployed release", "PostgreSQL connection", "Schema", "Migrations status",
              "Security of compose", "Security of containers", "Security of host")  # fmt: skip
    assert {skipped.pop(name) for name in unseen} == {"no stack is given: this cannot be seen from outside"}
    assert (
        skipped["Sentry error tracking"] == "Sentry is not configured"
        and skipped["CDN integration"] == "no CDN is configured"
    )
    assert {"PostHog analytics", "Supabase integration", "Storage backend S3", "Storage backend Supabase"} < set(
        skipped
    )
    assert all(skipped.values())


def test_without_a_demo_login_it_is_said_what_was_not_looked_at(planted):
    _apis, _run, report = planted
    assert checks(report, "demo_off", "skip") > DEMO | {"Auth: Demo login available"}
    assert checks(report, "good", "pass") > DEMO


def test_an_account_that_is_given_is_signed_in_with_and_kept(api, tmp_path):
    one = api("demo_off")
    account = {"checklist_login_username": "checker", "checklist_login_password": "a-password-of-its-own"}
    run = checklist(tmp_path, api_url=one.url, checklist_max_ms=UNHURRIED, **account)
    assert run.returncode == 0, run.stdout
    assert "Auth: JWT issued and verified" in checks(report_in(tmp_path), "localhost", "pass")
    assert "DELETE /gdpr/delete-data" not in one.asked and "POST /users/logout" in one.asked
    account["checklist_login_password"] = "wrong-but-secret"
    run = checklist(tmp_path, "-vvv", api_url=one.url, checklist_max_ms=UNHURRIED, **account)
    assert run.returncode != 0 and "Auth: JWT issued and verified" in checks(report_in(tmp_path), "localhost", "fail")
    text = (tmp_path / "reports" / "latest" / "production-readiness-report.json").read_text(encoding="utf-8")
    assert "wrong-but-secret" not in text


def test_an_api_with_a_certificate_of_its_own_authority(api, tmp_path):
    one = api("good")
    certificate = one.serve_tls(tmp_path)
    run = checklist(tmp_path, api_url=one.url, checklist_ca_path=certificate, checklist_max_ms=UNHURRIED)
    assert checks(report_in(tmp_path), "localhost", *BAD) == {"Security: SEC403 HSTS (front)"}, run.stdout
    assert "Security: SEC401 TLS (front)" in checks(report_in(tmp_path), "localhost", "pass")


def test_check_mode_sends_nothing_that_could_change_something(api, tmp_path):
    good = api("good")
    run = checklist(tmp_path, "--check", api_url=good.url, checklist_max_ms=UNHURRIED)
    assert run.returncode == 0 and "PRODUCTION READY!" in run.stdout and "Report:" not in run.stdout, run.stdout
    assert {line.partition(" ")[0] for line in good.asked} == {"GET", "OPTIONS"} and not (tmp_path / "reports").exists()


def test_an_api_that_is_not_there_is_not_ready(tmp_path):
    gone = GuideApi()
    gone.close()
    run = checklist(tmp_path, api_url=gone.url)
    assert run.returncode != 0 and report_in(tmp_path)["overall_status"] == "NOT_READY"
    assert "API: Health check: cannot connect" in run.stdout and "PRODUCTION READY!" not in run.stdout


def test_nothing_to_look_at_is_not_ready(tmp_path):
    run = checklist(tmp_path)
    assert run.returncode != 0 and "there is nothing to look at. Remedy: pass -e api_url=" in run.stdout
    assert report_in(tmp_path)["overall_status"] == "NOT_READY"


def test_the_list_can_be_replaced_extended_and_left_out(api, tmp_path):
    one = api("docs_500")
    shop = {"name": "shop", "category": "API", "http": {"url": f"{one.url}/health", "json": {"status": "alive"}}}
    run = checklist(tmp_path, api_url=one.url, checklist_targets=[shop])
    assert run.returncode == 0, run.stdout
    assert {one for one in checks(report_in(tmp_path), "localhost", "pass") if "SEC4" not in one} == {"API: shop"}
    skipped = {"API documentation": "only inside the company"}
    run = checklist(
        tmp_path, api_url=one.url, checklist_max_ms=UNHURRIED, checklist_extra_targets=[shop], checklist_skip=skipped
    )
    assert run.returncode == 0, run.stdout
    assert "API: shop" in checks(report_in(tmp_path), "localhost", "pass")
    assert "API: API documentation" in checks(report_in(tmp_path), "localhost", "skip")
