# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Compose project of one service, `app`, for as long as it is needed."""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile
import typing as t
import uuid

from benchmarks.process import Program

_IMAGES = pathlib.Path(__file__).resolve().parents[3] / ".build" / "test-images.json"
SERVICE = "app"


def image(name: str) -> str:
    """The reference of a base image that `make setup` provides."""
    return json.loads(_IMAGES.read_text(encoding="utf-8"))[name]


class Stack:
    """Used as a context manager; nothing of it is left afterwards."""

    def __init__(self, service: dict[str, t.Any], base: str = "python", **more: t.Any) -> None:
        self.project = f"bench{uuid.uuid4().hex[:8]}"
        self._folder = tempfile.TemporaryDirectory()
        self._file = pathlib.Path(self._folder.name) / "compose.yaml"
        content = {"services": {SERVICE: {"image": image(base), "init": True, **service}}, **more}
        self._file.write_text(json.dumps(content), encoding="utf-8")

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.compose("down", "--volumes", "--timeout", "0", "--remove-orphans")
        self._folder.cleanup()

    def up(self) -> None:
        self.compose("up", "--detach")

    def up_wait(self, timeout: float) -> Program:
        """`docker compose up --wait`, started."""
        return Program(self._argv("up", "--detach", "--wait", "--wait-timeout", f"{timeout:.0f}"), timeout=timeout + 30)

    def log(self) -> str:
        """What the only container has said; `docker compose logs` would put escape sequences into it."""
        return _output("docker", "logs", *self.compose("ps", "--all", "--quiet").split())

    def address(self, port: int) -> str:
        """`host:port` at which a port of the service is published."""
        return self.compose("port", SERVICE, str(port)).strip()

    def compose(self, *words: str) -> str:
        return _output(*self._argv(*words))

    def _argv(self, *words: str) -> list[str]:
        return ["docker", "compose", "--project-name", self.project, "--file", str(self._file), *words]


def _output(*argv: str) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()[-2000:]}")
    return done.stdout
