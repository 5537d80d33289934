# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tasks under way, and the thread that speaks up while they take long. Private to the collection."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
import typing as t

from ansible_collections.tria.production.plugins.plugin_utils._board import Board, note_name
from ansible_collections.tria.production.plugins.plugin_utils._doing import Doing, some
from ansible_collections.tria.production.plugins.plugin_utils._lines import QUIET, Line, one_line, seconds

_FIRST_WORD = 0.5  # s after which a task that may take long says what it does; skipped ones are over by then
_PULSE = 0.25  # s between two looks at the clock
_HOSTS = 4  # named in a line
_PENDING = 5  # targets of a wait named in a line
_WHY = 70  # characters of a reason


@dataclasses.dataclass
class Step:
    """One task on one host. `done` counts a loop's items, `note` is where the task says what it waits for."""

    host: str
    task: str
    doing: Doing
    note: str
    attempts: str = ""
    done: int = 0
    said: bool = False
    started: float = dataclasses.field(default_factory=time.monotonic)
    item_started: float = dataclasses.field(default_factory=time.monotonic)

    def now(self) -> str:
        """What it is at: of a loop, the item whose turn it is."""
        if not self.doing.looped:
            return str(self.doing) if self.doing.verb else f"at: {self.task}"
        left = self.doing.names[self.done : self.done + 1]
        return f"{self.doing._replace(names=left)} ({self.done} of {len(self.doing.names)} done)"


class Live:
    """Begins and ends steps as the callback is told, and says now and then how far they are.

    `write` shows lines; `every` is the silence (s) after which there is a word, 0 for never; `stamped` puts the time of
    day before it. The thread is a daemon, and silent as soon as the run is being cancelled.
    """

    def __init__(self, write: t.Callable[[list[Line]], None], every: float, stamped: bool) -> None:
        self.lock = threading.RLock()  # held while lines that belong together are shown
        self._write = write
        self._every = every
        self._stamped = stamped
        self._steps: dict[str, Step] = {}
        self._spoken = time.monotonic()
        self._over = threading.Event()
        self._several = False
        self._board: Board | None = None
        self._handlers = _handlers()

    def start(self) -> None:
        """Once, from the main thread, before any task is started."""
        if self._every:
            self._board = Board.put_up(self._every)
            threading.Thread(target=self._run, name="live view", daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def spoke(self) -> None:
        """Something was shown: the silence begins anew."""
        self._spoken = time.monotonic()

    def begin(self, host: str, task: t.Any, name: str, doing: Doing, several: bool) -> None:
        """A host does one task at a time."""
        self._several = several
        self._steps[host] = Step(host, name, doing, note_name(task._uuid, host))

    def item(self, host: str) -> float:
        """An item of a loop is done; the seconds it took."""
        step, now = self._steps.get(host), time.monotonic()
        if step is None:
            return 0.0
        took, step.item_started, step.done = now - step.item_started, now, step.done + 1
        return took

    def retry(self, host: str, attempts: str) -> None:
        if host in self._steps:
            self._steps[host].attempts = attempts

    def end(self, host: str) -> Step | None:
        return self._steps.pop(host, None)

    def _run(self) -> None:
        while not self._over.wait(min(_PULSE, self._every / 4)):
            with self.lock:
                if self._over.is_set() or self._cancelled():
                    return
                lines = self._first_words() or self._more_words()
                if lines:
                    self._write(lines)

    def _cancelled(self) -> bool:
        """Ansible answers Ctrl-C and SIGTERM by giving the signal back to the system before it takes the tasks down."""
        return _handlers() != self._handlers

    def _first_words(self) -> list[Line]:
        now = time.monotonic()
        new = [one for one in self._steps.values() if one.doing.verb and not one.said and now - one.started > _FIRST_WORD]
        for one in new:
            one.said = True
            names = self._noted(one).get("names", [])
            if names:
                one.doing = one.doing._replace(names=tuple(map(one_line, names)))
        return self._lines(new, lambda step: str(step.doing))

    def _noted(self, step: Step) -> dict[str, t.Any]:
        return self._board.read(step.note) if self._board else {}

    def _more_words(self) -> list[Line]:
        now = time.monotonic()
        if now - self._spoken < self._every:
            return []
        old = [step for step in self._steps.values() if now - step.started >= min(1.0, self._every)]
        return self._lines(old, lambda step: f"still {self._progress(step, now)}")

    def _progress(self, step: Step, now: float) -> str:
        note = self._noted(step)
        took = seconds(now - step.started)
        attempts = f", {step.attempts}" if step.attempts else ""
        if "trouble" in note:
            return f"{step.now()} · {took} (what is missing cannot be seen: {one_line(note['trouble'])[:_WHY]})"
        if "pending" not in note:
            return f"{step.now()}{attempts} · {took}"
        missing = [f"{one_line(one['name'])} ({one_line(one['why'])[:_WHY]})" for one in note["pending"]]
        missing += ["…"] * note["more"]
        what = f"waiting for {some(missing, _PENDING)}" if missing else "waiting, to be sure that all stay ready"
        return f"{what} · {seconds(min(now - step.started, note['timeout']))} of {seconds(note['timeout'])}"

    def _lines(self, steps: list[Step], text: t.Callable[[Step], str]) -> list[Line]:
        """One line for all hosts that are at the same."""
        hosts: dict[str, list[str]] = {}
        for step in steps:
            hosts.setdefault(text(step), []).append(step.host)
        at = time.strftime("%H:%M:%S ") if self._stamped else ""
        return [
            (f"  … {at}{words}" + (f" [{some(names, _HOSTS)}]" if self._several else ""), QUIET)
            for words, names in hosts.items()
        ]


def _handlers() -> tuple[t.Any, t.Any]:
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
