# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compose's own command on one release of a stack; what comes of it is read from the Engine's API. Private."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import typing as t

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_SHOWN = 20  # last lines of what Compose says


class TimedOut(ProductionError):
    """Compose did not end in time; its client was killed, containers that it started may run."""


class Compose:
    """`docker compose` with a release's project name, files, env file and profiles.

    `record` is the release's record: `project`, `compose_files`, `profiles`. Nothing is ever built or asked of a
    terminal here. Every method raises `ProductionError` with the last lines that Compose wrote.
    """

    def __init__(self, folder: str, record: dict[str, t.Any]) -> None:
        self.folder = folder
        self.project = record["project"]
        self._files = record["compose_files"]
        self._profiles = record["profiles"]

    def config(self) -> dict[str, t.Any]:
        """The whole project as Compose understands it: merged, interpolated, defaults filled in, no `x-` fields."""
        return dict(json.loads(self._run(["config", "--format", "json"], 60)))

    def up(self, services: t.Sequence[str], timeout: float, *options: str) -> None:
        """Create and start containers of these services, in the order in which they depend on each other."""
        if services:
            self._run(["up", "--detach", "--no-deps", "--no-build", "--quiet-pull", *options, *services], timeout)

    def run(self, service: str, argv: t.Sequence[str], timeout: float) -> str:
        """Run a command in a new container of the service, which is gone afterwards; returns its standard output."""
        name = f"{self.project}-{service}-run-{secrets.token_hex(6)}"
        options = ["--rm", "--no-deps", "--no-TTY", "--quiet-pull", "--name", name]
        try:
            return self._run(["run", *options, service, *argv], timeout)
        except TimedOut as exc:
            fault = _removed(name)
            if fault:
                raise TimedOut(exc.culprit, f"{exc.cause} Container {name} may still run: {fault}") from exc
            raise

    def _run(self, arguments: t.Sequence[str], timeout: float) -> str:
        argv = ["docker", "compose", "--ansi", "never", "--progress", "plain", "--project-name", self.project]
        argv += ["--project-directory", self.folder]
        argv += [part for file in self._files for part in ("--file", os.path.join(self.folder, file))]
        argv += [part for profile in self._profiles for part in ("--profile", profile)]
        try:
            done = subprocess.run(
                [*argv, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                check=False, close_fds=False,  # an inheritable lock is held until Compose has ended, even without us
            )
        except FileNotFoundError as exc:
            raise ProductionError("docker", "there is no such program.", "Role tria.production.docker_engine brings it.") from exc
        except subprocess.TimeoutExpired as exc:
            raise TimedOut(f"docker compose {arguments[0]}", f"did not end within {timeout:.0f} s.") from exc
        if done.returncode != 0:
            # Compose itself speaks on standard error; what runs in a container may log on either
            said = "\n".join(f"{done.stderr.strip()}\n{done.stdout.strip()}".strip().splitlines()[-_SHOWN:])
            raise ProductionError(f"docker compose {arguments[0]}", f"ended with {done.returncode}: {said}")
        return done.stdout


def _removed(container: str) -> str:
    """Remove a container, running or not, that need not exist; returns why that failed, empty when it did not."""
    argv = ["docker", "rm", "--force", container]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "the Engine does not answer."
    gone = done.returncode == 0 or "No such container" in done.stderr
    return "" if gone else f"`docker rm` ended with {done.returncode}: {done.stderr.strip()}"
