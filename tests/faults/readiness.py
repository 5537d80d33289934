# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make faults ONLY=readiness`: what `readiness_wait` says of what is not ready. `make bench` asks the peers too."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from benchmarks.readiness import ours
from benchmarks.readiness.stack import SERVICE, Stack

from faults import servers

READY, FALSE_READY, FAILED, TIMED_OUT = "ready", "false-ready", "failed", "timed-out"
_OVERTIME = 1.0  # s after its timeout within which a wait must have ended
_PASSWORD = "planted-password"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a planted case is to be found; what a waiter needs of these, it takes."""

    stack: t.Optional[Stack] = None
    address: str = ""
    url: str = ""


@dataclasses.dataclass(frozen=True)
class Case:
    """A target that is not ready: `plant()` makes it, `target(place)` is how a playbook writes it.

    `says` is a part of the message that the wait must end with. `new_stack()` makes the stack of a case with
    containers, for those who start it themselves. `ready(stack)`, of a case that gets ready in the end, says if it is.
    """

    name: str
    target: t.Callable[[Place], dict[str, t.Any]]
    says: str
    plant: t.Callable[[], t.ContextManager[Place]]
    new_stack: t.Optional[t.Callable[[], Stack]] = None
    settings: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    timeout: float = 5.0
    ready: t.Optional[t.Callable[[Stack], bool]] = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a waiter said, after how many seconds."""

    outcome: str
    seconds: float
    message: str = ""


def verdict_of(case: Case, place: Place, said_ready: bool, seconds: float, message: str = "") -> Verdict:
    """Grades what a waiter said, right after it did."""
    if said_ready:
        truly = case.ready is not None and place.stack is not None and case.ready(place.stack)
        return Verdict(READY if truly else FALSE_READY, seconds, message)
    return Verdict(TIMED_OUT if seconds >= case.timeout - 0.05 else FAILED, seconds, message)


def ask_ours(case: Case, place: Place) -> Verdict:
    answer = ours.answer(ours.start([case.target(place)], timeout=case.timeout, **case.settings).finish())
    return verdict_of(case, place, answer.ready, answer.returned - answer.begun, answer.message)


def shortcoming(case: Case, verdict: Verdict) -> str:
    """What is wrong with our verdict; empty when nothing is."""
    if verdict.outcome == FALSE_READY:
        return "it is not ready"
    if verdict.seconds > case.timeout + _OVERTIME:
        return f"the wait lasted longer than its timeout of {case.timeout:g} s"
    if case.ready and verdict.outcome != READY:
        return f"it gets ready, but the wait said: {verdict.message}"
    if case.says not in verdict.message:
        return f"{case.says!r} is not in the message: {verdict.message}"
    return ""


def run() -> bool:
    """Prints a line for each case; whether all verdicts are right."""
    right = True
    for case in CASES:
        with case.plant() as place:
            verdict = ask_ours(case, place)
        wrong = shortcoming(case, verdict)
        right = right and not wrong
        line = f"fault {case.name} {verdict.outcome} {verdict.seconds:.2f}"
        print(f"{line} WRONG: {wrong}" if wrong else line, flush=True)
    return right


# --- how cases are planted --------------------------------------------------------------------------------------------


def _stack_case(
    name: str, service: dict[str, t.Any], target: t.Callable[[Place], dict[str, t.Any]], says: str, base: str = "redis",
    port: int = 0, timeout: float = 5.0, settings: dict[str, t.Any] | None = None,
    ready: t.Callable[[Stack], bool] | None = None, **more: t.Any,
) -> Case:
    def new_stack() -> Stack:
        published = {"ports": [f"127.0.0.1::{port}"]} if port else {}
        return Stack({**service, **published}, base, **more)

    @contextlib.contextmanager
    def plant() -> t.Iterator[Place]:
        with new_stack() as stack:
            stack.up()
            yield Place(stack, address=stack.address(port) if port else "")

    return Case(name, target, says, plant, new_stack, settings or {}, timeout, ready)


def _server_case(
    name: str, serve: t.Callable[[], t.ContextManager[int]], says: str, scheme: str = "http",
    settings: dict[str, t.Any] | None = None,
) -> Case:
    @contextlib.contextmanager
    def plant() -> t.Iterator[Place]:
        with serve() as port:
            host = "localhost" if scheme == "https" else "127.0.0.1"
            yield Place(address=f"{host}:{port}", url=f"{scheme}://{host}:{port}/")

    return Case(name, _http, says, plant, settings=settings or {})


@contextlib.contextmanager
def _nowhere() -> t.Iterator[Place]:
    yield Place(address="no-such-host.invalid:80", url="http://no-such-host.invalid/")


def _http(place: Place) -> dict[str, t.Any]:
    return {"name": "app", "timeout": 1.0, "http": {"url": place.url}}


def _at(place: Place) -> dict[str, str]:
    return {"project": place.stack.project, "service": SERVICE}


def _container(**options: t.Any) -> t.Callable[[Place], dict[str, t.Any]]:
    return lambda place: {"name": "app", "container": {**_at(place), **options}}


def _redis(place: Place) -> dict[str, t.Any]:
    return {"name": "app", "redis": _at(place)}


def _postgres(**options: str) -> t.Callable[[Place], dict[str, t.Any]]:
    login = {"dbname": "shop", "login_user": "shop", "login_password": _PASSWORD, **options}
    return lambda place: {"name": "app", "postgres": {**_at(place), **login}}


def _shell(text: str) -> list[str]:
    return ["/bin/sh", "-c", text.replace("$", "$$")]  # Compose would take $ for a variable of its own


def _check(*command: str) -> dict[str, t.Any]:
    return {"test": ["CMD", *command], "interval": "1s", "start_period": "30s", "start_interval": "200ms"}


_POSTGRES = {
    "environment": {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": _PASSWORD, "POSTGRES_DB": "shop"},
    "healthcheck": _check("pg_isready", "--username", "shop"),
}
# As the official image does: a server for the set-up that listens at its Unix socket alone, then the real one.
_INITIALISING = """
umask 077; echo "$POSTGRES_PASSWORD" > /tmp/password
initdb --pgdata "$PGDATA" --username shop --pwfile /tmp/password --auth scram-sha-256 > /dev/null
echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
pg_ctl --pgdata "$PGDATA" --options "-c listen_addresses=''" --wait start > /dev/null
sleep 3
PGPASSWORD=$POSTGRES_PASSWORD createdb --username shop shop
pg_ctl --pgdata "$PGDATA" --wait stop > /dev/null
echo initialised
exec postgres -c "listen_addresses=*"
"""
# Restarts with enough data, read slowly enough, to be loading for longer than anybody waits here.
_LOADING = """
redis-server --port 0 --unixsocket /tmp/socket --enable-debug-command yes --daemonize yes > /dev/null
until redis-cli -s /tmp/socket ping > /dev/null 2>&1; do sleep 0.05; done
redis-cli -s /tmp/socket debug populate 200000 key 100 > /dev/null
redis-cli -s /tmp/socket shutdown save
exec redis-server --protected-mode no --key-load-delay 100 --loading-process-events-interval-bytes 1024
"""
_ONE_SURVIVES = "mkdir /claims/taken 2> /dev/null && exec sleep 60; sleep 0.3; exit 1"
_HOG = "import time; time.sleep(0.2); held = b'x' * 200_000_000; time.sleep(9)"

CASES = [
    _stack_case(
        "crash_loop", {"command": _shell("sleep 0.3; exit 3"), "restart": "always"}, _container(), "exit code 3"
    ),
    _stack_case(
        "crash_loop_with_healthcheck",
        {"command": _shell("sleep 1.5; exit 4"), "restart": "always", "healthcheck": _check("true")},
        _container(), "exit code 4", settings={"stable_for": 3},
    ),
    _stack_case(
        "two_of_three_replicas_dead",
        {"command": _shell(_ONE_SURVIVES), "user": "root", "scale": 3, "volumes": ["claims:/claims"]},
        _container(replicas=3), "exit code 1", volumes={"claims": {}},
    ),
    _stack_case("exits_at_once", {"command": _shell("exit 7")}, _container(), "exit code 7"),
    _stack_case(
        "out_of_memory", {"command": ["python3", "-c", _HOG], "mem_limit": "32m", "memswap_limit": "32m"},
        _container(), "exit code 137", base="python", settings={"stable_for": 2},
    ),
    _stack_case(
        "postgres_initialising", {**_POSTGRES, "command": _shell(_INITIALISING)}, _postgres(), "", base="postgres",
        port=5432, timeout=20, ready=lambda stack: "initialised" in stack.log(),
    ),
    _stack_case(
        "redis_loading", {"command": _shell(_LOADING), "healthcheck": _check("redis-cli", "ping")}, _redis, "LOADING",
        port=6379,
    ),
    _stack_case(
        "redis_wants_a_password",
        {"command": ["redis-server", "--requirepass", _PASSWORD], "healthcheck": _check("redis-cli", "ping")},
        _redis, "NOAUTH", port=6379,
    ),
    _stack_case(
        "postgres_wrong_database", _POSTGRES, _postgres(dbname="nothing"), 'database "nothing" does not exist',
        base="postgres", port=5432, timeout=10,
    ),
    _stack_case(
        "postgres_wrong_password", _POSTGRES, _postgres(login_password="wrong"), "password authentication failed",
        base="postgres", port=5432, timeout=10,
    ),
    _server_case("http_flaps", lambda: servers.flapping(0.7, 0.7), "503", settings={"stable_for": 2}),
    _server_case("never_answers", servers.silent, "no answer within"),
    _server_case("slow_drip", servers.dripping, "no answer within"),
    _server_case("resets", servers.resetting, "reset"),
    Case("no_such_name", _http, "no-such-host.invalid", _nowhere),
    _server_case("wrong_certificate", servers.distrusted, "certificate", scheme="https"),
    _server_case("stopped_with_sigstop", servers.stopped, "no answer within"),
]
