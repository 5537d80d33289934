# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CI templates: what runs after what, what a failure keeps from running, and where secrets go."""

from __future__ import annotations

import json
import re
import shutil
import stat

import pytest
from pipelines import GITHUB, GITLAB, ROOT, Runner, github, gitlab, load

SYSTEMS = ["github", "gitlab"]
SECRETS = {
    "VAULT_PASSWORD": "c4n4ry-vault",
    "SSH_PRIVATE_KEY": "-----BEGIN-----\nc4n4ry-key\n-----END-----",
    "SSH_KNOWN_HOSTS": "web1.example.com ssh-ed25519 c4n4ry-hosts",
    "NOTIFICATION_WEBHOOK_URL": "https://hooks.example.com/c4n4ry-hook",
}
TEST = "ansible-playbook deploy.yml -i local -i staging -i prod --syntax-check"
LOCAL = "ansible-playbook deploy.yml -i local"
CHECKLIST = "ansible-playbook tria.production.checklist -i local"
TEARDOWN = "ansible-playbook tria.production.teardown -i local -e teardown_confirm=project"


@pytest.fixture(name="project")
def fixture_project(tmp_path):
    """The example's repository, as it is in git."""
    ignored = shutil.ignore_patterns(".secrets", ".venv", "reports")
    return shutil.copytree(ROOT / "examples" / "project", tmp_path / "project", ignore=ignored)


@pytest.fixture(name="push")
def fixture_push(tmp_path, project):
    """Runs the pipeline of a push: the runner, jobs that ran with their success, calls without GitLab's clean-up."""

    def push(system, branch="main", fails="nothing"):
        runner = Runner(tmp_path, project, fails)
        if system == "github":
            jobs = github(branch, SECRETS, tmp_path)
        else:
            jobs = gitlab(branch, {"API_URL": f"https://{branch}.example.com", **files(tmp_path)})
        ended = runner.run(jobs)
        return runner, ended, [call for call in runner.calls if call != TEARDOWN]

    return push


def files(folder):
    """GitLab writes variables of type file itself, readable for all."""
    names = {"ANSIBLE_VAULT_PASSWORD_FILE": "VAULT_PASSWORD", "ANSIBLE_PRIVATE_KEY_FILE": "SSH_PRIVATE_KEY"}
    made = {"NOTIFICATION_WEBHOOK_URL": SECRETS["NOTIFICATION_WEBHOOK_URL"]}
    for variable, name in {**names, "SSH_KNOWN_HOSTS": "SSH_KNOWN_HOSTS"}.items():
        path = folder / f"{name}.file"
        path.write_text(SECRETS[name] + "\n")
        path.chmod(0o644)
        made[variable] = str(path)
    return made


def deploy(inventory):
    return f"ansible-playbook deploy.yml -i {inventory}"


def validate(branch):
    url = f"https://{branch}.example.com"
    return f"ansible-playbook tria.production.validate -e api_url={url} -e timeout=300 -e @vars/validation.yml"


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(("branch", "inventory"), [("main", "prod"), ("staging", "staging")])
def test_a_push_is_tested_checked_deployed_and_validated(push, system, branch, inventory):
    runner, ended, calls = push(system, branch)
    assert all(ended.values()), runner.output
    assert calls == [TEST, LOCAL, CHECKLIST, deploy(inventory), validate(branch)]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    ("fails", "last"),
    [
        ("*--syntax-check", TEST),
        ("*deploy.yml -i local", LOCAL),
        ("*checklist*", CHECKLIST),
        ("*deploy.yml -i prod", deploy("prod")),
        ("*validate*", validate("main")),
    ],
)
def test_what_fails_stops_all_that_follows(push, system, fails, last):
    _runner, ended, calls = push(system, fails=fails)
    assert not all(ended.values()) and calls[-1] == last
    blocked = last in (TEST, LOCAL, CHECKLIST)
    assert blocked is (deploy("prod") not in calls)
    assert "deploy" not in ended if blocked else "deploy" in ended


@pytest.mark.parametrize("system", SYSTEMS)
def test_secrets_are_files_for_ansible_alone(push, system, tmp_path):
    runner, _ended, calls = push(system)
    assert "c4n4ry" not in runner.output + "".join(calls)
    key = SECRETS["SSH_PRIVATE_KEY"]
    assert f"ANSIBLE_PRIVATE_KEY_FILE 600 {key}\n" in runner.read and "c4n4ry-vault" in runner.read
    assert re.search(r"^-o UserKnownHostsFile=/\S+ -o StrictHostKeyChecking=yes$", runner.read, re.MULTILINE)
    if system == "github":  # GitLab takes its files away itself
        assert "ANSIBLE_VAULT_PASSWORD_FILE 600 c4n4ry-vault" in runner.read
        assert not [path for path in tmp_path.iterdir() if path.is_file() and "c4n4ry" in path.read_text()
                    and path.name not in ("READ",)]


def test_github_takes_the_secrets_away_after_a_failure(push, tmp_path):
    push("github", fails="*deploy.yml -i prod")
    assert not (tmp_path / "vault-password").exists() and not (tmp_path / "ssh-key").exists()


def test_gitlab_clears_the_runner_after_a_failure(push, project):
    runner, _ended, _calls = push("gitlab", fails="*checklist*")
    assert TEARDOWN in runner.calls
    assert not (project / "reports" / "latest").is_symlink() and (project / "reports" / "r1").is_dir()


def test_github_never_gives_secrets_to_tests():
    """Each environment's are given to the job that deploys there; the checklist may tell of its failure."""
    for name, job in load(GITHUB)["jobs"].items():
        secrets = set(re.findall(r"secrets\.(\w+)", json.dumps(job)))
        assert secrets == {"deploy": set(SECRETS), "checklist": {"NOTIFICATION_WEBHOOK_URL"}}.get(name, set()), name
        assert ("environment" in job) is (name == "deploy")


@pytest.mark.parametrize("path", [GITHUB, ROOT / ".github" / "workflows" / "ci.yml"])
def test_github_workflows_may_little_and_are_pinned(path):
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job and job["timeout-minutes"]
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
                assert "checkout" not in step["uses"] or step["with"]["persist-credentials"] is False


def test_reports_are_kept_whatever_happened():
    for name, job in load(GITHUB)["jobs"].items():
        kept = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
        assert len(kept) == (name in ("checklist", "deploy", "validate")), name
        assert all(step["if"] == "always()" and "reports/" in step["with"]["path"] for step in kept)
    template = load(GITLAB)
    assert template[".reports"]["artifacts"]["when"] == "always"
    assert template[".reports"]["artifacts"]["reports"] == {"junit": "reports/*/*.xml"}
    assert [name for name, job in template.items() if ".reports" in str(job)] == ["checklist", "deploy", "validate"]


def test_one_deploy_at_a_time_is_never_cut_off():
    job = load(GITHUB)["jobs"]["deploy"]
    assert job["concurrency"] == {"group": "deploy-${{ github.ref_name }}", "cancel-in-progress": False}
    template = load(GITLAB)
    assert template["deploy"]["resource_group"] == template["validate"]["resource_group"] == "$INVENTORY"
    assert template["deploy"]["interruptible"] is False
    manual = [rule for rule in template["deploy"]["rules"] if rule.get("when") == "manual"]
    assert manual == [{"if": '$INVENTORY == "prod"', "when": "manual", "allow_failure": False}]


def test_a_schedule_only_validates():
    jobs = load(GITHUB)["jobs"]
    assert [name for name, job in jobs.items() if job.get("if") == "github.event_name == 'schedule'"] == ["validate"]
    assert "event_name == 'push'" in jobs["test"]["if"] and jobs["checklist"]["needs"] == "test"
    template = load(GITLAB)
    for name in ("test", "checklist"):
        assert template[name]["rules"] == [{"if": '$CI_PIPELINE_SOURCE != "schedule"'}]
    assert {"if": '$CI_PIPELINE_SOURCE == "schedule"', "when": "never"} in template["deploy"]["rules"]
    assert template["validate"]["needs"] == [{"job": "deploy", "artifacts": False, "optional": True}]


def test_the_summary_says_what_failed(tmp_path, project):
    check = {"category": "API", "name": "Health", "message": "Status `500`\n<b>", "status": "fail"}
    report = {"report": "production-readiness-report", "overall_status": "NOT_READY"}
    report.update(passed_checks=1, total_checks=2)
    report["categories"] = {"API": [check, {**check, "status": "pass", "name": "Docs"}]}
    (project / "artifacts" / "checklist" / "r1").mkdir(parents=True)
    (project / "artifacts" / "checklist" / "r1" / "x.json").write_text(json.dumps(report))
    runner = Runner(tmp_path, project)
    [job] = [job for job in github("main", SECRETS, tmp_path) if job.name == "report"]
    assert runner.run([job]) == {"report": True}, runner.output
    title, _empty, line = runner.summary.splitlines()
    assert title == "### production-readiness-report: NOT_READY, 1/2 checks passed"
    assert line == "- API: Health: `Status '500' <b>`"


def test_what_they_call_exists(project):
    for path in (GITHUB, GITLAB):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"tria\.production\.(\w+)", text):
            assert (ROOT / "playbooks" / f"{name}.yml").is_file(), name
        targets = re.findall(r"^(\w+):", (project / "Makefile").read_text(), re.MULTILINE)
        assert set(re.findall(r"\bmake (\w+)", text)) <= set(targets)
        for inventory in re.findall(r"(?:INVENTORY[=:] ?|-i )(\w+)", text):
            assert (project / inventory).is_file(), inventory
        for variables in re.findall(r"-e @(\S+)", text):
            assert (project / variables).is_file(), variables
    inventory = (project / "group_vars" / "stack" / "main.yml").read_text()
    assert f"\nstack_name: {load(GITLAB)['variables']['STACK']}\n" in inventory


def test_the_collections_own_workflow_calls_what_exists():
    assert "run: sudo .ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert (ROOT / ".ci" / "run").stat().st_mode & stat.S_IXUSR
