# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests while a release changes, and while a broken one does, by us, `docker compose up` and `docker_compose_v2`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import statistics
import tempfile
import time
import typing as t

import docker
from benchmarks.figures import show
from benchmarks.process import Ended, Program
from integration.deployed_stack import NEW_VERSION, ROOT, project_copy
from load.observed import Observed, Stack, TimedRun, observed

_FIRST, _SECOND, _BROKEN = "1.0.0", "1.0.1", "broken"
_SOURCES = {
    _FIRST: {}, _SECOND: NEW_VERSION,
    _BROKEN: {"backend/src/main.py": ("return asyncio.run(run())", 'raise RuntimeError("planted")')},
}
_CHANGES = 3  # at most, of each contender; the same number for all
_READY_WITHIN = 120  # s
_READY = "/api/v1/health/readiness"


@dataclasses.dataclass(frozen=True)
class Change:
    """A change of the release under load: until the new version is ready, in `seconds`; going back, in `revert_s`."""

    seen: Observed
    seconds: float
    revert_s: float = 0.0


class Ours:
    """Our playbook; its stack is where all images come from."""

    name = "ours"

    def __init__(self, folder: pathlib.Path) -> None:
        self.stack = Stack("benchload", folder)
        self.images: dict[str, dict[str, str]] = {}  # by version and service
        self._sources = {}
        for version, changes in _SOURCES.items():
            (folder / version).mkdir()
            self._sources[version] = str(project_copy(folder / version, changes))

    def prepare(self) -> None:
        """Deploys both versions once, so that nothing is built while it is measured."""
        self.stack.remove()
        for version in (_FIRST, _SECOND, _FIRST):
            run = self._deploy(version)
            if run.status:
                raise RuntimeError(f"our deploy of {version} failed:\n{run.output[-4000:]}")
            self.images[version] = {name: one["Config"]["Image"] for name, one in self.stack.containers().items()}

    def change(self, version: str) -> Change:
        run, seen = observed(self.stack.port, lambda: self._deploy(version))
        if run.status or self.stack.version != version:
            raise RuntimeError(f"our deploy of {version} failed:\n{run.output[-4000:]}")
        return Change(seen, run.seconds)

    def broken(self) -> Change:
        version, before = self.stack.version, self._built()
        run, seen = observed(self.stack.port, lambda: self._deploy(_BROKEN))
        if not run.status or self.stack.version != version:
            raise RuntimeError(f"our deploy of a broken release did not go back:\n{run.output[-4000:]}")
        [image] = self._built() - before
        services = self.images[_FIRST]
        self.images[_BROKEN] = {
            name: image if one == services["backend"] else one for name, one in services.items()
        }
        return Change(seen, run.seconds, run.revert_s)

    def _deploy(self, version: str) -> TimedRun:
        return self.stack.deploy(stack_source=self._sources[version])

    def _built(self) -> set[str]:
        client = docker.from_env()
        try:
            return {tag for image in client.images.list(f"{self.stack.name}/backend") for tag in image.tags}
        finally:
            client.close()


class Peer:
    """The same project, images and env file without our playbook: another project, changed by `command(files)`."""

    def __init__(self, name: str, folder: pathlib.Path, ours: Ours, command: t.Callable[[Peer, str], Program]) -> None:
        self.name = name
        self.stack = Stack(f"benchload_{name}", folder)
        self.stack.remove()
        self.project = project_copy(folder, {})
        self._images = ours.images
        self._command = command
        env = (ours.stack.root / "current" / ".env").read_text(encoding="utf-8")
        path = self.project / ".env"
        path.touch(0o600)
        path.write_text(f"{env}\nEDGE_PORT={self.stack.port}\n", encoding="utf-8")

    def prepare(self) -> None:
        self._up(_FIRST)
        self._wait_for(_FIRST)

    def change(self, version: str) -> Change:
        def change() -> None:
            self._up(version)
            self._wait_for(version)

        _nothing, seen = observed(self.stack.port, change)
        return Change(seen, seen.ended - seen.begun)

    def broken(self) -> Change:
        """Who looks on goes back as soon as the command has ended."""
        version = self.stack.version

        def change() -> float:
            self._up(_BROKEN)
            begun = time.monotonic()
            self._up(version)
            self._wait_for(version)
            return time.monotonic() - begun

        revert_s, seen = observed(self.stack.port, change)
        return Change(seen, seen.ended - seen.begun, revert_s)

    def _up(self, version: str) -> Ended:
        """However it ends: it says nothing of a backend that does not start, or fails because of it."""
        services = {name: {"image": image, "pull_policy": "never"} for name, image in self._images[version].items()}
        (self.project / "images.yaml").write_text(json.dumps({"services": services}), encoding="utf-8")
        return self._command(self, "images.yaml").finish()

    def _wait_for(self, version: str) -> None:
        end = time.monotonic() + _READY_WITHIN
        while self.stack.version != version or self.stack.answer(_READY)[0] != 200:
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name}: {version} does not get ready")
            time.sleep(0.2)


def _compose_up(peer: Peer, images: str) -> Program:
    files = ["-f", "compose.yaml", "-f", images]
    argv = ["docker", "compose", "-p", peer.stack.name, *files, "--profile", "sandbox", "up", "--detach"]
    return Program(argv, cwd=peer.project, timeout=_READY_WITHIN)


def _compose_module(peer: Peer, images: str) -> Program:
    options = {
        "project_src": str(peer.project), "project_name": peer.stack.name, "files": ["compose.yaml", images],
        "profiles": ["sandbox"], "state": "present", "build": "never", "pull": "never",
    }
    task = {"community.docker.docker_compose_v2": options}
    playbook = peer.stack.folder / "playbook.yml"
    playbook.write_text(json.dumps([{"hosts": "stack", "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
    argv = ["ansible-playbook", "-i", str(ROOT / "inventories" / "local"), str(playbook)]
    env = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
    return Program(argv, env=env, cwd=ROOT, timeout=_READY_WITHIN)


_PEERS = {"compose_up": _compose_up, "docker_compose_v2": _compose_module}


def run(rounds: int, ours_only: bool) -> None:
    """All contenders, in turns: from one version to another `rounds` times, at most three; to a broken one and back."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ending:
        ours = Ours(_folder(name, "ours"))
        ending.callback(ours.stack.remove)
        ours.prepare()
        contenders: list[Ours | Peer] = [ours]
        for peer, command in ({} if ours_only else _PEERS).items():
            contenders.append(Peer(peer, _folder(name, peer), ours, command))
            ending.callback(contenders[-1].stack.remove)
            contenders[-1].prepare()
        changes: dict[str, list[Change]] = {one.name: [] for one in contenders}
        for number in range(min(rounds, _CHANGES)):
            for one in contenders:
                changes[one.name].append(one.change((_SECOND, _FIRST)[number % 2]))
        broken = {one.name: one.broken() for one in contenders}
    _show(changes, broken)


def _folder(parent: str, name: str) -> pathlib.Path:
    folder = pathlib.Path(parent, name)
    folder.mkdir()
    return folder


_FIGURES: dict[str, tuple[t.Callable[[list[Change]], float], t.Optional[float]]] = {
    "failed_requests": (lambda changes: sum(change.seen.result.failed for change in changes), 0),
    "retried_requests": (lambda changes: sum(change.seen.result.retried for change in changes), None),
    "longest_gap_s": (lambda changes: max(change.seen.result.longest_gap_s for change in changes), None),
    "p99_ms": (lambda changes: statistics.median(change.seen.meanwhile.p99_ms for change in changes), None),
    "steady_p99_ms": (lambda changes: statistics.median(change.seen.steady.p99_ms for change in changes), None),
    "s": (lambda changes: statistics.median(change.seconds for change in changes), None),
}
_BROKEN_FIGURES: dict[str, tuple[t.Callable[[list[Change]], float], t.Optional[float]]] = {
    **_FIGURES, "revert_s": (lambda changes: statistics.median(change.revert_s for change in changes), None),
}


def _show(changes: dict[str, list[Change]], broken: dict[str, Change]) -> None:
    once = {one: [change] for one, change in broken.items()}
    found = {"deploy": (changes, _FIGURES), "deploy_broken": (once, _BROKEN_FIGURES)}
    for what, (seen, figures) in found.items():
        total = {one: sum(change.seen.result.total for change in some) for one, some in seen.items()}
        print(f"# {what}: requests {', '.join(f'{one}={count}' for one, count in total.items())}", flush=True)
        for figure, (value, goal) in figures.items():
            ours, *theirs = ((one, value(some)) for one, some in seen.items())
            show(f"{what}_{figure}", ours[1], goal=goal)
            for one, peer in theirs:
                show(f"{what}_{figure}_vs_{one}", ours[1], peer)
