# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of the process: signals, running requests, hooks, services that go away and come back."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable

import pytest

from production.lifecycle_manager import LifecycleManager
from servers import Answer, Process, request, start_sandbox, until

Environment = Callable[..., dict[str, str]]
Start = Callable[[dict[str, str]], Process]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_running_request_finish(environment: Environment, start: Start, slow_sandbox: Process,
                                                number: signal.Signals) -> None:
    process = start(environment(slow_sandbox.port))
    process.wait_listening()
    answers: list[Answer] = []
    body = {"message": f"slow {time.monotonic_ns()}", "user_id": "test"}
    asking = threading.Thread(target=lambda: answers.append(request(f"{process.url}/api/chatbot", body)))
    asking.start()
    until(lambda: request(f"{slow_sandbox.url}/health").body["completions"] == 1, 5, "the model's turn")
    process.signal(number)
    asking.join(10)
    assert [answer.status for answer in answers] == [200]
    assert process.wait_exit(10) == 0
    text = "\n".join(process.lines)
    assert f"received {number.name}, shutting down" in text
    closed = [line.split("lifecycle: ")[1] for line in process.lines if line.endswith(" closed")]
    assert closed == ["analytics closed", "storage closed", "openai client closed", "redis pool closed",
                      "database pool closed"]
    assert process.lines[-1].endswith("main: stopped")


def test_readiness_is_503_while_stopping_and_liveness_is_not(environment: Environment, start: Start) -> None:
    process = start(environment(SHUTDOWN_DRAIN="2"))
    process.wait_listening()
    process.signal(signal.SIGTERM)
    until(lambda: any("shutting down" in line for line in process.lines), 5, "the signal")
    ready, alive = request(f"{process.url}/api/v1/health/readiness"), request(f"{process.url}/health")
    assert (ready.status, ready.body["status"], ready.body["overall_healthy"]) == (503, "shutting_down", False)
    assert alive.status == 200
    assert process.wait_exit(10) == 0


def test_a_second_signal_does_not_wait(environment: Environment, start: Start, slow_sandbox: Process) -> None:
    process = start(environment(slow_sandbox.port, SHUTDOWN_DRAIN="30"))
    process.wait_listening()
    process.signal(signal.SIGTERM)
    until(lambda: any("shutting down" in line for line in process.lines), 5, "the signal")
    process.signal(signal.SIGTERM)
    assert process.wait_exit(5) == 0


def test_a_signal_during_startup_stops_it(environment: Environment, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        process = start(environment(REDIS_PORT=str(black_hole.getsockname()[1]), STARTUP_TIMEOUT="30"))
        until(lambda: any("2/7 database" in line for line in process.lines), 15, "the database phase")
        process.signal(signal.SIGTERM)
        assert process.wait_exit(5) == 0
    assert process.lines[-1].endswith("main: stopped")
    assert not any("ready" in line for line in process.lines)


def test_openai_going_away_shows_in_readiness(
    environment: Environment, start: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sandboxes")
    first = start_sandbox(folder / "first.log")
    process = start(environment(first.port, OPENAI_CHECK_INTERVAL="0.2"))
    process.wait_listening()

    def status() -> Answer:
        return request(f"{process.url}/api/v1/health/readiness")

    assert status().status == 200
    first.stop()
    until(lambda: status().status == 503, 5, "unhealthy")
    assert status().body["services"]["openai"]["healthy"] is False
    assert request(f"{process.url}/health").status == 200
    assert request(f"{process.url}/api/chatbot", {"message": "new question", "user_id": "test"}).status == 502


def test_hooks_run_in_order_and_all_of_them() -> None:
    seen: list[str] = []

    def hook(name: str, error: Exception | None = None) -> Callable[[], object]:
        async def run() -> None:
            seen.append(name)
            if error:
                raise error

        return run

    async def scenario() -> None:
        lifecycle = LifecycleManager()
        lifecycle.add_startup_hook("a", hook("start a"))
        lifecycle.add_startup_hook("b", hook("start b"))
        lifecycle.add_shutdown_hook("a", hook("stop a"))
        lifecycle.add_shutdown_hook("b", hook("stop b", RuntimeError("stuck")))
        await lifecycle.run_startup()
        await lifecycle.run_shutdown()

    asyncio.run(scenario())
    assert seen == ["start a", "start b", "stop b", "stop a"]


def test_background_tasks_are_cancelled_before_resources_close() -> None:
    seen: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cancelled")

    async def close() -> None:
        seen.append("closed")

    async def scenario() -> None:
        lifecycle = LifecycleManager()
        lifecycle.add_shutdown_hook("pool", close)
        lifecycle.start_background_task("forever", forever())
        await asyncio.sleep(0)
        assert lifecycle.background_tasks == ["forever"]
        await lifecycle.run_shutdown()
        assert lifecycle.background_tasks == []

    asyncio.run(scenario())
    assert seen == ["cancelled", "closed"]


def test_a_startup_that_is_stopped_says_so() -> None:
    async def scenario() -> tuple[bool, bool]:
        lifecycle = LifecycleManager()
        finished = await lifecycle.unless_stopped(asyncio.sleep(0))
        asyncio.get_running_loop().call_later(0.05, lifecycle.stopping.set)
        return finished, await lifecycle.unless_stopped(asyncio.sleep(60))

    assert asyncio.run(scenario()) == (True, False)
