# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CI templates run as their systems would run them: the same jobs in the same order, the same lines in bash.

What is not there (other machines, registries, root) are programs on PATH that write down how they were called.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import subprocess
import typing as t

import yaml

ROOT = pathlib.Path(__file__).parents[3]
GITHUB = ROOT / "examples" / "ci" / "github-actions.yml"
GITLAB = ROOT / "examples" / "ci" / "gitlab-ci.yml"

# Each line: the program, its arguments, and what Ansible would read of the environment.
STUB = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$CALLS"
for name in ANSIBLE_VAULT_PASSWORD_FILE ANSIBLE_PRIVATE_KEY_FILE; do
  if [ -n "${!name:-}" ]; then echo "$name $(stat -c %a "${!name}") $(cat "${!name}")" >> "$READ"; fi
done
echo "${ANSIBLE_SSH_COMMON_ARGS:-}" >> "$READ"
mkdir -p reports/r1 && touch reports/r1/report.xml && ln -sfn r1 reports/latest
case "$(basename "$0") $*" in $FAILS) exit 2 ;; esac
"""


@dataclasses.dataclass
class Step:
    """Lines of bash with their environment; `always` also when an earlier step of the job failed."""

    lines: str
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    always: bool = False


@dataclasses.dataclass
class Job:
    """`needs` are the jobs that must have succeeded before it; a list of jobs is in the order of their start."""

    name: str
    needs: list[str]
    steps: list[Step]
    always: bool = False


def load(path: pathlib.Path) -> dict[str, t.Any]:
    """A template; `on` is no boolean in it."""
    return yaml.load(path.read_text(encoding="utf-8").replace("\non:", '\n"on":'), yaml.SafeLoader)


def as_list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else [value]


def github(branch: str, secrets: dict[str, str], temp: pathlib.Path) -> list[Job]:
    """The jobs of a push to `branch`."""
    known = {
        "github.ref_name == 'staging' && 'staging' || 'prod'": "staging" if branch == "staging" else "prod",
        "github.ref_name == 'staging' && vars.STAGING_URL || vars.PROD_URL": f"https://{branch}.example.com",
        "runner.temp": str(temp),
        **{f"secrets.{name}": value for name, value in secrets.items()},
    }

    def evaluated(values: dict[str, str]) -> dict[str, str]:
        return {
            name: re.sub(r"\$\{\{ (.+?) \}\}", lambda found: known[found[1]], value) for name, value in values.items()
        }

    workflow = load(GITHUB)
    assert branch in workflow["on"]["push"]["branches"]
    jobs = []
    for name, job in workflow["jobs"].items():
        if job.get("if") == "github.event_name == 'schedule'":
            continue
        around = {**workflow["env"], **job.get("env", {})}
        steps = [
            Step(step["run"], evaluated({**around, **step.get("env", {})}), "always()" in step.get("if", ""))
            for step in job["steps"]
            if "run" in step
        ]
        assert not any("${{" in step.lines for step in steps), "an expression in a script is an injection"
        jobs.append(Job(name, as_list(job.get("needs", [])), steps, "!cancelled()" in job.get("if", "")))
    return jobs


def gitlab(branch: str, variables: dict[str, str]) -> list[Job]:
    """The jobs of a push to `branch`; what is manual has been started."""
    template = load(GITLAB)
    [rule] = [rule for rule in template["workflow"]["rules"] if rule["if"] == f'$CI_COMMIT_BRANCH == "{branch}"']
    environment = {**template["variables"], **rule["variables"], **variables}
    jobs = []
    for stage in template["stages"]:
        for name, job in template.items():
            if name.startswith(".") or not isinstance(job, dict) or job.get("stage") != stage:
                continue
            job = {**template["default"], **template.get(job.get("extends", ""), {}), **job}
            needs = [need if isinstance(need, str) else need["job"] for need in job.get("needs", [])]
            lines = [*job["before_script"], *job["script"]]
            steps = [Step("\n".join(lines), environment)]
            steps += [Step("\n".join(job["after_script"]), environment, True)] if "after_script" in job else []
            jobs.append(Job(name, needs, steps))
    return jobs


class Runner:
    """Runs jobs in a folder. `calls` are calls of programs, `read` the secrets they could read, `output` all output."""

    def __init__(self, folder: pathlib.Path, project: pathlib.Path, fails: str = "nothing") -> None:
        self.project = project
        self.folder = folder
        self.output = ""
        self._environment = {"FAILS": fails, "HOME": str(folder), "RUNNER_TEMP": str(folder)}
        for name in ("CALLS", "READ", "GITHUB_STEP_SUMMARY"):
            (folder / name).touch()
            self._environment[name] = str(folder / name)
        programs = folder / "bin"
        virtual = project / ".venv" / "bin"  # as if it was installed
        virtual.mkdir(parents=True)
        (project / ".venv" / ".installed").touch()
        programs.mkdir()
        for place in (programs / "apt-get", virtual / "ansible-playbook", virtual / "ansible-galaxy", virtual / "pip"):
            place.write_text(STUB)
            place.chmod(0o755)
        self._environment["PATH"] = f"{programs}:{os.environ['PATH']}"

    @property
    def calls(self) -> list[str]:
        lines = (self.folder / "CALLS").read_text().splitlines()
        return [line for line in lines if line.startswith("ansible-playbook")]

    @property
    def read(self) -> str:
        return (self.folder / "READ").read_text()

    @property
    def summary(self) -> str:
        return (self.folder / "GITHUB_STEP_SUMMARY").read_text()

    def run(self, jobs: list[Job]) -> dict[str, bool]:
        """Name of each job that ran, and whether it succeeded."""
        ended: dict[str, bool] = {}
        for job in jobs:
            if job.always or all(ended.get(need, False) for need in job.needs):
                ended[job.name] = self._job(job)
        return ended

    def _job(self, job: Job) -> bool:
        good = True
        for step in job.steps:
            if good or step.always:
                good = self._step(step) and good
        return good

    def _step(self, step: Step) -> bool:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", step.lines],
            cwd=self.project,
            env={**self._environment, **step.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.output += done.stdout + done.stderr
        return done.returncode == 0
