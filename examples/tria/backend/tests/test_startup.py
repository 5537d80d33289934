# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Startup: phases in order, and for every critical service a planted fault that ends the process with its phase."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg
import pytest

from migrate import migrate
from production.startup_orchestrator import EXIT_CODES, Phase, StartupError, StartupOrchestrator
from servers import Process, free_port, listening, request

Environment = Callable[..., dict[str, str]]
Start = Callable[[dict[str, str]], Process]


def run(*phases: Phase, timeout: float = 5) -> StartupOrchestrator:
    orchestrator = StartupOrchestrator(timeout)
    asyncio.run(orchestrator.run(phases))
    return orchestrator


def passing(seen: list[str], name: str) -> Phase:
    async def work() -> str:
        seen.append(name)
        return "fine"

    return Phase(name, work)


def failing(name: str, error: Exception, critical: bool = True) -> Phase:
    async def work() -> str:
        raise error

    return Phase(name, work, critical)


def test_phases_run_in_order_and_stop_at_the_first_critical_failure() -> None:
    seen: list[str] = []
    with pytest.raises(StartupError) as caught:
        run(passing(seen, "environment"), failing("database", RuntimeError("not\nthere")), passing(seen, "redis"))
    assert seen == ["environment"]
    assert str(caught.value) == "phase=database reason=not there"
    assert caught.value.exit_code == EXIT_CODES["database"]


def test_a_phase_that_is_not_critical_lets_the_others_run() -> None:
    seen: list[str] = []
    orchestrator = run(failing("chromadb", OSError("away"), critical=False), passing(seen, "components"))
    assert [result.status for result in orchestrator.results] == ["failed", "passed"]


def test_a_phase_that_hangs_is_ended() -> None:
    async def hang() -> str:
        await asyncio.sleep(60)
        return "never"

    with pytest.raises(StartupError, match=r"phase=redis reason=no answer within 0\.1 s"):
        run(Phase("redis", hang), timeout=0.1)


def test_exit_codes_are_distinct() -> None:
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    assert not set(EXIT_CODES.values()) & {0, 1, 2}


def fails(process: Process, phase: str, reason: str) -> None:
    """The process ends with the phase's status, its last line names phase and reason, and nothing ever listened."""
    opened = False
    while process.child.poll() is None:
        opened = opened or listening(process.port)
        time.sleep(0.02)
    last = process.lines[-1]
    assert process.child.returncode == EXIT_CODES[phase], last
    assert re.search(rf"startup failed: phase={phase} reason=.*{reason}", last), last
    assert not opened
    names = ("REDIS_PASSWORD", "SECRET_KEY", "JWT_SECRET_KEY", "OPENAI_API_KEY", "DATABASE_URL")
    values = [process.environment[name] for name in names if process.environment.get(name)]
    values.append(urlsplit(process.environment.get("DATABASE_URL", "")).password or "")
    text = "\n".join(process.lines)
    assert not [value for value in values if value and value in text]


def test_a_good_start_logs_its_phases_in_order(environment: Environment, start: Start) -> None:
    process = start(environment())
    process.wait_listening()
    phases = [match[1] for line in process.lines if (match := re.search(r"phase \d/7 (\w+):", line))]
    assert phases == ["environment", "database", "redis", "openai", "chromadb", "components", "health_checks"]


def test_environment(environment: Environment, start: Start) -> None:
    fails(start(environment(REDIS_HOST=None, SECRET_KEY="short")), "environment",
          "REDIS_HOST is missing or empty; SECRET_KEY must be at least 32")


def test_database_unreachable(environment: Environment, start: Start) -> None:
    url = f"postgresql://tria:{secrets.token_hex(8)}@127.0.0.1:{free_port()}/tria"
    fails(start(environment(DATABASE_URL=url)), "database", "[Cc]onnection refused")


def test_database_password_wrong(environment: Environment, start: Start, database_url: str) -> None:
    parts = urlsplit(database_url)
    url = database_url.replace(f":{parts.password}@", f":{secrets.token_hex(12)}@")
    fails(start(environment(DATABASE_URL=url)), "database", "password authentication failed")


def test_database_without_migrations(environment: Environment, start: Start, empty_database: str) -> None:
    fails(start(environment(DATABASE_URL=empty_database)), "database", "schema is at migration none")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("DROP TABLE messages", "tables are missing: messages"),
        ("DELETE FROM catalog", "the catalog is empty"),
        ("UPDATE alembic_version SET version_num = '0001'", "schema is at migration 0001"),
    ],
)
def test_database_damaged(environment: Environment, start: Start, empty_database: str, damage: str,
                          reason: str) -> None:
    migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute(damage)
    fails(start(environment(DATABASE_URL=empty_database)), "database", reason)


def test_redis_unreachable(environment: Environment, start: Start) -> None:
    fails(start(environment(REDIS_PORT=str(free_port()))), "redis", "refused|connect")


def test_redis_password_wrong(environment: Environment, start: Start) -> None:
    fails(start(environment(REDIS_PASSWORD=secrets.token_hex(12))), "redis", "(invalid username-password|WRONGPASS)")


def test_redis_that_never_answers(environment: Environment, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        port = str(black_hole.getsockname()[1])
        fails(start(environment(REDIS_PORT=port, STARTUP_TIMEOUT="1")), "redis", "no answer within 1 s")


def test_openai_key_rejected(environment: Environment, start: Start) -> None:
    fails(start(environment(OPENAI_API_KEY="sk-invalid-0123456789")), "openai", "GET /models with 401")


def test_openai_unreachable(environment: Environment, start: Start) -> None:
    fails(start(environment(sandbox_port=free_port())), "openai", "cannot be reached")


def test_port_taken(environment: Environment, start: Start) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        process = start(environment(PORT=str(taken.getsockname()[1])))
        assert process.wait_exit() == EXIT_CODES["listen"]
    assert "startup failed: phase=listen" in process.lines[-1]


def test_chromadb_away_is_degraded_not_down(environment: Environment, start: Start) -> None:
    process = start(environment(CHROMA_URL=f"http://127.0.0.1:{free_port()}"))
    process.wait_listening()
    answer = request(f"{process.url}/api/v1/health/readiness")
    assert answer.status == 200
    assert (answer.body["status"], answer.body["overall_healthy"]) == ("degraded", True)
    assert answer.body["services"]["chromadb"]["healthy"] is False
    assert any("chromadb: degraded, not critical" in line for line in process.lines)
