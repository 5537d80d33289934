# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of the process: hooks in order, SIGTERM and SIGINT, background tasks, running requests finished.

On a signal readiness turns to 503 at once, the application goes on serving for `drain` seconds so that whoever sends
traffic can notice, then listens no more, finishes what runs, and closes its resources, the last opened first.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

_log = logging.getLogger("lifecycle")
_HOOK_SECONDS = 5.0
Hook = Callable[[], Awaitable[None]]


class LifecycleManager:
    """Owns signals, hooks and background tasks. `stopping` is what readiness looks at."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._startup: list[tuple[str, Hook]] = []
        self._shutdown: list[tuple[str, Hook]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_second_signal: Callable[[], None] | None = None

    def install_signal_handlers(self) -> None:
        """Take SIGTERM and SIGINT over."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: signal.Signals) -> None:
        if not self.stopping.is_set():
            _log.info("received %s, shutting down", signal.Signals(number).name)
            self.stopping.set()
        elif self._on_second_signal:
            _log.warning("received %s again, not waiting for running requests", signal.Signals(number).name)
            self._on_second_signal()

    def on_second_signal(self, action: Callable[[], None]) -> None:
        """What to do when somebody insists."""
        self._on_second_signal = action

    def add_startup_hook(self, name: str, hook: Hook) -> None:
        """`run_startup` runs the hooks in the order in which they were added."""
        self._startup.append((name, hook))

    def add_shutdown_hook(self, name: str, hook: Hook) -> None:
        """`run_shutdown` runs the hooks in the reverse order: what was opened last is closed first."""
        self._shutdown.append((name, hook))

    def start_background_task(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside the application until it is done or the application stops."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("background task %s died: %r", task.get_name(), task.exception())

    @property
    def background_tasks(self) -> list[str]:
        """Names of the running background tasks."""
        return sorted(task.get_name() for task in self._tasks)

    async def run_startup(self) -> None:
        """Run the startup hooks; the first that fails ends the startup."""
        for name, hook in self._startup:
            await hook()
            _log.info("startup hook %s done", name)

    async def run_shutdown(self) -> None:
        """Cancel the background tasks, then run every shutdown hook, also when one before it failed."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name, hook in reversed(self._shutdown):
            try:
                await asyncio.wait_for(hook(), _HOOK_SECONDS)
                _log.info("%s closed", name)
            # One resource that cannot be closed must not keep the others open.
            except Exception as error:
                _log.error("%s could not be closed: %r", name, error)

    async def unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run `work`; a signal cancels it. True when it finished, False when it was stopped."""
        running = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if running.done():
            running.result()
            return True
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return False
