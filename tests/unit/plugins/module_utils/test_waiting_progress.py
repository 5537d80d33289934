# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a wait writes down while it waits: true, private, seldom, and gone at the end."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from probe_peers import entries, free_port
from waiting_peers import http, tcp

from ansible_collections.tria.production.plugins.module_utils import _probes, _waiting
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes._base import Session
from ansible_collections.tria.production.plugins.module_utils._waiting_progress import Progress
from ansible_collections.tria.production.plugins.module_utils._waiting_watch import Settings, Watch


def wait(progress: pathlib.Path, timeout: float, *targets: dict) -> None:
    _waiting.wait(entries(*targets), Settings(timeout=timeout), progress=str(progress))


class Looker(threading.Thread):
    """Collects every state of a file, with its mode, as fast as it can."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(daemon=True)
        self.path, self.over, self.states, self.modes = path, threading.Event(), {}, set()

    def run(self) -> None:
        while not self.over.wait(0.005):
            with contextlib.suppress(FileNotFoundError):
                content = self.path.read_text(encoding="utf-8")
                self.modes.add(self.path.stat().st_mode & 0o7777)
                if content:  # the first one is made before it is filled
                    self.states.setdefault(content, time.monotonic())


@pytest.fixture
def looker(tmp_path: pathlib.Path):
    looker = Looker(tmp_path / "progress")
    looker.start()
    yield looker
    looker.over.set()
    looker.join()


def test_it_names_what_is_missing_at_most_once_a_second(looker: Looker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = free_port()
        with pytest.raises(ProductionError):
            wait(looker.path, 3.5, tcp(there.getsockname()[1], "there"), tcp(port, "late"))

    states = [json.loads(state) for state in looker.states]
    assert len(states) == 3 and looker.modes == {0o600}
    why = f"cannot connect to 127.0.0.1 port {port}: Connection refused"
    assert all(state["pending"] == [{"name": "late", "why": why}] and state["timeout"] == 3.5 for state in states)
    times = list(looker.states.values())
    assert all(after - before > 0.9 for before, after in zip(times, times[1:]))
    assert list(looker.path.parent.iterdir()) == []


def test_a_short_wait_writes_nothing(looker: Looker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        wait(looker.path, 5, tcp(there.getsockname()[1]))
    assert not looker.states and not looker.modes


def test_a_wait_in_which_nothing_happens_is_written_down_too(looker: Looker) -> None:
    """An attempt that hangs wakes nobody up."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        with pytest.raises(ProductionError):
            wait(looker.path, 2.5, http(mute.getsockname()[1], "mute"))
    assert [json.loads(state)["pending"] for state in looker.states] == [[{"name": "mute", "why": "no answer yet"}]] * 2


@pytest.mark.parametrize("planted", ["progress", "progress.new"])
def test_what_was_there_before_is_not_touched(tmp_path: pathlib.Path, planted: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    (tmp_path / planted).symlink_to(victim)
    with pytest.raises(ProductionError):
        wait(tmp_path / "progress", 1.5, tcp(free_port()))
    assert victim.read_text(encoding="utf-8") == "precious" and (tmp_path / planted).is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["victim", planted])


def test_a_file_that_cannot_be_written_does_not_harm_the_wait(tmp_path: pathlib.Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ProductionError, match="not ready within"):
        wait(tmp_path / "no" / "folder", 1.5, tcp(free_port()))
    assert time.monotonic() - begun < 2.5


def test_no_secret_and_no_control_character_is_written(tmp_path: pathlib.Path) -> None:
    settings = Settings(timeout=5)
    with Session(secrets=["hunter22"]) as session, Progress(str(tmp_path / "progress"), 5, session) as progress:
        watch = Watch(_probes.parse(entries(tcp(1, "api")))[0], settings, time.monotonic())
        watch.seen = _probes.Observation("fail", "refused \x1b[31mhunter22")
        progress.due = 0.0
        progress.note([watch])
        [pending] = json.loads((tmp_path / "progress").read_text(encoding="utf-8"))["pending"]
    assert pending == {"name": "api", "why": "refused ********"}


def test_it_is_removed_when_the_wait_is_ended_from_outside(tmp_path: pathlib.Path) -> None:
    program = (
        "from ansible_collections.tria.production.plugins.module_utils import _waiting\n"
        f"entries = {entries(tcp(free_port()))!r}\n"
        f"_waiting.wait(entries, _waiting.Settings(timeout=30), progress={str(tmp_path / 'progress')!r})\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / "progress").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM and list(tmp_path.iterdir()) == []
