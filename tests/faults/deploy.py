# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make faults ONLY=deploy`: what deploys, broken releases, killed deploys and rollbacks do to requests."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import random
import subprocess
import tempfile
import time
import typing as t

from integration.deployed_stack import NEW_VERSION, project_copy
from load.observed import Observed, Stack, TimedRun, observed

DEPLOYED, REVERTED, ROLLED_BACK, RECOVERED, BROKEN = "deployed", "reverted", "rolled-back", "recovered", "broken"
_NAME = "triafaults"
_FIRST, _SECOND = "1.0.0", "1.0.1"
_KILLS = 10
_REQUESTS = 20_000  # at least
_BLOCKED = 700.0  # s: longer than the lease of the lock of a deploy that was killed
_Changes = dict[str, tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Case:
    """A change and what must come of it. `says` is a part of what the run has to print.

    `changes` plant a fault in the release, as for project_copy; `settings` are variables of its deploy. `visible`:
    requests get to the fault before it can be known, so that some must fail.
    """

    name: str
    changes: _Changes = dataclasses.field(default_factory=dict)
    says: str = ""
    outcome: str = REVERTED
    visible: bool = False
    settings: dict[str, t.Any] = dataclasses.field(default_factory=dict)


def _backend(name: str, before: str, after: str) -> _Changes:
    return {f"backend/src/{name}.py": (before, after)}


def _asked(statement: str) -> _Changes:
    """A statement in front of every request to the backend; the edge adds x-real-ip to those that it passes on."""
    line = "            if _too_large(headers, limit):"
    return _backend("api/middleware", line, f"            {statement}\n{line}")


_EDGE = '"x-real-ip" in headers'
_SINCE = 'started - self.__dict__.setdefault("_since", started)'  # s since the first request that came that far
FAULTS = [
    Case("exits_at_start", _backend("main", "return asyncio.run(run())", 'raise RuntimeError("planted")'), "backend"),
    Case(
        "never_ready",
        _backend("api/health", '200 if document["overall_healthy"] else 503', "503"), "backend",
        settings={"readiness_timeout": 30, "stack_rollout_timeout": 30},
    ),
    Case("smoke", _asked(f'assert {_EDGE} or scope["path"] != "/openapi.json", "planted"'), "documentation"),
    Case("errors_after_the_switch", _asked(f'assert not {_EDGE}, "planted"'), "500", visible=True),
    Case("errors_later", _asked(f'assert not ({_EDGE} and {_SINCE} > 2), "planted"'), "500", visible=True),
    Case("slow_after_the_switch", _asked(f'{_EDGE} and await __import__("asyncio").sleep(1.5)'), "ms"),
    Case("validation", _backend("api/health", "metrics.render()", "metrics.nothing()"), "Metrics"),
    Case(
        "migration",
        _backend("migrate", 'logging.getLogger("alembic").setLevel', 'raise RuntimeError("planted migration")  # '),
        "planted migration",
    ),
    Case(
        "slow_start", _backend("main", "asyncio.run(run())", '__import__("time").sleep(8) or asyncio.run(run())'),
        outcome=DEPLOYED,
    ),
]


def shortcoming(case: Case, run: TimedRun, seen: Observed) -> str:
    """What is wrong with the end of a case; empty when nothing is."""
    if (run.status == 0) == (case.outcome == REVERTED):
        return f"the exit status is {run.status}"
    if case.says not in run.output:
        return f"{case.says!r} is not in the output"
    if seen.result.failed and not case.visible:
        return f"{seen.result.failed} requests failed"
    return ""


class Suite:
    """One stack through all cases; `right` says whether every outcome was."""

    def __init__(self, stack: Stack, folder: pathlib.Path) -> None:
        self._stack = stack
        self._folder = folder
        self._sources: dict[str, str] = {}
        self._copy(_FIRST, {})
        self._copy(_SECOND, NEW_VERSION)
        self._deploy_s = 0.0
        self.right = True
        self.requests = 0

    def begin(self) -> None:
        run = self._deploy(_FIRST)
        if run.status:
            raise RuntimeError(f"the stack cannot be deployed at all:\n{run.output}")

    def good(self) -> None:
        """A new version by a deploy, the old one by a rollback, twice."""
        first = self._stack.current
        for name, choice in (("rollback", {}), ("rollback_to_a_release", {"release": first})):
            run, seen = observed(self._stack.port, lambda: self._deploy(_SECOND))
            self._deploy_s = run.seconds
            self._tell(Case(f"good_before_{name}", outcome=DEPLOYED), run, seen, _SECOND)
            run, seen = observed(self._stack.port, lambda choice=choice: self._stack.playbook("rollback", **choice))
            self._tell(Case(name, outcome=ROLLED_BACK), run, seen, _FIRST)

    def fault(self, fault: Case) -> None:
        version, number = self._stack.version, f"2.0.{FAULTS.index(fault)}"
        [(name, (before, _after))] = NEW_VERSION.items()
        self._copy(number, {name: (before, before.replace(_FIRST, number)), **fault.changes})
        run, seen = observed(self._stack.port, lambda: self._deploy(number, **fault.settings))
        self._tell(fault, run, seen, number if fault.outcome == DEPLOYED else version)

    def kill(self, number: int, moment: float) -> None:
        """Kills the deploy of the other version; the next run goes on with it, or goes back."""
        version = self._stack.version
        other = _FIRST if version == _SECOND else _SECOND
        wanted = other if number % 2 else version

        def change() -> tuple[TimedRun, float]:
            self._killed(other, self._deploy_s * moment)
            return self._next_run(wanted)

        (run, blocked), seen = observed(self._stack.port, change)
        name = f"killed_{number}_at_{self._deploy_s * moment:.1f}s"
        self._tell(Case(name, outcome=RECOVERED), run, seen, wanted, f" blocked_s={blocked:.1f}")

    # --- its parts ----------------------------------------------------------------------------------------------------

    def _copy(self, version: str, changes: _Changes) -> None:
        folder = self._folder / version
        folder.mkdir()
        self._sources[version] = str(project_copy(folder, changes))

    def _deploy(self, version: str, **settings: t.Any) -> TimedRun:
        return self._stack.deploy(stack_source=self._sources[version], **settings)

    def _killed(self, version: str, seconds: float) -> None:
        with self._stack.start(self._stack.command("deploy", stack_source=self._sources[version])) as process:
            try:
                process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                self._stack.kill(process)

    def _next_run(self, version: str) -> tuple[TimedRun, float]:
        """The first run that the lock lets in, and the seconds until it began."""
        begun = time.monotonic()
        while True:
            waited = time.monotonic() - begun
            run = self._deploy(version)
            if run.gates[-1:] != ["lock"] or waited > _BLOCKED:
                return run, waited

    def _tell(self, case: Case, run: TimedRun, seen: Observed, version: str, more: str = "") -> None:
        """Prints the line of a case; `version` must answer now."""
        runs = self._stack.version
        elsewhere = f"version {runs} runs instead of {version}" if runs != version else ""
        wrong = shortcoming(case, run, seen) or elsewhere or self._stack.unsettled()
        self.right = self.right and not wrong
        self.requests += seen.result.total
        back = f" revert_s={run.revert_s:.1f} exposed_s={seen.exposed_s:.2f}" if case.outcome == REVERTED else ""
        outcome = BROKEN if wrong else case.outcome
        line = f"fault deploy_{case.name} {outcome} {run.seconds:.1f} {seen}{back}{more} runs={runs}"
        print(f"{line} WRONG: {wrong}" if wrong else line, flush=True)


def run() -> bool:
    """Prints a line for each case; whether all outcomes are right. SEED repeats the moments of an earlier run."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    moments = random.Random(seed)
    print(f"faults deploy seed={seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        stack = Stack(_NAME, pathlib.Path(name))
        stack.remove()
        try:
            suite = Suite(stack, pathlib.Path(name))
            suite.begin()
            suite.good()
            for fault in FAULTS:
                suite.fault(fault)
            for number in range(_KILLS):
                suite.kill(number, moments.uniform(0.05, 0.95))
        finally:
            stack.remove()
    print(f"faults deploy requests={suite.requests}", flush=True)
    return suite.right and suite.requests >= _REQUESTS
