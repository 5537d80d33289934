# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the real Docker Compose reads in env files, and where our parser reads something else."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import subprocess
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import parser

# a file's variables, or None where it is refused
Reading = t.Optional[t.Dict[str, str]]

_BATCH = 500
_AT_ONCE = 4


@dataclasses.dataclass
class Difference:
    text: str
    ours: Reading
    compose: Reading


class Compose:
    """Docker Compose in a folder and with a process environment of its own."""

    def __init__(self, folder: pathlib.Path, shell: dict[str, str]) -> None:
        self.folder = folder
        self.shell = shell
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **shell}
        self._program = _program()
        self._files = 0
        done = self.config({"services": {"s": {"image": "none"}}})
        if done.returncode != 0:
            raise RuntimeError(f"Docker Compose refuses a project without env files: {done.stderr}")

    def config(self, model: dict, *options: str) -> subprocess.CompletedProcess:
        """`docker compose <options> config` of a project; the Docker command line itself would take twice the time."""
        command = [self._program, "--file", "-", "--project-directory", str(self.folder), *options]
        return subprocess.run(
            [*command, "config", "--format", "json"],
            input=json.dumps({"name": "oracle", **model}),
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    def write(self, text: str) -> str:
        """The path of a new file with that text."""
        self._files += 1
        path = self.folder / f"{self._files}.env"
        path.write_bytes(text.encode("utf-8"))
        return str(path)

    def readings(self, texts: t.Sequence[str], refused: t.Sequence[bool]) -> list[Reading]:
        """What Compose makes of each text. Those that are `refused`, as somebody thinks, are read one by one."""
        found: list[Reading] = [None] * len(texts)
        paths = [self.write(text) for text in texts]
        likely = [number for number in range(len(texts)) if not refused[number]]
        rest = [number for number in range(len(texts)) if refused[number]]
        groups = [likely[first : first + _BATCH] for first in range(0, len(likely), _BATCH)]
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            for read in pool.map(lambda numbers: self._read(paths, numbers), [*groups, *zip(rest)]):
                for number, reading in read.items():
                    found[number] = reading
        return found

    def _read(self, paths: t.Sequence[str], numbers: t.Sequence[int]) -> dict[int, Reading]:
        """A service for each file, all in one call; Compose stops at the first it refuses, so halves find that one."""
        services = {f"s{number}": {"image": "none", "env_file": [paths[number]]} for number in numbers}
        done = self.config({"services": services})
        if done.returncode == 0:
            read = json.loads(done.stdout)["services"]
            return {number: _variables(read[f"s{number}"].get("environment") or {}) for number in numbers}
        if len(numbers) == 1:
            return {numbers[0]: None}
        half = len(numbers) // 2
        return {**self._read(paths, numbers[:half]), **self._read(paths, numbers[half:])}


def _program() -> str:
    """The path of the program behind `docker compose`."""
    done = subprocess.run(
        ["docker", "info", "--format", "{{json .ClientInfo.Plugins}}"], check=True, capture_output=True, text=True
    )
    return next(plugin["Path"] for plugin in json.loads(done.stdout) if plugin["Name"] == "compose")


def _variables(environment: dict[str, str | None]) -> Reading:
    """As a container gets them. One without a name is refused, too: later, by the Engine."""
    if "" in environment:
        return None
    return {name: (value or "").replace("$$", "$") for name, value in environment.items()}


def ours(text: str, shell: dict[str, str]) -> Reading:
    document = parser.parse(text, shell.get)
    return None if document.failed else document.values


def differences(compose: Compose, texts: t.Sequence[str]) -> list[Difference]:
    """The shortest first."""
    mine = [ours(text, compose.shell) for text in texts]
    theirs = compose.readings(texts, [reading is None for reading in mine])
    found = [Difference(*row) for row in zip(texts, mine, theirs) if row[1] != row[2]]
    return sorted(found, key=lambda difference: len(difference.text))
