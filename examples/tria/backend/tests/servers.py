# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real servers for the tests: throwaway containers, the sandbox, the application as a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BACKEND = Path(__file__).resolve().parents[1]
SANDBOX = BACKEND.parent / "sandbox" / "server.py"
START_SECONDS = 30.0


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of `condition`, or a TimeoutError that names what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise TimeoutError(f"{what}: not within {seconds:g} s")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int, host: str = "127.0.0.1") -> bool:
    """Does anybody accept connections there?"""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


class Container:
    """A throwaway container with one published port; removed with its volumes by `remove`."""

    def __init__(self, name: str, image: str, port: int, environment: dict[str, str], command: list[str]) -> None:
        self.name = f"{name}-{secrets.token_hex(4)}"
        flags = [part for variable in environment for part in ("--env", variable)]
        arguments = ["docker", "run", "--detach", "--rm", "--name", self.name, "--publish", f"127.0.0.1::{port}"]
        # Docker reads the values from its own environment: none of them appears in a process list.
        subprocess.run([*arguments, *flags, image, *command], check=True, timeout=60, stdout=subprocess.DEVNULL,
                       env={**os.environ, **environment})
        shown = subprocess.run(["docker", "port", self.name, str(port)], check=True, timeout=30, text=True,
                               stdout=subprocess.PIPE)
        self.port = int(shown.stdout.split(":")[-1])

    def remove(self) -> None:
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], check=True, timeout=60,
                       stdout=subprocess.DEVNULL)


@dataclass
class Answer:
    """Status, headers and decoded body of an HTTP answer."""

    status: int
    headers: Any
    body: Any


def request(url: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 30,
            method: str | None = None) -> Answer:
    """GET, or POST of a JSON body, or `method`. Error statuses are answers like any other."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    prepared = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(prepared, timeout=timeout) as response:
            return _answer(response.status, response)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error)


def _answer(status: int, response: Any) -> Answer:
    raw, content_type = response.read(), response.headers.get("Content-Type", "")
    if "json" in content_type:
        return Answer(status, response.headers, json.loads(raw) if raw else None)
    return Answer(status, response.headers, raw.decode() if content_type.startswith("text/") else raw)


@dataclass
class Process:
    """A server as a child process; its output goes to a file."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    port: int
    child: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("wb") as sink:
            self.child = subprocess.Popen(self.command, cwd=BACKEND / "src", env=self.environment, stdout=sink,
                                          stderr=subprocess.STDOUT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def wait_listening(self) -> None:
        def settled() -> bool:
            if self.child.poll() is not None:
                raise AssertionError(f"ended with {self.child.returncode}: {self.lines[-3:]}")
            return listening(self.port)

        until(settled, START_SECONDS, f"port {self.port}")

    def wait_exit(self, seconds: float = START_SECONDS) -> int:
        return self.child.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def stop(self) -> None:
        """End the process, gently first."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(15)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(5)


def start_sandbox(log: Path, delay: float = 0.0) -> Process:
    """The OpenAI stand-in; `delay` seconds per completion."""
    port = free_port()
    environment = {"HOST": "127.0.0.1", "PORT": str(port), "SANDBOX_DELAY": str(delay), "PATH": os.environ["PATH"]}
    sandbox = Process([sys.executable, str(SANDBOX)], environment, log, port)
    sandbox.wait_listening()
    return sandbox


def app_environment(database_url: str, redis_url: str, sandbox_port: int, **changes: str | None) -> dict[str, str]:
    """A valid environment of the application; `changes` replace a variable, None removes it."""
    redis = urlsplit(redis_url)
    environment: dict[str, str | None] = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(BACKEND / "src"),
        "PYTHONWARNINGS": "error",
        "PORT": str(free_port()),
        "ENVIRONMENT": "staging",
        "DATABASE_URL": database_url,
        "REDIS_HOST": redis.hostname,
        "REDIS_PORT": str(redis.port),
        "REDIS_PASSWORD": redis.password,
        "REDIS_DB": redis.path.lstrip("/") or "0",
        "OPENAI_API_KEY": "sk-" + secrets.token_hex(16),
        "OPENAI_BASE_URL": f"http://127.0.0.1:{sandbox_port}/v1",
        "SECRET_KEY": secrets.token_hex(32),
        "JWT_SECRET_KEY": secrets.token_hex(32),
        "TAX_RATE": "0.08",
        "SHUTDOWN_DRAIN": "0.2",
        "ENABLE_DEMO_LOGIN": "true",
        # All tests come from one address; those of the limits switch them on.
        "ENABLE_RATE_LIMITING": "false",
        **changes,
    }
    return {name: value for name, value in environment.items() if value is not None}


def start_app(environment: dict[str, str], log: Path) -> Process:
    """The application; whether it comes up is for the caller to see. Uploads go beside its log."""
    environment = {"UPLOAD_PATH": str(log.parent / "uploads"), **environment}
    return Process([sys.executable, "-m", "main"], environment, log, int(environment["PORT"]))
