# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process of listeners that open at a given moment: until then their ports refuse, being bound but not listening.

Prints the ports, waits for a line `<delay> <spread>` (seconds), opens all of them after the delay, one after the other
over the spread, prints when the last one was open (`time.monotonic`), and serves until its standard input ends.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def main(kind: str, count: int) -> None:
    listeners = []
    for _each in range(count):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listeners.append(listener)
    print(json.dumps([listener.getsockname()[1] for listener in listeners]), flush=True)
    delay, spread = (float(word) for word in sys.stdin.readline().split())
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    begun = time.monotonic() + delay
    for number, listener in enumerate(listeners):
        opens = begun + (spread * number / (count - 1) if count > 1 else 0.0)
        while time.monotonic() < opens:
            _serve(selector, kind, opens - time.monotonic())
        listener.listen(128)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, listener)
    print(json.dumps(time.monotonic()), flush=True)
    while _serve(selector, kind, None):
        pass


def _serve(selector: selectors.BaseSelector, kind: str, seconds: float | None) -> bool:
    """Handles what happens within `seconds`; False when nobody needs us any more."""
    for entry, _events in selector.select(seconds if seconds is None else max(0.0, seconds)):
        if entry.fileobj is sys.stdin:
            return False
        if entry.data is entry.fileobj:
            connection, _peer = entry.data.accept()
            selector.register(connection, selectors.EVENT_READ)
        else:
            _answer(selector, kind, entry.fileobj)
    return True


def _answer(selector: selectors.BaseSelector, kind: str, connection: socket.socket) -> None:
    try:
        data = connection.recv(65536)
        if data and kind == "http":
            connection.sendall(_ANSWER)
            data = b""
    except OSError:
        data = b""  # the waiter hung up first
    if not data:
        selector.unregister(connection)
        connection.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
