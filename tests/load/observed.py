# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a change of the reference stack does to its requests."""

from __future__ import annotations

import dataclasses
import http.client
import json
import threading
import time
import typing as t
import urllib.error

from ansible_collections.tria.production.plugins.module_utils import _docker
from integration.deployed_stack import DeployedStack, Run
from load import Ask, Load, Result

_CONNECTIONS, _RATE = 8, 100.0  # requests a second: a deploy beside them needs the processors too
_BEFORE, _AFTER = 3.0, 2.0  # s of load around a change
_READY = "/api/v1/health/readiness"
_LIVE = Ask("/health", expect='"alive"')
# Readiness asks database and cache. A POST is never sent twice, by nobody; there it is none that the backend knows.
_DEEP = Ask(_READY, expect='"overall_healthy":true')
ASKS = [_LIVE, _DEEP, _LIVE, Ask("/health", method="POST", body="{}", status=405)]

Done = t.TypeVar("Done")


@dataclasses.dataclass(frozen=True)
class Observed:
    """All requests around a change, which took from `begun` to `ended` (monotonic clock)."""

    result: Result
    begun: float
    ended: float

    @property
    def steady(self) -> Result:
        """Before the change."""
        return self.result.between(self.result.begun, self.begun)

    @property
    def meanwhile(self) -> Result:
        return self.result.between(self.begun, self.ended)

    @property
    def exposed_s(self) -> float:
        """From the first failed request to the end of the last one; 0 without any."""
        failures = self.result.failures
        return max(request.ended for request in failures) - failures[0].at if failures else 0.0

    def __str__(self) -> str:
        kinds = "".join(f" {kind.replace(' ', '_')}={count}" for kind, count in self.result.kinds.items())
        return (
            f"requests={self.result.total} failed={self.result.failed} retried={self.result.retried}{kinds} "
            f"p99_ms={self.meanwhile.p99_ms:.1f} steady_p99_ms={self.steady.p99_ms:.1f} "
            f"gap_s={self.result.longest_gap_s:.2f}"
        )


def observed(port: int, change: t.Callable[[], Done]) -> tuple[Done, Observed]:
    """Calls `change` while the edge on that port of this machine is asked all the time."""
    with Load(f"http://127.0.0.1:{port}", _CONNECTIONS, _RATE, ASKS) as load:
        time.sleep(_BEFORE)
        begun = time.monotonic()
        done = change()
        ended = time.monotonic()
        time.sleep(_AFTER)
        return done, Observed(load.stop(), begun, ended)


@dataclasses.dataclass
class TimedRun(Run):
    """A run of a playbook, with the moment (monotonic clock) at which each line was printed."""

    lines: list[tuple[float, str]] = dataclasses.field(default_factory=list)

    @property
    def revert_s(self) -> float:
        """From the first task that failed to the report at the end; 0 when none did."""
        failed = [at for at, line in self.lines if line.startswith("❌ localhost")]
        ended = [at for at, line in self.lines if failed and at > failed[0] and line.startswith("🔧 report")]
        return ended[0] - failed[0] if ended else 0.0


class Stack(DeployedStack):
    """The reference stack under its own name; every run is timed line by line and bounded."""

    def playbook(self, playbook: str, *arguments: str, **variables: t.Any) -> TimedRun:
        begun = time.monotonic()
        with self.start(self.command(playbook, *arguments, **variables)) as process:
            limit = threading.Timer(300, self.kill, [process])
            limit.start()
            lines = [(time.monotonic(), line) for line in process.stdout]
            limit.cancel()
        output = "".join(line for _at, line in lines)
        return TimedRun(process.returncode, output, time.monotonic() - begun, lines)

    @property
    def version(self) -> str:
        """The version that answers through the edge, or how it does not."""
        status, text = self.answer("/openapi.json")
        return json.loads(text)["info"]["version"] if status == 200 else f"none ({status} {text[:80]!r})"

    def answer(self, path: str) -> tuple[int, str]:
        """Status and body through the edge; 0 and the reason when there is no answer."""
        try:
            return self.get(path)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)

    def unsettled(self) -> str:
        """What a change has left behind or taken away; empty when nothing is."""
        status, _text = self.answer(_READY)
        if status != 200:
            return f"readiness answers {status}"
        with _docker.connect() as engine:
            found = _docker.compose_containers(engine, self.name)
        states = [(one["Config"]["Labels"][_docker.SERVICE], one["State"]["Status"]) for one in found]
        if len(states) != len(dict(states)):
            return f"more than one container of a service: {sorted(states)}"
        stopped = [name for name, state in states if state != "running" and name != "migrate"]
        left = [name for name in ("lock", "journal.json") if (self.root / name).exists()]
        return f"not running: {stopped}" if stopped else f"left behind: {left}" if left else ""
