# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every probe kind works with: targets, one attempt's budget and session, outcomes. Private to the collection."""

from __future__ import annotations

import contextlib
import dataclasses
import select
import threading
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker, _redact
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_SLICE_MS = 100  # how long a blocked attempt may go without noticing that it was cancelled
_DOCKER_TIMEOUT = 5.0


@dataclasses.dataclass(frozen=True)
class Target:
    """One thing to look at: exactly one kind, with that kind's options. Times: `max_ms` ms, `timeout` s per attempt."""

    name: str
    kind: str
    options: dict[str, t.Any]
    category: str
    critical: bool = True
    max_ms: t.Optional[float] = None
    timeout: float = 5.0

    @property
    def service(self) -> tuple[str, str] | None:
        """The Compose (project, service) behind the target, if it names one."""
        project, service = self.options.get("project"), self.options.get("service")
        return (project, service) if project and service else None


@dataclasses.dataclass
class Outcome:
    """What a probe returns when its target is good. Any of `warnings` makes that a `warn`; `skipped` a `skip`."""

    message: str = ""
    data: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    skipped: bool = False


class ProbeFailure(Exception):
    """What a probe raises when its target is not good.

    `phase` is how far it came, `permanent` whether waiting is useless, `retry_in` (s) when the answer can change at the
    earliest, where that is known.
    """

    def __init__(
        self,
        message: str,
        remedy: str = "",
        phase: str = "probe",
        permanent: bool = False,
        data: dict[str, t.Any] | None = None,
        retry_in: float | None = None,
    ) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.phase = phase
        self.permanent = permanent
        self.data = data or {}
        self.retry_in = retry_in


class Cancelled(Exception):
    """The attempt was given up from outside; nobody waits for its result."""


class Budget:
    """The time one attempt may take, on the monotonic clock; ends early when `cancelled` is set."""

    def __init__(self, seconds: float, cancelled: threading.Event | None = None) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._cancelled = cancelled or threading.Event()

    def remaining(self) -> float:
        """Seconds left; raises `TimeoutError` when there are none, `Cancelled` when nobody waits any more."""
        if self._cancelled.is_set():
            raise Cancelled
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {self.seconds:.3g} s")
        return left

    def wait(self, source: t.Any, events: int, at_most: float | None = None) -> None:
        """Until `source` (anything with a file descriptor) is ready for `events` (`select.POLLIN`, …)."""
        poller = select.poll()
        poller.register(source, events)
        end = None if at_most is None else time.monotonic() + at_most
        while not poller.poll(min(_SLICE_MS, max(1, self.remaining() * 1000))):
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"no answer within {at_most:.3g} s")

    def sleep(self, seconds: float) -> None:
        """Sleeps, or raises as `remaining` does."""
        if self._cancelled.wait(min(seconds, self.remaining())):
            raise Cancelled


class Session:
    """What all attempts of a run share: Docker clients, the secrets to hide, check mode, the signal to stop."""

    def __init__(self, check_mode: bool = False, secrets: t.Iterable[str] = ()) -> None:
        self.check_mode = check_mode
        self.secrets = tuple(secrets)
        self.cancelled = threading.Event()
        self._idle_clients: list[t.Any] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def docker(self) -> t.Iterator[t.Any]:
        """A Docker client for one thread; raises `MissingLibrary`, `ProductionError` when the Engine fails."""
        docker = _deps.load("docker")
        with self._lock:
            client = self._idle_clients.pop() if self._idle_clients else None
        client = client or _docker.connect(timeout=_DOCKER_TIMEOUT)
        try:
            yield client
        except (docker.errors.DockerException, OSError) as exc:
            client.close()
            raise ProductionError("Docker Engine", f"request failed: {exc}", "Look at the Engine's own log.") from exc
        except BaseException:
            client.close()
            raise
        with self._lock:
            self._idle_clients.append(client)

    def clean(self, value: t.Any) -> t.Any:
        """`value` with every secret masked, in nested lists and dictionaries too."""
        if isinstance(value, str):
            return _redact.redact(value, self.secrets)
        if isinstance(value, dict):
            return {key: self.clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.clean(item) for item in value]
        return value

    def close(self) -> None:
        """Ends running attempts and closes the Docker clients."""
        self.cancelled.set()
        with self._lock:
            clients, self._idle_clients = self._idle_clients, []
        for client in clients:
            client.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@dataclasses.dataclass
class Attempt:
    """One look at one target. `memory` lives as long as the target is watched; `host` is the address found for it."""

    session: Session
    budget: Budget
    memory: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    host: t.Optional[str] = None


# Options of the kinds that reach a Compose service which publishes no port.
COMPOSE_OPTIONS: dict[str, t.Any] = {"project": {"type": "str"}, "service": {"type": "str"}}
COMPOSE_TOGETHER = [["project", "service"]]
COMPOSE_DOCUMENTATION = """\
    project:
      description:
        - Compose project. With C(service), connects to the running container of that service, so that nothing has to be
          published.
      type: str
    service:
      description: Compose service, see C(project).
      type: str
"""
