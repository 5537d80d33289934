# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ordered startup: every phase must pass before the next begins, and nothing listens before all have passed.

A critical phase that fails ends the process: its last log line is `startup failed: phase=<name> reason=<why>` and its
exit status is the phase's own. A non-critical phase that fails is logged and leaves the application degraded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

EXIT_CODES = {
    "environment": 10,
    "database": 11,
    "redis": 12,
    "openai": 13,
    "components": 15,
    "health_checks": 16,
    "listen": 17,
}
_log = logging.getLogger("startup")


class StartupError(Exception):
    """A critical phase failed; `exit_code` is what the process ends with."""

    def __init__(self, phase: str, reason: str) -> None:
        super().__init__(f"phase={phase} reason={reason}")
        self.phase = phase
        self.reason = reason
        self.exit_code = EXIT_CODES[phase]


@dataclass(frozen=True)
class Phase:
    """One step of the startup. `run` returns what the log shall say of it; it fails by raising."""

    name: str
    run: Callable[[], Awaitable[str]]
    critical: bool = True


@dataclass(frozen=True)
class PhaseResult:
    """How a phase went; `message` is its word, or the reason of its failure."""

    name: str
    status: str
    duration_ms: float
    message: str

    def as_dict(self) -> dict[str, Any]:
        return {"phase": self.name, "status": self.status, "duration_ms": self.duration_ms, "message": self.message}


class StartupOrchestrator:
    """Runs phases one after the other, each under `timeout` seconds; `results` tells diagnostics how they went."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.results: list[PhaseResult] = []

    async def run(self, phases: Sequence[Phase]) -> None:
        """Run all phases, or raise StartupError at the first critical one that fails."""
        for number, phase in enumerate(phases, start=1):
            result = await self._run_phase(phase)
            self.results.append(result)
            prefix = f"phase {number}/{len(phases)} {phase.name}"
            if result.status == "passed":
                _log.info("%s: %s (%.0f ms)", prefix, result.message, result.duration_ms)
            elif phase.critical:
                raise StartupError(phase.name, result.message)
            else:
                _log.warning("%s: degraded, not critical: %s", prefix, result.message)

    async def _run_phase(self, phase: Phase) -> PhaseResult:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout):
                status, message = "passed", await phase.run()
        except TimeoutError:
            status, message = "failed", f"no answer within {self.timeout:g} s"
        # A phase may fail in any way; whichever it is becomes the reason, and a critical one ends the process.
        except Exception as error:
            status, message = "failed", describe(error)
        return PhaseResult(phase.name, status, round((time.perf_counter() - started) * 1000, 1), message)


def describe(error: BaseException) -> str:
    """The reason in an exception, on one line: the driver's own words where a library has wrapped them."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__
