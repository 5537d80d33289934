# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of planted cases: what we and each peer say of targets that are not ready, and after how many seconds."""

from __future__ import annotations

import contextlib
import typing as t
from concurrent.futures import ThreadPoolExecutor

from faults.readiness import CASES, FALSE_READY, Case, Place, Verdict, ask_ours, verdict_of

from benchmarks.figures import show
from benchmarks.process import Program
from benchmarks.readiness.waiters import Commands

_OURS = "ours"
_PEERS = ("compose_up_wait", "wait_on", "goss", "wait_for_it", "uri", "wait_for")


def show_table(commands: Commands) -> None:
    """Prints the table, a line a case, and the number of false verdicts of each waiter."""
    print("# case " + " ".join((_OURS, *_PEERS)) + "  (-: cannot be asked that)", flush=True)
    found = []
    for case in CASES:
        verdicts = _verdicts(case, commands)
        shown = (f"{name}={_shown(verdicts.get(name))}" for name in (_OURS, *_PEERS))
        print(f"case {case.name} {' '.join(shown)}", flush=True)
        found.append(verdicts)
    wrong = {name: sum(_false(verdicts.get(name)) for verdicts in found) for name in (_OURS, *_PEERS)}
    show("readiness_false_ready", wrong[_OURS], goal=0)
    for name in _PEERS:
        show(f"readiness_false_ready_vs_{name}", wrong[_OURS], wrong[name])


def _verdicts(case: Case, commands: Commands) -> dict[str, Verdict]:
    """All of them at once, at the same place; only Compose, which starts what it waits for, at one of its own."""
    with case.plant() as place, contextlib.ExitStack() as others, ThreadPoolExecutor() as executor:
        asked = {_OURS: executor.submit(ask_ours, case, place)}
        for name, start in _starts(case, place, commands).items():
            asked[name] = executor.submit(_ask, case, place, start)
        if case.new_stack:
            stack = others.enter_context(case.new_stack())
            asked["compose_up_wait"] = executor.submit(_ask, case, Place(stack), lambda: stack.up_wait(case.timeout))
        return {name: future.result() for name, future in asked.items()}


def _starts(case: Case, place: Place, commands: Commands) -> dict[str, t.Callable[[], Program]]:
    """How each peer that can is asked: for the URL, and those that know ports alone, for the port."""
    found: dict[str, t.Callable[[], Program]] = {}
    if place.address:
        found["wait_for_it"] = lambda: commands.wait_for_it(place.address, case.timeout)
        found["wait_for"] = lambda: commands.ansible_wait_for([place.address], case.timeout)
        kind, places = ("http", [place.url]) if place.url else ("tcp", [place.address])
        found["wait_on"] = lambda: commands.wait_on(kind, places, case.timeout)
        found["goss"] = lambda: commands.goss(kind, places, case.timeout)
    if place.url:
        found["uri"] = lambda: commands.ansible_uri([place.url], case.timeout)
    return found


def _ask(case: Case, place: Place, start: t.Callable[[], Program]) -> Verdict:
    ended = start().finish()
    return verdict_of(case, place, ended.code == 0, ended.seconds)


def _false(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.outcome == FALSE_READY


def _shown(verdict: Verdict | None) -> str:
    return "-" if verdict is None else f"{verdict.outcome}/{verdict.seconds:.1f}s"
