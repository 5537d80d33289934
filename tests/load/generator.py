# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process that makes the load (`python -m load.generator`); `load.Load` starts it.

Reads one line of options as JSON, writes "started", and asks until its standard input ends or a limit is reached. Then
it writes when it began and ended (monotonic clock) and what became of every request: [when it was due, seconds until
its end, failure, why it was repeated].
"""

from __future__ import annotations

import itertools
import json
import select
import sys
import threading
import time
import typing as t

from load.client import Ask, Client

_BEHIND = 1.0  # s
_Row = tuple[float, float, str, str]


class Generator:
    """`connections` clients, each in a thread of its own.

    With a `rate` (requests a second, of all clients together) every request has a moment at which it is due, and its
    time counts from then: a server that holds one request up holds up the next ones too. A client that is further behind
    than `_BEHIND` leaves out the rest, so that a rate that is too high shows as few requests, not as endless times.
    Without a rate a client asks again as soon as it has its answer.
    """

    def __init__(
        self, url: str, asks: list[dict[str, t.Any]], connections: int, rate: float, timeout: float, count: int,
        seconds: float,
    ) -> None:
        self._clients = [Client(url, timeout) for _each in range(connections)]
        self._asks = itertools.cycle([Ask(**ask) for ask in asks])
        self._rate = rate
        self._left = count
        self._seconds = seconds
        self._next = threading.Lock()
        self._stop = threading.Event()
        self._rows: list[_Row] = []

    def run(self, until: t.TextIO) -> dict[str, t.Any]:
        """Asks until `until` has something to read or ends, or a limit is reached."""
        begun = time.monotonic()
        threads = [
            threading.Thread(target=self._work, args=(number, client, begun))
            for number, client in enumerate(self._clients)
        ]
        for thread in threads:
            thread.start()
        end = begun + self._seconds
        while time.monotonic() < end and any(thread.is_alive() for thread in threads):
            if select.select([until], [], [], 0.1)[0]:
                break
        self._stop.set()
        ended = time.monotonic()
        for thread in threads:
            thread.join()
        return {"begun": begun, "ended": ended, "requests": self._rows}

    def _work(self, number: int, client: Client, begun: float) -> None:
        interval = len(self._clients) / self._rate if self._rate else 0.0
        due = begun + interval * number / len(self._clients)
        while True:
            due = max(due, time.monotonic() - (_BEHIND if self._rate else 0.0))
            if self._stop.wait(max(0.0, due - time.monotonic())):
                break
            with self._next:
                if not self._left:
                    break
                self._left -= 1
                ask = next(self._asks)
            failure, repeated = client.ask(ask)
            self._rows.append((due, time.monotonic() - due, failure, repeated))
            due += interval
        client.close()


def main() -> None:
    generator = Generator(**json.loads(sys.stdin.readline()))
    print("started", flush=True)
    json.dump(generator.run(sys.stdin), sys.stdout)


if __name__ == "__main__":
    main()
