# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers: seconds from an application's readiness, and from its end, until a waiter returns."""

from __future__ import annotations

import random
import typing as t

from benchmarks.readiness import ours
from benchmarks.readiness.stack import SERVICE, Stack

_PORT = 8000
_TIMEOUT = 30
# Each tells its moment by the clock that containers share with this machine.
_OPENS = """
import socket, time
listener = socket.socket()
listener.bind(("", {port}))
time.sleep({delay})
listener.listen(64)
print(time.monotonic(), flush=True)
while True:
    listener.accept()[0].close()
"""
_ENDS = """
import os, time
time.sleep({delay})
print(time.monotonic(), flush=True)
os._exit(3)
"""
_CONNECTS = f"import socket; socket.create_connection(('127.0.0.1', {_PORT}), 1)"

# Starts the waiter on a stack; it answers with when the waiter returned and whether it said `ready`.
Start = t.Callable[[Stack, t.List[t.Dict[str, t.Any]]], t.Tuple[float, bool]]


def start_ours(stack: Stack, targets: list[dict[str, t.Any]]) -> tuple[float, bool]:
    stack.up()
    answer = ours.answer(ours.start(targets, timeout=_TIMEOUT).finish())
    return answer.returned, answer.ready


def start_compose(stack: Stack, targets: list[dict[str, t.Any]]) -> tuple[float, bool]:
    ended = stack.up_wait(_TIMEOUT).finish()
    return ended.at, ended.code == 0


def readiness(start: Start) -> float:
    """An application in a container opens its port; Compose looks by a healthcheck of the usual second."""
    check = _check("python3", "-c", _CONNECTS)
    return _seconds(start, _OPENS, True, check, lambda place: {"tcp": {**place, "port": _PORT}})


def failure(start: Start) -> float:
    """A container that is being waited for ends."""
    return _seconds(start, _ENDS, False, _check("false"), lambda place: {"container": place})


def _check(*command: str) -> dict[str, t.Any]:
    return {"test": ["CMD", *command], "interval": "1s", "start_period": "30s", "start_interval": "1s"}


def _seconds(
    start: Start,
    program: str,
    ready: bool,
    check: dict[str, t.Any],
    target: t.Callable[[dict[str, str]], dict[str, t.Any]],
) -> float:
    code = program.format(port=_PORT, delay=random.uniform(1.5, 3.0))
    with Stack({"command": ["python3", "-c", code], "healthcheck": check}) as stack:
        place = {"project": stack.project, "service": SERVICE}
        returned, said = start(stack, [{"name": "app", **target(place)}])
        moments = stack.log().split()
        if said != ready or not moments:
            raise RuntimeError(f"{start.__name__}: said ready={said} of an application that is ready={ready}")
        return returned - float(moments[0])
