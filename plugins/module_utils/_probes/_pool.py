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

    Unlike `concurrent.futures`, one probe stuck in the resolver cannot hold up the end of the process. With `few`, no
    more than that start by themselves, since many threads slow short jobs down; `relieve`, called again and again,
    starts more where jobs wait because others hang.
    """

    def __init__(self, limit: int, few: int | None = None) -> None:
        self._limit = limit
        self._few = limit if few is None else few
        self._jobs: queue.SimpleQueue[t.Any] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._open_jobs = 0
        self._done = 0
        self._done_before = 0
        self._lock = threading.Lock()

    def submit(self, job: t.Callable[..., None], *args: t.Any) -> None:
        with self._lock:
            self._open_jobs += 1
            if self._open_jobs > len(self._threads) and len(self._threads) < self._few:
                self._add()
        self._jobs.put((job, args))

    @property
    def backlog(self) -> int:
        """How many jobs wait for a thread."""
        return max(0, self._open_jobs - len(self._threads))

    def relieve(self) -> None:
        """Starts a thread for each waiting job when none has ended since the last call."""
        with self._lock:
            if self._done == self._done_before:
                for _job in range(min(self.backlog, self._limit - len(self._threads))):
                    self._add()
            self._done_before = self._done

    def close(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for running jobs, then returns; idle threads end."""
        end = time.monotonic() + timeout
        for _thread in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _add(self) -> None:
        thread = threading.Thread(target=self._work, name="probe", daemon=True)
        self._threads.append(thread)
        thread.start()

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
                    self._done += 1
