# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole deploy on the real Engine: a first one, a second with nothing new, one with changed code, and check mode."""

from __future__ import annotations

import hashlib
import json
import pathlib
import stat

import pytest
from deployed_stack import NEW_VERSION, DeployedStack, project_copy, snapshot

STATEFUL = ("postgres", "redis")
ONLY_READS = ["preflight", "environment", "lock", "engine", "plan", "readiness", "validation", "diagnostics"]
CHANGES = ["base images", "build", "backup", "rollout"]


def mode(path: pathlib.Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_every_gate_was_passed(stack):
    assert stack.first_run.gates == [*ONLY_READS[:5], *CHANGES, "readiness", "validation", "commit", "drain", "diagnostics"]
    assert "PRODUCTION READY" in stack.first_run.output and f"http://127.0.0.1:{stack.port}" in stack.first_run.output


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/health", '"status":"alive"'),
        ("/api/v1/health/liveness", '"status":"alive"'),
        ("/api/v1/health/readiness", '"overall_healthy":true'),
        ("/api/v1/health/diagnostics", '"'),
        ("/metrics", "# TYPE"),
        ("/docs", "swagger"),
    ],
)
def test_the_guides_endpoints_answer_through_the_edge(stack, path, words):
    status, body = stack.get(path)
    assert status == 200 and words in body.replace('": ', '":')


def test_the_chatbot_answers_the_same_key_once(stack):
    body = json.dumps({"message": "hello", "user_id": "test"}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": "deploy-test-1"}
    first, second = (stack.get("/api/chatbot", data=body, headers=headers, method="POST") for _try in range(2))
    assert first[0] == second[0] == 200 and first[1] == second[1]


def test_only_the_edge_is_published_and_only_here(stack):
    published = {
        name: [binding for bindings in one["HostConfig"]["PortBindings"].values() for binding in bindings]
        for name, one in stack.containers().items()
        if one["HostConfig"]["PortBindings"]
    }
    assert published == {"edge": [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}]}


def test_containers_are_hardened(stack):
    containers = stack.containers()
    assert set(containers) == {"edge", "backend", "migrate", "postgres", "redis", "openai-sandbox"}
    for name, one in containers.items():
        host = one["HostConfig"]
        assert one["Config"]["User"].partition(":")[0] not in ("", "0", "root"), name
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["ReadonlyRootfs"] and host["Memory"] > 0 and host["PidsLimit"] > 0 and host["NanoCpus"] > 0, name


def test_no_secret_is_in_a_process_list(stack):
    for name, one in stack.containers().items():
        arguments = json.dumps([one["Path"], one["Args"], one["Config"].get("Healthcheck")])
        assert not [secret for secret in stack.secrets().values() if secret in arguments], name


def test_the_report_is_the_guides(stack):
    path = stack.reports / "latest" / "deployment-validation-report.json"
    assert (stack.reports / "latest").is_symlink() and path.resolve().parent.name == stack.current
    report = stack.report()
    assert mode(path) == "0o600"
    assert report["overall_status"] == "READY" and report["release"] == stack.current
    assert report["total_checks"] == report["passed_checks"] + report["warned_checks"]
    assert {"Preflight", "Environment", "Container", "API", "Database", "Cache", "System"} <= set(report["categories"])
    assert all({"name", "status", "message", "duration_ms"} <= set(row) for row in sum(report["categories"].values(), []))
    assert [gate["name"] for gate in report["gates"]] == stack.first_run.gates
    assert {gate["status"] for gate in report["gates"]} == {"pass"}


def test_facts_say_what_runs(stack):
    facts = json.loads(stack.facts.read_text())
    assert (facts["release"], facts["status"]) == (stack.current, "healthy")
    assert {name: one["state"] for name, one in facts["services"].items() if one["state"] != "running"} == {"migrate": "exited"}


def test_secrets_are_in_the_env_file_and_what_compose_makes_of_it_alone(stack):
    env_file = stack.root / "current" / ".env"
    assert mode(env_file) == "0o600" and stack.secrets()["secret_key"] in env_file.read_text()
    assert len(stack.secrets()) == 6 and {mode(path) for path in stack.secrets_folder.iterdir()} == {"0o600"}
    for path in stack.root.glob("releases/*/rendered.json"):
        assert mode(path) == "0o600"
    files = [path for path in stack.root.rglob("*") if path.is_file() and path.name not in (".env", "rendered.json")]
    files += [path for path in stack.reports.rglob("*") if path.is_file()]
    assert stack.root / "current" not in files and len(files) > 10
    for path in [*files, stack.facts]:
        content = path.read_bytes()
        shown = [name for name, secret in stack.secrets().items() if secret.encode() in content]
        assert not shown, f"{shown} in {path}"


def test_a_second_run_changes_nothing_and_shows_no_secret(stack):
    ids = {name: one["Id"] for name, one in stack.containers().items()}
    before = snapshot(stack.root / "releases")
    run = stack.deploy()
    assert (run.status, run.changed, run.gates) == (0, 0, ONLY_READS)
    assert {name: one["Id"] for name, one in stack.containers().items()} == ids
    assert snapshot(stack.root / "releases") == before
    assert not (stack.root / "lock").exists()


def test_check_mode_on_the_running_stack_changes_nothing(stack, tmp_path):
    """With changed code, and all that Ansible can say: the runner looks for secrets in it."""
    before, facts, reports = snapshot(stack.root), snapshot(stack.facts), snapshot(stack.reports)
    ids = {name: one["Id"] for name, one in stack.containers().items()}
    source = project_copy(tmp_path, NEW_VERSION)
    run = stack.deploy("--check", "--diff", "-vvvv", stack_source=str(source))
    assert run.status == 0, run.output
    assert f"Would build {stack.name}/backend:" in run.output and f"Would build {stack.name}/edge:" not in run.output
    assert "changed: image of backend, image of migrate" in run.output
    assert "Check mode: nothing was changed" in run.output
    assert (snapshot(stack.root), snapshot(stack.facts), snapshot(stack.reports)) == (before, facts, reports)
    assert {name: one["Id"] for name, one in stack.containers().items()} == ids


def test_check_mode_before_a_first_deploy_writes_nothing(tmp_path):
    fresh = DeployedStack("triacheck", tmp_path)
    fresh.remove()
    run = fresh.deploy("--check")
    assert run.status == 0, run.output
    assert "Would build triacheck/edge:" in run.output and "To do: first deploy" in run.output
    assert "readiness" not in run.gates and "READY" not in run.output  # nothing was proven
    assert not fresh.root.exists() and not fresh.facts.exists() and not fresh.reports.exists()
    assert fresh.containers() == {}


def test_changed_code_rebuilds_its_image_alone(stack, tmp_path_factory):
    stack.sql("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('here')")
    before, release, backups = stack.containers(), stack.current, stack.backups()
    stack.source = project_copy(tmp_path_factory.mktemp("changed"), NEW_VERSION)
    run = stack.deploy("-v")
    assert run.status == 0, run.output
    after = stack.containers()
    assert "PRODUCTION READY" in run.output
    assert '"1.0.1"' in stack.get("/openapi.json")[1]
    assert stack.sql("SELECT word FROM kept") == [("here",)]

    assert stack.current != release and (stack.root / "releases" / release / "release.json").exists()
    record = json.loads((stack.root / "current" / "release.json").read_text())
    outcome = json.loads((stack.root / "current" / "outcome.json").read_text())
    assert (outcome["status"], record["previous"]) == ("good", release)
    assert record["created_by"]["user"] and outcome["events"][-1]["by"] == record["created_by"]
    assert {name for name in after if after[name]["Image"] != before[name]["Image"]} == {"backend", "migrate"}
    assert {name for name in STATEFUL if after[name]["Id"] != before[name]["Id"]} == set()

    [backup] = stack.backups()[len(backups) :]
    dump = stack.root / "backups" / backup["dump"]["file"]
    assert hashlib.sha256(dump.read_bytes()).hexdigest() == backup["dump"]["sha256"] and mode(dump) == "0o600"
    assert backup["label"] == stack.current
