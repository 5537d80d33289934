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

_CONNECTED = (0, errno.EISCONN)
_PENDING = (errno.EINPROGRESS, errno.EALREADY)


class Knock(t.NamedTuple):
    """How a connect ended: with a connected socket, which is now the caller's to close, or with an error."""

    key: t.Any
    seconds: float
    sock: t.Optional[socket.socket]
    error: t.Optional[OSError]


class Hub:
    """Non-blocking connects and a mailbox for other threads, waited for together; used as a context manager."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._mail: queue.SimpleQueue[t.Any] = queue.SimpleQueue()
        self._pending: dict[t.Any, _Pending] = {}

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for pending in list(self._pending.values()):
            self._drop(pending)
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

    def connect(self, key: t.Any, addresses: list[tuple[t.Any, t.Any]], timeout: float) -> Knock | None:
        """Connects to all `addresses` at the same time: the first success counts, or else the last error.

        What the kernel knows at once, as it does on this host itself, is the answer; the rest comes by `collect`.
        """
        began = time.monotonic()
        waiting = []
        error: OSError | None = None
        for family, address in addresses:
            sock, code = _begin(family, address)
            if code in _PENDING:
                waiting.append(sock)
            elif code in _CONNECTED:
                for other in waiting:
                    other.close()
                return Knock(key, time.monotonic() - began, sock, None)
            else:
                error = OSError(code, os.strerror(code))
        if not waiting:
            return Knock(key, time.monotonic() - began, None, error)
        pending = self._pending[key] = _Pending(key, began, began + timeout, waiting, error)
        for sock in waiting:
            self._selector.register(sock, selectors.EVENT_WRITE, pending)
        return None

    def collect(self, timeout: float) -> tuple[list[Knock], list[t.Any]]:
        """Waits up to `timeout` s for anything; returns connects that have ended and the mail."""
        if self._pending:
            timeout = min(timeout, min(one.expires for one in self._pending.values()) - time.monotonic())
        knocks = []
        for entry, _events in self._selector.select(max(0.0, timeout)):
            if entry.data is None:
                self._reader.recv(4096)
            elif entry.data.key in self._pending:  # else it has ended with another of its sockets
                knocks += self._advance(entry.data, entry.fileobj)
        now = time.monotonic()
        for pending in [one for one in self._pending.values() if now >= one.expires]:
            self._drop(pending)
            knocks.append(Knock(pending.key, now - pending.began, None, OSError(errno.ETIMEDOUT, "no answer")))
        mail = []
        while not self._mail.empty():
            mail.append(self._mail.get())
        return knocks, mail

    def _advance(self, pending: _Pending, sock: t.Any) -> list[Knock]:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or _self_connected(sock)
        self._selector.unregister(sock)
        pending.sockets.remove(sock)
        if code:
            sock.close()
            pending.error = OSError(code, os.strerror(code))
            if pending.sockets:
                return []
        self._drop(pending)
        error = pending.error if code else None
        return [Knock(pending.key, time.monotonic() - pending.began, None if code else sock, error)]

    def _drop(self, pending: _Pending) -> None:
        for sock in pending.sockets:
            self._selector.unregister(sock)
            sock.close()
        del self._pending[pending.key]


class _Pending:
    def __init__(
        self, key: t.Any, began: float, expires: float, sockets: list[socket.socket], error: OSError | None
    ) -> None:
        self.key = key
        self.began = began
        self.expires = expires
        self.sockets = sockets
        self.error = error


def _begin(family: t.Any, address: t.Any) -> tuple[t.Any, int]:
    """A socket that is connecting or connected (then with code 0), or the error code of one that is closed again."""
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as exc:  # no IPv6 here, or no more files
        return None, exc.errno or errno.EIO
    code = sock.connect_ex(address)
    if code == errno.EINPROGRESS:
        code = sock.connect_ex(address)  # on this host the answer is there by now
    if code in _CONNECTED:
        code = _self_connected(sock)
    if code not in _CONNECTED + _PENDING:
        sock.close()
    return sock, code


def _self_connected(sock: socket.socket) -> int:
    """The code for a socket that the kernel has connected to itself, which happens where nobody listens; else 0."""
    return errno.ECONNREFUSED if sock.getsockname() == sock.getpeername() else 0
