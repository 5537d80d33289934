# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP load on a server, from a process of its own: `Load(url).start()`, `.stop() -> Result`."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys
import typing as t

from load.client import Ask
from load.result import Request, Result

__all__ = ["Ask", "Load", "Request", "Result"]
_FOLDER = pathlib.Path(__file__).resolve().parents[1]


class Load:
    """Requests to `url` over `connections` keep-alive connections, between `start` and `stop`.

    `rate` is how many a second, 0: as many as are answered. `asks` take turns. Limits: `count` requests, `seconds`;
    a request fails after `timeout` s. As a context manager it is ended whatever happens.
    """

    def __init__(
        self, url: str, connections: int = 8, rate: float = 200, asks: t.Sequence[Ask] = (Ask(),),
        timeout: float = 5.0, count: int = 500_000, seconds: float = 1200.0,
    ) -> None:
        self._options = {
            "url": url, "connections": connections, "rate": rate, "asks": [dataclasses.asdict(ask) for ask in asks],
            "timeout": timeout, "count": count, "seconds": seconds,
        }
        self._grace = 3 * timeout + 10
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Load:
        """Returns when the requests have begun."""
        argv = [sys.executable, "-m", "load.generator"]
        self._process = subprocess.Popen(
            argv, cwd=_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._process.stdin.write(json.dumps(self._options) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "started\n":
            self._end()
            raise RuntimeError("the load did not start; its process has said why")
        return self

    def stop(self) -> Result:
        """Ends the load, waits for the answers that are under way, and tells of all."""
        try:
            output, _nothing = self._process.communicate(timeout=self._grace)
        finally:
            self._end()
        return self._result(output)

    def wait(self) -> Result:
        """Waits until a limit is reached, and tells of all."""
        output = self._process.stdout.read()
        self._end()
        return self._result(output)

    def _result(self, output: str) -> Result:
        if not output:
            raise RuntimeError("the load broke off; its process has said why")
        told = json.loads(output)
        requests = sorted((Request(*row) for row in told["requests"]), key=lambda request: request.at)
        return Result(told["begun"], told["ended"], tuple(requests))

    def __enter__(self) -> Load:
        return self.start()

    def __exit__(self, *_raised: object) -> None:
        self._end()

    def _end(self) -> None:
        self._process.kill()  # whoever has told its result is at its end anyway
        for stream in (self._process.stdin, self._process.stdout):
            stream.close()
        self._process.wait()
