# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How each peer, and our module as a task, is told to wait for ports or URLs."""

from __future__ import annotations

import itertools
import json
import pathlib
import sys
import typing as t

from benchmarks import peers
from benchmarks.process import Program

_ROOT = pathlib.Path(__file__).resolve().parents[3]


class Commands:
    """Starts waiters, installed when this is made; the files they read go to `folder`.

    Places are `host:port` (kind `tcp`) or URLs (`http`); times are in seconds.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._goss, self._wait_for_it = peers.debian("goss"), peers.debian("wait-for-it")
        self._wait_on = peers.wait_on()

    def goss(self, kind: str, places: list[str], timeout: float, sleep: str = "1s") -> Program:
        """goss; `sleep` is its option, with its default."""
        checks: dict[str, t.Any]
        if kind == "tcp":
            checks = {"addr": {f"tcp://{place}": {"reachable": True, "timeout": 1000} for place in places}}
        else:
            checks = {"http": {place: {"status": 200, "timeout": 1000} for place in places}}
        options = ["--format", "silent", "--sleep", sleep, "--retry-timeout", f"{timeout:g}s"]
        return Program([self._goss, "--gossfile", self._file("goss.yaml", checks), "validate", *options])

    def wait_on(self, kind: str, places: list[str], timeout: float, interval: int = 250) -> Program:
        """wait-on; `interval` (ms) is its option, with its default."""
        resources = [f"tcp:{place}" if kind == "tcp" else place.replace("://", "-get://", 1) for place in places]
        options = ["--interval", str(interval), "--timeout", str(int(timeout * 1000))]
        return Program([self._wait_on, *options, *resources])

    def wait_for_it(self, place: str, timeout: float) -> Program:
        return Program([self._wait_for_it, place, "--strict", f"--timeout={timeout:.0f}"])

    def ansible_wait_for(self, places: list[str], timeout: float) -> Program:
        """A loop of `ansible.builtin.wait_for`."""
        loop = [dict(zip(("host", "port"), place.rsplit(":", 1))) for place in places]
        options = {"host": "{{ item.host }}", "port": "{{ item.port }}", "timeout": int(timeout)}
        return self.task({"ansible.builtin.wait_for": options, "loop": loop})

    def ansible_uri(self, urls: list[str], timeout: float) -> Program:
        """A loop of `ansible.builtin.uri` with the usual `until`: a second for a try, and one until the next."""
        tries = {"register": "answer", "until": "answer.status == 200", "retries": int(timeout / 2), "delay": 1}
        return self.task({"ansible.builtin.uri": {"url": "{{ item }}", "timeout": 1}, "loop": urls, **tries})

    def readiness_wait(self, targets: list[dict[str, t.Any]]) -> Program:
        """Our module, as a task."""
        return self.task({"tria.production.readiness_wait": {"targets": targets, "timeout": 60}})

    def task(self, task: dict[str, t.Any]) -> Program:
        """`ansible-playbook` with one task; JSON is YAML too."""
        playbook = self._file("playbook.yml", [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}])
        env = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_CONFIG": str(_ROOT / "ansible.cfg")}
        here = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
        return Program(["ansible-playbook", *here, playbook], env=env, cwd=_ROOT)

    def _file(self, name: str, content: t.Any) -> str:
        path = self._folder / f"{next(self._numbers)}-{name}"
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)
