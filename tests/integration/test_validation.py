# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Validation: the deployed stack and any API by its URL; every planted fault is found, and nothing is left behind."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import docker
import pytest
from ansible_collections.tria.production.plugins.module_utils import _docker, _health, _probes
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from deployed_stack import ROOT, Run
from planted_api import planted_api

CATEGORIES = [
    "Deployment Readiness", "Core Endpoints", "Authentication Flow", "Upload System", "Monitoring System",
    "GDPR Compliance", "Performance Benchmarks",
]
PLACE = "http://api.invalid"  # where the rendered targets are pointed to an API
REPORT = "deployment-validation-report"


def ansible(folder: pathlib.Path, playbook: pathlib.Path, **variables: object) -> Run:
    """A playbook without an inventory, in a folder without anything."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment.update(ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".build"), ANSIBLE_STDOUT_CALLBACK="tria.production.gates")
    environment.update(ANSIBLE_NOCOLOR="1", COLUMNS="1000", PWD=str(folder))
    command = [sys.executable, "-m", "ansible", "playbook", str(playbook), "-e", json.dumps(variables)]
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        check=False,
    )
    return Run(done.returncode, done.stdout + done.stderr, time.monotonic() - begun)


def validate(folder: pathlib.Path, url: str, **variables: object) -> Run:
    return ansible(folder, ROOT / "playbooks" / "validate.yml", api_url=url, **variables)


def report(reports: pathlib.Path) -> dict:
    return json.loads((reports / "latest" / f"{REPORT}.json").read_text(encoding="utf-8"))


def statuses(results: list[dict], *wanted: str) -> dict[str, str]:
    """Category by name of those checks that ended so."""
    return {one["name"]: one["category"] for one in results if one["status"] in wanted}


# --- the deployed stack -----------------------------------------------------------------------------------------------


def personal_data(stack) -> list:
    """Numbers of rows, and the files of uploads."""
    tables = ("users", "contents", "conversations", "messages")
    rows = [stack.sql(f"SELECT count(*) FROM {table}")[0][0] for table in tables]
    client = docker.from_env()
    try:
        labels = [f"{_docker.PROJECT}={stack.name}", f"{_docker.SERVICE}=backend"]
        [backend] = client.containers.list(filters={"label": labels})
        code, files = backend.exec_run(["find", "/data/uploads", "-type", "f"])
    finally:
        client.close()
    assert code == 0, files
    return [*rows, sorted(files.decode().split())]


def test_the_deployed_stack_twice_and_nothing_is_left_behind(stack):
    before = personal_data(stack)
    for _time in range(2):
        run = stack.playbook("validate")
        assert run.status == 0 and run.changed == 0, run.output
        assert "🎉 ✓ PRODUCTION READY!" in run.output and f"Stack:  http://127.0.0.1:{stack.port}" in run.output
        found = stack.report()
        assert (found["release"], found["stack"], found["overall_status"]) == (stack.current, stack.name, "READY")
        assert [*found["categories"]] == [*CATEGORIES, "Database", "Cache", "System"]
        assert statuses(sum(found["categories"].values(), []), "skip") == {
            "CDN": "Upload System", "Sentry": "Monitoring System", "PostHog": "Monitoring System"
        }
        assert found["total_checks"] == 33
        assert personal_data(stack) == before
    page = (stack.reports / "latest" / f"{REPORT}.html").read_text(encoding="utf-8")
    assert "Performance Benchmarks" in page and (stack.reports / "latest" / f"{REPORT}.xml").is_file()


def test_check_mode_asks_and_makes_nothing(stack):
    before = personal_data(stack)
    run = stack.playbook("validate", "--check")
    assert run.status == 0 and "✓ Core Endpoints: Health check" in run.output, run.output
    assert "- Authentication Flow: Sign in" in run.output and "- GDPR Compliance: Deletion" in run.output
    assert "Report:" not in run.output and personal_data(stack) == before


def test_the_gate_of_a_deploy_has_the_categories(stack):
    stack.deploy()
    assert {*CATEGORIES, "Database", "Cache", "System"} <= set(stack.report()["categories"])


# --- any API ----------------------------------------------------------------------------------------------------------


def test_any_api_without_an_inventory(tmp_path):
    with planted_api() as api:
        run = validate(tmp_path, api.url)
        assert run.status == 0 and "🎉 ✓ PRODUCTION READY!" in run.output, run.output
        assert api.is_empty and "DELETE /gdpr/delete-data" in api.asked
        shown = run.output + "".join(path.read_text() for path in tmp_path.rglob(f"{REPORT}.*"))
        assert not [secret for secret in api.secrets if secret in shown]
    found = report(tmp_path / "reports")
    assert [*found["categories"]] == CATEGORIES and found["release"] == api.url[7:].replace(":", "-")


def test_an_inventory_that_is_there_besides_does_not_count(tmp_path):
    (tmp_path / "hosts.yml").write_text(json.dumps({"stack": {"hosts": {"localhost": {
        "ansible_connection": "local", "ansible_python_interpreter": "/nowhere/python", "stack_name": "other",
        "validation_targets": [{"name": "other", "tcp": {"port": 1}}],
        "validation_extra_targets": [{"name": "another", "tcp": {"port": 1}}],
    }}}}), encoding="utf-8")
    (tmp_path / "ansible.cfg").write_text("[defaults]\ninventory = hosts.yml\n", encoding="utf-8")
    with planted_api() as api:
        run = validate(tmp_path, api.url)
    assert run.status == 0 and [*report(tmp_path / "reports")["categories"]] == CATEGORIES, run.output


def test_what_to_validate_has_to_be_said(tmp_path):
    run = ansible(tmp_path, ROOT / "playbooks" / "validate.yml")
    assert run.status != 0 and "There is nothing to validate. Remedy: pass -e api_url=" in run.output
    assert not [*tmp_path.iterdir()]


def test_a_fault_ends_with_status_and_report(tmp_path):
    with planted_api("other bytes", "no registration") as api:
        run = validate(tmp_path, api.url)
    assert run.status != 0 and "❌ NOT PRODUCTION READY" in run.output and "PRODUCTION READY!" not in run.output
    found = report(tmp_path / "reports")
    assert found["overall_status"] == "NOT_READY" and found["failure"]["gate"] == "validation"
    assert statuses(found["categories"]["Authentication Flow"], "fail") == {"Sign in": "Authentication Flow"}
    assert "Sign in: step register failed: status 500" in run.output


def test_an_api_that_has_just_been_deployed_is_waited_for(tmp_path):
    with planted_api() as api:
        api.ready_at = time.monotonic() + 6
        run = validate(tmp_path, api.url, timeout=30)
    assert run.status == 0 and "PRODUCTION READY!" in run.output, run.output


def test_one_that_never_gets_ready_is_given_up_and_nothing_else_is_asked(tmp_path):
    with planted_api("not ready") as api:
        run = validate(tmp_path, api.url, timeout=2)
    assert run.status != 0 and run.seconds < 60 and "not ready within 2 s" in run.output
    assert {one.split()[1] for one in api.asked} == {"/health", "/api/v1/health/readiness"}
    found = report(tmp_path / "reports")
    assert found["overall_status"] == "NOT_READY" and [*found["categories"]] == ["Deployment Readiness"]


def test_one_that_was_waited_for_already_is_not_waited_for_again(tmp_path):
    with planted_api("not ready") as api:
        run = validate(tmp_path, api.url, timeout=0)
    assert run.status != 0 and "Wait until it is ready" not in run.output
    found = report(tmp_path / "reports")
    assert found["overall_status"] == "NOT_READY" and {*found["categories"]} == {*CATEGORIES}
    with planted_api() as api:
        assert validate(tmp_path, api.url, timeout=0).status == 0


def test_one_that_is_not_there(tmp_path):
    run = validate(tmp_path, "http://127.0.0.1:1", timeout=2)
    assert run.status != 0 and "127.0.0.1 port 1" in run.output
    assert report(tmp_path / "reports")["overall_status"] == "NOT_READY"


# --- planted faults ---------------------------------------------------------------------------------------------------


@pytest.fixture(name="guide", scope="module")
def guide_fixture(tmp_path_factory) -> str:
    """The role's own targets as JSON, as Ansible makes them; with few samples and a small budget for /health."""
    folder = tmp_path_factory.mktemp("targets")
    role = ROOT / "roles" / "validation"
    budgets = [{"path": "/health", "max_p95_ms": 250}, {"path": "/contents", "max_p95_ms": 2000, "signed_in": True}]
    play = {
        "hosts": "localhost", "gather_facts": False,
        "vars_files": [str(role / "defaults" / "main.yml"), str(role / "vars" / "main.yml")],
        "tasks": [{"ansible.builtin.copy": {
            "content": "{{ validation_guide_targets | to_json }}", "dest": str(folder / "targets.json"), "mode": "0600"
        }}],
    }
    (folder / "render.yml").write_text(json.dumps([play]), encoding="utf-8")
    samples = {"validation_samples": 3, "validation_warmup": 1, "validation_budgets": budgets}
    run = ansible(folder, folder / "render.yml", validation_api_url=f"{PLACE}/", **samples)
    assert run.status == 0, run.output
    return (folder / "targets.json").read_text(encoding="utf-8")


def look(guide: str, api) -> list[dict]:
    """All checks of the guide, made once."""
    targets = json.loads(guide.replace(PLACE, api.url))
    validated = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": targets})
    assert not validated.error_messages, validated.error_messages
    found = _health.check(validated.validated_parameters["targets"], 30, "never")["results"]
    shown = [one for one in found if any(secret in json.dumps(one) for secret in api.secrets)]
    assert not shown
    return found


def test_the_good_api_is_good_with_five_sign_ins(guide):
    with planted_api() as api:
        found = look(guide, api)
        assert not statuses(found, "fail", "error", "warn") and api.is_empty and api.sign_ins == 5
    assert len(found) == 32 and {one["category"] for one in found} == set(CATEGORIES)


def test_a_rate_limit_is_waited_out(guide):
    with planted_api("limited") as api:
        assert not statuses(look(guide, api), "fail", "error", "warn") and api.is_empty and api.sign_ins == 6


@pytest.mark.parametrize(
    "fault, category, names",
    [
        ("not ready", "Deployment Readiness", {"Ready to serve", "Readiness"}),
        ("no detailed health", "Core Endpoints", {"Detailed health"}),
        ("no documentation", "Core Endpoints", {"API documentation"}),
        ("forgetful chatbot", "Core Endpoints", {"Chatbot answers the same key once"}),
        ("any token that begins like one", "Authentication Flow", {"A tampered token is refused"}),
        ("any password", "Authentication Flow", {"A wrong password is refused"}),
        ("open profile", "Authentication Flow", {"No token is refused"}),
        ("stale refresh", "Authentication Flow", {"Refresh and log out"}),
        ("no logout", "Authentication Flow", {"Refresh and log out"}),
        ("other bytes", "Upload System", {"Upload, fetch, delete"}),
        ("empty listing", "Upload System", {"Upload, fetch, delete"}),
        ("first deletion lost", "Upload System", {"Upload, fetch, delete"}),
        ("any size", "Upload System", {"An upload that is too large is refused"}),
        ("any type", "Upload System", {"A program is refused"}),
        ("open upload", "Upload System", {"An upload without a token is refused"}),
        ("no metrics", "Monitoring System", {"Metrics", "Metrics endpoint"}),
        ("no prometheus", "Monitoring System", {"Prometheus metrics"}),
        ("no performance metrics", "Monitoring System", {"Performance metrics"}),
        ("broken storage", "Monitoring System", {"Storage status"}),
        ("private policy", "GDPR Compliance", {"Privacy policy"}),
        ("export without account", "GDPR Compliance", {"Data export"}),
        ("export without uploads", "GDPR Compliance", {"Data export"}),
        ("token kept", "GDPR Compliance", {"Deletion"}),
        ("account kept", "GDPR Compliance", {"Deletion"}),
        ("slow health", "Performance Benchmarks", {"/health"}),
    ],
)
def test_a_planted_fault_is_found_in_its_category(guide, fault, category, names):
    with planted_api(fault) as api:
        found = look(guide, api)
        failed = statuses(found, "fail", "error")
        assert set(failed) == names and category in failed.values()
        assert not statuses(found, "warn")
        # whatever failed: what was made is gone, but for what the API itself refuses to delete
        assert not api.uploads and (not api.accounts or fault == "account kept")


@pytest.mark.parametrize(
    "fault, category, name",
    [
        ("broken sentry", "Monitoring System", "Sentry"),
        ("broken posthog", "Monitoring System", "PostHog"),
        ("broken cdn", "Upload System", "CDN"),
    ],
)
def test_what_is_configured_and_does_not_work_is_a_warning(guide, fault, category, name):
    with planted_api(fault) as api:
        found = look(guide, api)
    assert statuses(found, "warn") == {name: category} and not statuses(found, "fail", "error")


def test_without_an_account_nothing_of_it_passes(guide):
    with planted_api("no registration") as api:
        found = look(guide, api)
    failed = statuses(found, "fail", "error")
    assert {"Sign in", "Upload, fetch, delete", "Data export", "Deletion", "/contents"} <= set(failed)
    assert {"A wrong password is refused", "Refresh and log out"} <= set(failed)
    assert statuses(found, "error")["Deletion"] == "GDPR Compliance" and [*statuses(found, "fail")] == ["Sign in"]


def test_an_account_that_could_not_be_signed_in_to_is_removed(guide):
    with planted_api("first sign-in lost") as api:
        found = look(guide, api)
        assert [*statuses(found, "fail")] == ["Sign in"] and api.is_empty


def test_an_interrupted_run_removes_its_account(guide):
    """The deadline of all checks, in the midst of them."""
    with planted_api() as api:
        targets = json.loads(guide.replace(PLACE, api.url))
        validated = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": targets})
        for seconds in (0.05, 0.1, 0.15):
            _health.check(validated.validated_parameters["targets"], seconds, "never")
            assert api.is_empty
    assert not [one for one in threading.enumerate() if one.name == "probe"]


def test_targets_of_ones_own(tmp_path):
    """Without the guide's: nothing is waited for. The result is there when the gate is closed, too."""
    asked = {"name": "site", "max_ms": 0.001, "http": {"url": "{{ validation_api_url }}/health"}}
    role = {"name": "tria.production.validation", "public": True}
    look = {"ansible.builtin.include_role": role, "vars": {"validation_fail_on": "{{ closed }}"}, "name": "look"}
    result = "{{ validation_result | to_json }}"
    told = {"ansible.builtin.copy": {"content": result, "dest": "{{ told }}", "mode": "0600"}}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"block": [look], "always": [told]}]}
    (tmp_path / "own.yml").write_text(json.dumps([play]), encoding="utf-8")
    with planted_api() as api:
        options = {"validation_api_url": api.url, "validation_targets": [asked], "told": str(tmp_path / "told.json")}
        for closed in ("unhealthy", "degraded"):
            run = ansible(tmp_path, tmp_path / "own.yml", closed=closed, **options)
            assert (run.status == 0) is (closed == "unhealthy"), run.output
            result = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
            assert result["overall_status"] == "degraded" and [one["name"] for one in result["results"]] == ["site"]
            assert result["health"]["services"]["site"]["healthy"] is True
