# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Idempotency keys: over HTTP against a running application, and in the store's own terms against Redis."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis.asyncio import Redis

from cache.idempotency import IdempotencyStore, KeyReused, StillRunning
from servers import Answer, Process, request


def post(app: Process, key: str, message: str) -> Answer:
    return request(f"{app.url}/api/chatbot", {"message": message, "user_id": "test"}, {"Idempotency-Key": key})


def completions(sandbox: Process) -> int:
    return int(request(f"{sandbox.url}/health").body["completions"])


def test_the_same_key_and_body_give_the_same_answer_once(app: Process, sandbox: Process) -> None:
    key, message = secrets.token_hex(8), f"question {secrets.token_hex(8)}"
    before = completions(sandbox)
    first, second = post(app, key, message), post(app, key, message)
    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert first.headers["Idempotency-Replayed"] == "false"
    assert second.headers["Idempotency-Replayed"] == "true"
    assert completions(sandbox) == before + 1


def test_the_same_key_with_another_body_is_refused(app: Process) -> None:
    key = secrets.token_hex(8)
    post(app, key, "one")
    answer = post(app, key, "another")
    assert (answer.status, answer.body["error"]) == (422, "idempotency_key_reused")


def test_concurrent_duplicates_are_computed_once(environment: Callable[..., dict[str, str]], slow_sandbox: Process,
                                                 start: Callable[[dict[str, str]], Process]) -> None:
    app = start(environment(slow_sandbox.port))
    app.wait_listening()
    key, message = secrets.token_hex(8), f"question {secrets.token_hex(8)}"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(app, key, message), range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert all(answer.body == answers[0].body for answer in answers)
    assert sorted(answer.headers["Idempotency-Replayed"] for answer in answers) == ["false"] + ["true"] * 7
    assert completions(slow_sandbox) == 1


Scenario = Callable[[IdempotencyStore, Redis], Awaitable[Any]]


@pytest.fixture
def store(redis_url: str) -> Callable[..., Any]:
    def run(scenario: Scenario, ttl: int = 60, lease: int = 5) -> Any:
        async def connected() -> Any:
            redis = Redis.from_url(redis_url, decode_responses=True)
            try:
                return await scenario(IdempotencyStore(redis, ttl, lease), redis)
            finally:
                await redis.aclose()

        return asyncio.run(connected())

    return run


class Answering:
    """A computation that says when it has begun, takes its time, and gives its value or raises it."""

    def __init__(self, value: int | Exception, seconds: float = 0.0) -> None:
        self.value = value
        self.seconds = seconds
        self.begun = asyncio.Event()

    async def __call__(self) -> dict[str, Any]:
        self.begun.set()
        await asyncio.sleep(self.seconds)
        if isinstance(self.value, Exception):
            raise self.value
        return {"value": self.value}


def test_a_failure_is_not_kept_and_a_duplicate_takes_over(store: Callable[..., Any]) -> None:
    async def scenario(idempotency: IdempotencyStore, redis: Redis) -> Any:
        key = secrets.token_hex(8)
        breaking = Answering(ValueError("broken"), seconds=0.1)
        first = asyncio.ensure_future(idempotency.once("test", key, 1, breaking))
        await breaking.begun.wait()
        second = await idempotency.once("test", key, 1, Answering(2))
        with pytest.raises(ValueError, match="broken"):
            await first
        return second

    assert store(scenario) == ({"value": 2}, False)


def test_an_answer_expires(store: Callable[..., Any]) -> None:
    async def scenario(idempotency: IdempotencyStore, redis: Redis) -> Any:
        key = secrets.token_hex(8)
        first = await idempotency.once("test", key, 1, Answering(1))
        await asyncio.sleep(1.2)
        return first, await idempotency.once("test", key, 1, Answering(2))

    assert store(scenario, ttl=1) == (({"value": 1}, False), ({"value": 2}, False))


def test_a_claimant_that_died_loses_its_lease(store: Callable[..., Any]) -> None:
    async def scenario(idempotency: IdempotencyStore, redis: Redis) -> Any:
        key = secrets.token_hex(8)
        slow = Answering(1, seconds=2)
        late = asyncio.ensure_future(idempotency.once("test", key, 1, slow))
        await slow.begun.wait()
        taken_over = await idempotency.once("test", key, 1, Answering(2))
        await late
        return taken_over, await idempotency.once("test", key, 1, Answering(3))

    assert store(scenario, lease=1) == (({"value": 2}, False), ({"value": 2}, True))


def test_a_duplicate_does_not_wait_for_ever(store: Callable[..., Any]) -> None:
    async def scenario(idempotency: IdempotencyStore, redis: Redis) -> None:
        key = secrets.token_hex(8)
        patient = IdempotencyStore(redis, 60, 10)
        slow = Answering(1, seconds=3)
        running = asyncio.ensure_future(patient.once("test", key, 1, slow))
        await slow.begun.wait()
        try:
            await idempotency.once("test", key, 1, Answering(2))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    with pytest.raises(StillRunning):
        store(scenario, lease=1)


def test_scopes_do_not_share_keys(store: Callable[..., Any]) -> None:
    async def scenario(idempotency: IdempotencyStore, redis: Redis) -> None:
        key = secrets.token_hex(8)
        await idempotency.once("one", key, {"a": 1}, Answering(1))
        assert await idempotency.once("two", key, {"a": 2}, Answering(2)) == ({"value": 2}, False)
        with pytest.raises(KeyReused):
            await idempotency.once("one", key, {"a": 2}, Answering(3))

    store(scenario)
