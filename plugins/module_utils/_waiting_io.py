# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What wakes the wait engine: finished connects and messages from its threads, in one selector. Private."""

from __future__ import annotations

import errno
import os
import queue
import selectors
import socket
import time
import typing as t


class Hub:
    """Non-blocking connects and a mailbox for other threads, waited for together; used as a context manager."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._mail: queue.SimpleQueue[t.Any] = queue.SimpleQueue()
        self._connects: dict[t.Any, _Connect] = {}

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for connect in list(self._connects.values()):
            self._drop(connect)
        self._selector.close()
        self._reader.close()
        self._writer.close()

    def post(self, item: t.Any) -> None:
        """Leaves `item` for `collect`; may be called from any thread, even after the hub was closed."""
        self._mail.put(item)
        try:
            self._writer.send(b"!")
        except OSError:
            return  # full: it wakes up anyway; closed: nobody waits any more

    def connect(self, key: t.Any, addresses: list[tuple[t.Any, t.Any]], timeout: float) -> None:
        """Connects to all `addresses` at the same time; `collect` reports the first success, or the last error."""
        connect = _Connect(key, time.monotonic() + timeout)
        self._connects[key] = connect
        for family, address in addresses:
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as exc:  # no IPv6 here
                connect.error = exc
                continue
            sock.setblocking(False)
            code = sock.connect_ex(address)
            if code in (0, errno.EINPROGRESS):
                connect.sockets.append(sock)
                self._selector.register(sock, selectors.EVENT_WRITE, connect)
            else:
                sock.close()
                connect.error = OSError(code, os.strerror(code))

    def collect(self, timeout: float) -> tuple[list[tuple[t.Any, OSError | None]], list[t.Any]]:
        """Waits up to `timeout` s for anything; returns finished connects (key, error or None) and the mail."""
        finished = []
        pending = [connect.expires for connect in self._connects.values()]
        timeout = min([timeout] + [expires - time.monotonic() for expires in pending])
        if any(not connect.sockets for connect in self._connects.values()):
            timeout = 0
        for entry, _events in self._selector.select(max(0.0, timeout)):
            if entry.data is None:
                self._reader.recv(4096)
            elif not entry.data.done:
                self._advance(entry.data, entry.fileobj)
        now = time.monotonic()
        for connect in list(self._connects.values()):
            if not connect.done and not connect.sockets:
                connect.done = True
            elif not connect.done and now >= connect.expires:
                connect.done, connect.error = True, OSError(errno.ETIMEDOUT, "no answer")
            if connect.done:
                finished.append((connect.key, connect.error))
                self._drop(connect)
        mail = []
        while not self._mail.empty():
            mail.append(self._mail.get())
        return finished, mail

    def _advance(self, connect: _Connect, sock: t.Any) -> None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._close(connect, sock)
        if code:
            connect.error = OSError(code, os.strerror(code))
        else:
            connect.done, connect.error = True, None

    def _close(self, connect: _Connect, sock: t.Any) -> None:
        self._selector.unregister(sock)
        connect.sockets.remove(sock)
        sock.close()

    def _drop(self, connect: _Connect) -> None:
        for sock in list(connect.sockets):
            self._close(connect, sock)
        del self._connects[connect.key]


class _Connect:
    def __init__(self, key: t.Any, expires: float) -> None:
        self.key = key
        self.expires = expires
        self.sockets: list[socket.socket] = []
        self.error: OSError | None = None
        self.done = False
