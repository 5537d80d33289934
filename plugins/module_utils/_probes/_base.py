# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every probe kind works with: targets, one attempt's budget and session, outcomes. Private to the collection."""

from __future__ import annotations

import contextlib
import dataclasses
import select
import signal
import socket
import threading
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker, _redact
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

SLICE = 0.1  # s; how long a blocked attempt may go without noticing that it was cancelled
DOCKER_SECONDS = 5.0  # for one request at most
_DOCKER_LEAST = 0.25  # also at the very end of an attempt: a busy Engine is not a silent one


@dataclasses.dataclass(frozen=True)
class Target:
    """One thing to look at: exactly one kind, with that kind's options. Times: `max_ms` ms, `timeout` s per attempt.

    `skip` is the reason why it is not looked at, where there is one.
    """

    name: str
    kind: str
    options: dict[str, t.Any]
    category: str
    critical: bool = True
    max_ms: t.Optional[float] = None
    timeout: float = 5.0
    invert: bool = False
    depends_on: tuple[str, ...] = ()
    skip: str = ""

    @property
    def within(self) -> str:
        """The target whose flow this one's runs in, if it is such a flow."""
        return (self.options.get("within") or "") if self.kind == "flow" else ""

    @property
    def service(self) -> tuple[str, str] | None:
        """The Compose (project, service) to look at for the target, if it names one."""
        project, service = self.options.get("project"), self.options.get("service")
        return (project, service) if project and service and not self.skip else None


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
    earliest, where that is known. `gone` says that the target is not there at all, instead of there but not good.
    """

    def __init__(
        self,
        message: str,
        remedy: str = "",
        phase: str = "probe",
        permanent: bool = False,
        data: dict[str, t.Any] | None = None,
        retry_in: float | None = None,
        gone: bool = False,
    ) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.phase = phase
        self.permanent = permanent
        self.data = data or {}
        self.retry_in = retry_in
        self.gone = gone


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
        while not poller.poll(1000 * min(SLICE, max(0.001, self.remaining()))):
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"no answer within {at_most:.3g} s")

    def sleep(self, seconds: float) -> None:
        """Sleeps, or raises as `remaining` does."""
        if self._cancelled.wait(min(seconds, self.remaining())):
            raise Cancelled


class Session:
    """What all attempts of a run share: Docker clients, the secrets to hide, check mode, the signal to stop.

    As a context manager in the main thread it turns SIGTERM and SIGHUP (a lost connection) into `SystemExit` with the
    status that a shell shows for them, so that the way out is the usual one and leaves nothing behind.
    """

    def __init__(self, check_mode: bool = False, secrets: t.Iterable[str] = ()) -> None:
        self.check_mode = check_mode
        self.secrets = tuple(secrets)
        self.cancelled = threading.Event()
        self.engine_silence = ""  # why the Engine did not answer when it was last asked
        self._idle_clients: list[t.Any] = []
        self._lock = threading.Lock()
        self._hidden = set(self.secrets)
        self._unfinished: dict[object, float] = {}
        self._finished = threading.Condition(self._lock)
        self._handlers: dict[int, t.Any] = {}
        self._leaving = False
        self._late_signal = 0

    @contextlib.contextmanager
    def docker(self, seconds: float = DOCKER_SECONDS) -> t.Iterator[t.Any]:
        """A Docker client for one thread, with `seconds` for each request.

        Raises `MissingLibrary`, and `ProductionError` when the Engine fails.
        """
        docker = _deps.load("docker")
        seconds = max(_DOCKER_LEAST, min(seconds, DOCKER_SECONDS))
        with self._lock:
            client = self._idle_clients.pop() if self._idle_clients else None
        try:
            client = client or _docker.connect(timeout=seconds)
        except ProductionError as exc:
            self.engine_silence = str(exc)
            raise
        client.timeout = seconds
        try:
            yield client
        except (docker.errors.DockerException, OSError) as exc:
            client.close()
            self.engine_silence = "" if isinstance(exc, docker.errors.DockerException) else str(exc)
            raise ProductionError("Docker Engine", f"request failed: {exc}", "Look at the Engine's own log.") from exc
        except BaseException:
            client.close()
            raise
        self.engine_silence = ""
        with self._lock:
            self._idle_clients.append(client)

    def hide(self, *secrets: str) -> None:
        """Masks these too from now on."""
        with self._lock:
            new = [one for one in dict.fromkeys(secrets) if one not in self._hidden]
            self._hidden.update(new)
            self.secrets += tuple(new)  # a new one: others may be reading the old one

    @contextlib.contextmanager
    def unfinished(self, seconds: float) -> t.Iterator[None]:
        """Work that has to clean up after itself: `close` waits for its end, for up to `seconds` and a little."""
        token = object()
        with self._lock:
            self._unfinished[token] = seconds
        try:
            yield
        finally:
            with self._finished:
                del self._unfinished[token]
                self._finished.notify_all()

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
        """Ends running attempts, lets them clean up, and closes the Docker clients."""
        self.cancelled.set()
        with self._finished:
            seconds = max(self._unfinished.values(), default=0.0) + 2 * SLICE  # until they notice
            self._finished.wait_for(lambda: not self._unfinished, seconds)
            clients, self._idle_clients = self._idle_clients, []
        for client in clients:
            client.close()

    def __enter__(self) -> Session:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
                    self._handlers[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leaving = True
        try:
            self.close()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        if self._late_signal:
            raise SystemExit(128 + self._late_signal)

    def _stop(self, number: int, _frame: t.Any) -> None:
        """Interrupts once. On the way out nothing is interrupted any more: a late signal is heeded at its end."""
        if self._leaving:
            self._late_signal = number
            return
        self._leaving = True
        raise SystemExit(128 + number)


@dataclasses.dataclass
class Attempt:
    """One look at one target. `memory` lives as long as the target is watched; `host` is the address found for it.

    `sock` is already connected to the kind's `endpoint`, for whoever can use it; who does takes it out. `aside` (s) was
    spent on other targets, and is not part of this one's response time.
    """

    session: Session
    budget: Budget
    memory: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    host: t.Optional[str] = None
    sock: t.Optional[socket.socket] = None
    aside: float = 0.0

    def take_socket(self) -> socket.socket | None:
        sock, self.sock = self.sock, None
        return sock


# Options of the kinds that reach a Compose service which publishes no port.
COMPOSE_OPTIONS: dict[str, t.Any] = {"project": {"type": "str"}, "service": {"type": "str"}}
COMPOSE_TOGETHER = [["project", "service"]]
COMPOSE_DOCUMENTATION = """\
    project:
      description:
        - Compose project, or name of the Swarm stack. With C(service), connects to a running container of that service on
          this host, so that nothing has to be published.
        - A container of a stack is reached by way of C(docker_gwbridge). One that is only on internal networks, or on
          another node, is not; publish its port in mode C(host), and give host and port instead.
      type: str
    service:
      description: The service as the Compose or stack file names it, see C(project).
      type: str
"""
