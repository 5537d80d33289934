# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compose's own command on one release of a stack; what comes of it is read from the Engine's API. Private."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_SHOWN = 20  # last lines of what Compose says


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
        return self._run(["run", "--rm", "--no-deps", "--no-TTY", "--quiet-pull", service, *argv], timeout)

    def _run(self, arguments: t.Sequence[str], timeout: float) -> str:
        argv = ["docker", "compose", "--ansi", "never", "--progress", "plain", "--project-name", self.project]
        argv += ["--project-directory", self.folder]
        argv += [part for file in self._files for part in ("--file", os.path.join(self.folder, file))]
        argv += [part for profile in self._profiles for part in ("--profile", profile)]
        try:
            done = subprocess.run(
                [*argv, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
            )
        except FileNotFoundError as exc:
            raise ProductionError("docker", "there is no such program.", "Role tria.production.docker_engine brings it.") from exc
        except subprocess.TimeoutExpired as exc:
            raise ProductionError(f"docker compose {arguments[0]}", f"did not end within {timeout:.0f} s.") from exc
        if done.returncode != 0:
            said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_SHOWN:])
            raise ProductionError(f"docker compose {arguments[0]}", f"ended with {done.returncode}: {said}")
        return done.stdout
