# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make bench ONLY=readiness`: how soon `readiness_wait` says what is so, and whether it is true."""

from __future__ import annotations

import functools
import pathlib
import statistics
import tempfile
import time
import typing as t

from benchmarks.figures import percentile, show
from benchmarks.readiness import containers, verdicts
from benchmarks.readiness.latency import OURS, Sample, Scene, Waiter, places, sample, samples, targets
from benchmarks.readiness.waiters import Commands

_SCENES = [
    Scene("tcp", 1), Scene("tcp", 20), Scene("tcp", 200),
    Scene("tcp", 20, staggered=True), Scene("tcp", 200, staggered=True),
    Scene("http", 1), Scene("http", 20), Scene("http", 200),
]
_GOALS = {"median_ms": 50, "p95_ms": 100}
_CPU_GOAL = {200: 0.5}  # s
_FAILURE_GOAL = 250  # ms
_TIMEOUT = 60
_TASK_BOOT = 3.0  # s until a task of ansible-playbook has begun


def run(rounds: int, ours_only: bool) -> None:
    """Measures and prints everything; `rounds` of ours, fewer of slow peers, none with `ours_only`."""
    with tempfile.TemporaryDirectory() as folder:
        commands = None if ours_only else Commands(pathlib.Path(folder))
        for scene in _SCENES:
            turns = {OURS: rounds, **(_peers(scene, commands, rounds) if commands else {})}
            _show_detection(f"readiness_{scene.name}", samples(scene, turns), _CPU_GOAL.get(scene.count))
        _measure_containers(rounds, ours_only)
        if commands:
            _measure_tasks(commands, max(2, rounds // 4))
            verdicts.show_table(commands)


def _peers(scene: Scene, commands: Commands, rounds: int) -> dict[Waiter, int]:
    """The peers that can wait for the scene, with their numbers of rounds."""
    def waiter(name: str, start: t.Callable[..., t.Any], **options: t.Any) -> Waiter:
        return Waiter(name, lambda kind, ports: start(kind, places(kind, ports), _TIMEOUT, **options))

    often, seldom = max(2, rounds // 2), max(2, rounds // 3)
    found = {
        waiter("goss_50ms", commands.goss, sleep="50ms"): often,
        waiter("wait_on_50ms", commands.wait_on, interval=50): often,
    }
    if not scene.staggered:
        found[waiter("goss", commands.goss)] = seldom
        found[waiter("wait_on", commands.wait_on)] = seldom
    if scene == Scene("tcp", 1):
        found[Waiter("wait_for_it", lambda kind, ports: commands.wait_for_it(places(kind, ports)[0], _TIMEOUT))] = often
    return found


def _show_detection(name: str, found: dict[Waiter, list[Sample]], cpu_goal: float | None) -> None:
    mine = found.pop(OURS)
    for figure, value in _summary([one.inside for one in mine]).items():
        show(f"{name}_{figure}", value, goal=_GOALS[figure])
    show(f"{name}_cpu_s", _cpu(mine), goal=cpu_goal)
    show(f"{name}_cpu_of_the_wait_alone_s", statistics.median(one.wait_cpu for one in mine), goal=cpu_goal)
    _compare(name, mine, found)


def _compare(name: str, mine: list[Sample], others: dict[Waiter, list[Sample]]) -> None:
    """Ours against each peer, both to the end of the process."""
    whole = _summary([one.latency for one in mine])
    for peer, theirs in others.items():
        for figure, value in _summary([one.latency for one in theirs]).items():
            show(f"{name}_{figure}_vs_{peer.name}", whole[figure], value)
        show(f"{name}_cpu_s_vs_{peer.name}", _cpu(mine), _cpu(theirs))


def _measure_containers(rounds: int, ours_only: bool) -> None:
    fewer = max(2, rounds // 2)
    for what, measure, goals, times in (
        ("readiness_container_1", containers.readiness, _GOALS, fewer),
        ("readiness_failure_exit_to_return", containers.failure, dict.fromkeys(_GOALS, _FAILURE_GOAL), rounds),
    ):
        mine = [measure(containers.start_ours) for _round in range(times)]
        for figure, value in _summary(mine).items():
            show(f"{what}_{figure}", value, goal=goals[figure])
        if not ours_only:
            theirs = _summary([measure(containers.start_compose) for _round in range(fewer)])
            for figure, value in _summary(mine).items():
                show(f"{what}_{figure}_vs_compose_up_wait", value, theirs[figure])


def _measure_tasks(commands: Commands, rounds: int) -> None:
    """The same as whole tasks: `ansible-playbook` from the targets' readiness to its own end."""
    task = Waiter("task", lambda kind, ports: commands.readiness_wait(targets(kind, ports)), _TASK_BOOT)
    loops = {
        "tcp": ("wait_for", functools.partial(commands.ansible_wait_for, timeout=_TIMEOUT)),
        "http": ("uri", functools.partial(commands.ansible_uri, timeout=_TIMEOUT)),
    }
    for scene in _SCENES:
        if scene.staggered:
            continue
        name, start = loops[scene.kind]
        loop = Waiter(name, lambda kind, ports, start=start: start(places(kind, ports)), _TASK_BOOT)
        mine = [sample(task, scene) for _round in range(rounds)]
        for figure, value in _summary([one.latency for one in mine]).items():
            show(f"readiness_task_{scene.name}_{figure}", value)
        if scene.count < 200:  # a loop takes minutes over two hundred
            _compare(f"readiness_task_{scene.name}", mine, {loop: [sample(loop, scene) for _round in range(2)]})
    show("readiness_task_startup_ms", statistics.median(_startup(commands) for _round in range(rounds)))


def _startup(commands: Commands) -> float:
    """Milliseconds that `ansible-playbook` takes for a wait that has nothing to wait for."""
    begun = time.monotonic()
    ended = commands.readiness_wait([{"name": "host", "system": {}}]).finish()
    if ended.code:
        raise RuntimeError(ended.stdout)
    return (ended.at - begun) * 1000


def _summary(seconds: list[float]) -> dict[str, float]:
    return {"median_ms": statistics.median(seconds) * 1000, "p95_ms": percentile(seconds, 95) * 1000}


def _cpu(found: list[Sample]) -> float:
    return statistics.median(one.cpu for one in found)
