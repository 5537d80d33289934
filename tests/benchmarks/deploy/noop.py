# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A deploy that has nothing to do, against the playbook `plain/site.yml`, which takes the same steps with what everybody has."""

from __future__ import annotations

import json
import pathlib
import re
import statistics
import tempfile
import typing as t

import docker
from benchmarks.figures import show
from benchmarks.process import Ended, Program
from benchmarks.readiness.stack import image
from integration.deployed_stack import ROOT, DeployedStack, project_copy

_GOAL = 0.5  # of the plain playbook's time
_BUILT = ("edge", "backend", "openai-sandbox")  # services whose images are built from the project
_BASES = ("nginx", "python", "postgres", "redis")
_TIMEOUT = 600  # s
_OURS, _PLAIN = "benchours", "benchplain"


def run(rounds: int, ours_only: bool) -> None:
    """Deploys both stacks, then measures runs that find nothing to do, in turns; `rounds` of ours, a third for the peer."""
    with tempfile.TemporaryDirectory() as folder:
        ours = _Ours(_OURS, pathlib.Path(folder, _OURS))
        plain = None if ours_only else _Plain(_PLAIN, pathlib.Path(folder, _PLAIN))
        contenders = [one for one in (ours, plain) if one]
        try:
            for one in contenders:
                one.prepare()
            turns = {ours: rounds, **({plain: max(2, rounds // 3)} if plain else {})}
            found: dict[_Contender, list[Ended]] = {one: [] for one in contenders}
            for number in range(rounds):
                for one in contenders:
                    if number < turns[one]:
                        found[one].append(one.deploy())
        finally:
            for one in contenders:
                one.stack.remove()
    _show(found[ours], found[plain] if plain else [])


class _Contender:
    """A stack of its own, and the playbook that deploys it."""

    playbook: pathlib.Path
    variables: dict[str, t.Any] = {}
    environment: dict[str, str] = {}

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        folder.mkdir()
        self.stack = DeployedStack(name, folder)
        self.stack.source = project_copy(folder, {})
        self.stack.remove()

    def prepare(self) -> None:
        """The first deploy, and one more that need not be measured."""
        for _time in range(2):
            self.deploy()

    def deploy(self) -> Ended:
        stack = self.stack
        variables = {
            "stack_name": stack.name, "stack_source": str(stack.source), "deploy_reports": str(stack.reports),
            "local_secrets_folder": str(stack.secrets_folder), "environment_overrides": {"EDGE_PORT": stack.port},
            **self.variables,
        }
        command = ["ansible-playbook", str(self.playbook), "-i", str(ROOT / "inventories" / "local")]
        env = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", **self.environment}
        ended = Program([*command, "-e", json.dumps(variables)], env=env, cwd=ROOT, timeout=_TIMEOUT).finish()
        if ended.code:
            raise RuntimeError(f"{self.playbook} failed: {ended.stdout[-4000:]}{ended.stderr[-2000:]}")
        return ended


class _Ours(_Contender):
    playbook = ROOT / "playbooks" / "deploy.yml"


class _Plain(_Contender):
    playbook = pathlib.Path(__file__).parent / "plain" / "site.yml"
    environment = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}

    def prepare(self) -> None:
        """Nothing is built in a run that has nothing to do: the images are ours, by its names."""
        self.variables = {
            "plain_root": str(self.stack.root), "plain_report": str(self.stack.folder / "report.html"),
            "plain_images": {name: image(name) for name in _BASES}, "plain_build": False,
        }
        client = docker.from_env()
        try:
            for service in _BUILT:
                found = client.images.list(f"{_OURS}/{service}")
                found[0].tag(f"{self.stack.name}/{service}", "latest")
        finally:
            client.close()
        super().prepare()


def _show(ours: list[Ended], plain: list[Ended]) -> None:
    def median(found: list[Ended], value: t.Callable[[Ended], float]) -> float | None:
        return statistics.median(map(value, found)) if found else None

    def compared(name: str, value: t.Callable[[Ended], float], **goal: t.Any) -> None:
        show(name, median(ours, value) or 0.0, median(plain, value), **goal)

    compared("deploy_noop_s", lambda ended: ended.seconds, goal=_GOAL, of_peer=True)
    compared("deploy_noop_cpu_s", lambda ended: ended.cpu)
    compared("deploy_noop_tasks", lambda ended: _recap(ended, "ok"))
    compared("deploy_noop_changed", lambda ended: _recap(ended, "changed"), goal=0)


def _recap(ended: Ended, what: str) -> int:
    """A number of the play's recap: `ok` counts every task and include that was run, `changed` those that changed."""
    return int(re.findall(rf"\b{what}=(\d+)", ended.stdout)[-1])
