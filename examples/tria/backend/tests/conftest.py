# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures over real servers.

PostgreSQL and Redis come from TRIA_TEST_DATABASE_URL and TRIA_TEST_REDIS_URL, or are started as throwaway containers
from TRIA_TEST_POSTGRES_IMAGE and TRIA_TEST_REDIS_IMAGE. Without either the tests that need them fail and say so.
"""

from __future__ import annotations

import itertools
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import servers
from migrate import migrate

_counter = itertools.count()


def _image(variable: str, address: str) -> str:
    image = os.environ.get(variable, "")
    if not image:
        pytest.fail(f"set {address} to a running server, or {variable} to an image to start one from", pytrace=False)
    return image


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An administrator's URL of a PostgreSQL server."""
    given = os.environ.get("TRIA_TEST_DATABASE_URL")
    if given:
        yield given
        return
    password = secrets.token_hex(16)
    environment = {"POSTGRES_USER": "tria_test", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "tria_test"}
    image = _image("TRIA_TEST_POSTGRES_IMAGE", "TRIA_TEST_DATABASE_URL")
    container = servers.Container("tria-test-postgres", image, 5432, environment, [])
    url = f"postgresql://tria_test:{password}@127.0.0.1:{container.port}/tria_test"

    def answers() -> bool:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        servers.until(answers, servers.START_SECONDS, "PostgreSQL")
        yield url
    finally:
        container.remove()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL, password included, of a Redis server."""
    given = os.environ.get("TRIA_TEST_REDIS_URL")
    if given:
        yield given
        return
    password = secrets.token_hex(16)
    command = ["sh", "-c", 'echo "requirepass $PASSWORD" | redis-server - --protected-mode no']
    image = _image("TRIA_TEST_REDIS_IMAGE", "TRIA_TEST_REDIS_URL")
    container = servers.Container("tria-test-redis", image, 6379, {"PASSWORD": password}, command)

    def answers() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", container.port), 2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"-NOAUTH")
        except OSError:
            return False

    try:
        servers.until(answers, servers.START_SECONDS, "Redis")
        yield f"redis://:{password}@127.0.0.1:{container.port}/0"
    finally:
        container.remove()


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """The URL of a new, empty database."""
    yield from _database(postgres_url)


@pytest.fixture
def role(empty_database: str) -> Iterator[str]:
    """The name of a role that is gone again after the test."""
    name = f"app_{secrets.token_hex(6)}"
    yield name
    with psycopg.connect(empty_database, autocommit=True) as owner:
        if owner.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
            owner.execute(f"DROP OWNED BY {name}")
            owner.execute(f"DROP ROLE {name}")


@pytest.fixture(scope="session")
def owner_url(postgres_url: str) -> Iterator[str]:
    """The owner's URL of the database that all tests share; empty until `database_url` migrates it."""
    yield from _database(postgres_url)


@pytest.fixture(scope="session")
def database_url(owner_url: str, postgres_url: str) -> Iterator[str]:
    """The application's URL of a migrated, seeded database that all tests share: a role that owns nothing."""
    role = f"app_{secrets.token_hex(6)}"
    url = application_url(owner_url, role)
    migrate(owner_url, url)
    yield url
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(f"DROP OWNED BY {role}")
        owner.execute(f"DROP ROLE {role}")


def application_url(owner_url: str, role: str) -> str:
    """The same database, for a role with a password of its own."""
    parts = urlsplit(owner_url)
    return parts._replace(netloc=f"{role}:{secrets.token_hex(12)}@{parts.hostname}:{parts.port}").geturl()


def _database(postgres_url: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Process]:
    """The OpenAI stand-in, answering at once."""
    process = servers.start_sandbox(tmp_path_factory.mktemp("sandbox") / "log")
    yield process
    process.stop()


@pytest.fixture
def slow_sandbox(tmp_path: Path) -> Iterator[servers.Process]:
    """The OpenAI stand-in with a second of thinking per answer."""
    process = servers.start_sandbox(tmp_path / "sandbox.log", delay=1.0)
    yield process
    process.stop()


@pytest.fixture
def environment(database_url: str, redis_url: str, sandbox: servers.Process) -> Callable[..., dict[str, str]]:
    """Makes valid environments of the application, changed by keyword."""

    def make(sandbox_port: int = sandbox.port, **changes: str | None) -> dict[str, str]:
        return servers.app_environment(database_url, redis_url, sandbox_port, **changes)

    return make


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], servers.Process]]:
    """Starts the application with an environment; stopped after the test."""
    started: list[servers.Process] = []

    def make(environment: dict[str, str]) -> servers.Process:
        started.append(servers.start_app(environment, tmp_path / f"app-{next(_counter)}.log"))
        return started[-1]

    yield make
    for process in started:
        process.stop()


@pytest.fixture(scope="session")
def app(database_url: str, redis_url: str, sandbox: servers.Process,
        tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Process]:
    """One running application for the tests that only ask."""
    environment = servers.app_environment(database_url, redis_url, sandbox.port)
    process = servers.start_app(environment, tmp_path_factory.mktemp("app") / "log")
    process.wait_listening()
    yield process
    process.stop()
