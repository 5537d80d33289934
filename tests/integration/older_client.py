# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy in front of a PostgreSQL server that has it say it is of a newer version than any client."""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import threading
import typing as t

_VERSION = re.compile(rb"(server_version\0)\d\d(\.)")  # in the message ParameterStatus; the length stays the same


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with socket.create_connection((self.server.upstream, 5432)) as upstream:
            up = threading.Thread(target=_pass_on, args=(self.request, upstream, bytes))
            up.start()
            _pass_on(upstream, self.request, lambda data: _VERSION.sub(rb"\g<1>99\2", data))
            up.join()


def _pass_on(source: socket.socket, target: socket.socket, change: t.Callable[[bytes], bytes]) -> None:
    with contextlib.suppress(OSError):  # whoever hangs up first
        while data := source.recv(65536):
            target.sendall(change(data))
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def newer_server(address: str) -> t.Iterator[tuple[str, int]]:
    """The host and port of the proxy in front of the server at `address`, for clients that do without encryption."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as proxy:
        proxy.upstream = address
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield proxy.server_address
        finally:
            proxy.shutdown()
            thread.join()
