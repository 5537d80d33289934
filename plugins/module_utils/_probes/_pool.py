# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Threads that come with the work and are gone when it is done. Private to the collection."""

from __future__ import annotations

import queue
import threading
import time
import typing as t


class Pool:
    """At most `limit` daemon threads, started when work waits. A job must not raise.

    Unlike `concurrent.futures`, one probe stuck in the resolver cannot hold up the end of the process.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: queue.SimpleQueue[t.Any] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._open_jobs = 0
        self._lock = threading.Lock()

    def submit(self, job: t.Callable[..., None], *args: t.Any) -> None:
        with self._lock:
            self._open_jobs += 1
            if self._open_jobs > len(self._threads) and len(self._threads) < self._limit:
                thread = threading.Thread(target=self._work, name="probe", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._jobs.put((job, args))

    def close(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for running jobs, then returns; idle threads end."""
        end = time.monotonic() + timeout
        for _thread in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        while True:
            item = self._jobs.get()
            if item is None:
                return
            job, args = item
            try:
                job(*args)
            finally:
                with self._lock:
                    self._open_jobs -= 1
