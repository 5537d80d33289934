# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Detection latency: how long after the last target began to listen a waiter returns."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import random
import subprocess
import sys
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from benchmarks.process import Program
from benchmarks.readiness import ours

_LISTENERS = pathlib.Path(__file__).with_name("listeners.py")
_STAGGERED = 2.0  # s from the first target's opening to the last one's


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is waited for: `count` targets of a kind (`tcp`, `http`) that open together, or one after the other."""

    kind: str
    count: int
    staggered: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.count}_{'staggered' if self.staggered else 'together'}"


@dataclasses.dataclass(frozen=True)
class Sample:
    """One round: latency and processor time in s; `inside` without the end of the process, where that is known."""

    latency: float
    cpu: float
    inside: t.Optional[float] = None
    wait_cpu: t.Optional[float] = None


class Waiter(t.NamedTuple):
    """Something that waits. `start(kind, ports)` starts it; `boot` are the seconds it needs to begin with waiting."""

    name: str
    start: t.Callable[[str, list[int]], Program]
    boot: float = 1.0


class Listeners:
    """Targets in a process of their own, whose processor time counts for nobody; used as a context manager."""

    def __init__(self, scene: Scene) -> None:
        self._spread = _STAGGERED if scene.staggered else 0.0
        self._process = subprocess.Popen(
            [sys.executable, str(_LISTENERS), scene.kind, str(scene.count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.ports: list[int] = json.loads(self._process.stdout.readline())

    def open(self, delay: float) -> None:
        self._process.stdin.write(f"{delay} {self._spread}\n")
        self._process.stdin.flush()

    def opened(self) -> float:
        """When the last one was open, on the monotonic clock; waits for it."""
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def start_ours(kind: str, ports: list[int]) -> Program:
    return ours.start(targets(kind, ports))


def targets(kind: str, ports: list[int]) -> list[dict[str, t.Any]]:
    """The ports as targets of `readiness_wait`."""
    def options(port: int) -> dict[str, t.Any]:
        return {"port": port} if kind == "tcp" else {"url": places(kind, [port])[0]}

    return [{"name": f"{kind}-{port}", kind: options(port)} for port in ports]


def places(kind: str, ports: list[int]) -> list[str]:
    """The ports as addresses, or as URLs."""
    return [f"127.0.0.1:{port}" if kind == "tcp" else f"http://127.0.0.1:{port}/" for port in ports]


OURS = Waiter("ours", start_ours)


def sample(waiter: Waiter, scene: Scene) -> Sample:
    """One round. The targets open at a random moment, so that no waiter's interval can be in step with it."""
    with Listeners(scene) as listeners:
        begun = time.monotonic()
        program = waiter.start(scene.kind, listeners.ports)
        listeners.open(max(0.0, begun + waiter.boot + random.uniform(0.0, 2.0) - time.monotonic()))
        ended = program.finish()
        opened = listeners.opened()
    if ended.code:
        said = (ended.stderr or ended.stdout)[-2000:]
        raise RuntimeError(f"{waiter.name}, {scene.name}: status {ended.code}: {said}")
    if ended.at < opened:
        raise RuntimeError(f"{waiter.name}, {scene.name}: returned {opened - ended.at:.3f} s too soon")
    if waiter is not OURS:
        return Sample(ended.at - opened, ended.cpu)
    answer = ours.answer(ended)
    if not answer.ready:
        raise RuntimeError(f"{waiter.name}, {scene.name}: {answer.message}")
    return Sample(ended.at - opened, ended.cpu, answer.returned - opened, answer.wait_cpu)


def samples(scene: Scene, rounds: dict[Waiter, int]) -> dict[Waiter, list[Sample]]:
    """All rounds of a scene, the waiters taking turns; with few targets, which keep no processor busy, some at once."""
    turns = [waiter for turn in range(max(rounds.values())) for waiter in rounds if turn < rounds[waiter]]
    with ThreadPoolExecutor(max_workers={1: 4, 20: 2}.get(scene.count, 1)) as executor:
        found = list(executor.map(lambda waiter: sample(waiter, scene), turns))
    return {waiter: [one for turn, one in zip(turns, found) if turn is waiter] for waiter in rounds}
