# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that behaves as told: `peer_server.py BEHAVIOUR [ARGUMENT…]` prints its port, then serves until killed.

A process of its own can be stopped, and leaves the threads and files of who probes it to count for themselves.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import struct
import sys
import time

BODY = b"Content-Length: 2\r\n\r\nok"
OK = b"HTTP/1.1 200 OK\r\n" + BODY
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\n" + BODY


def good(connection: socket.socket) -> None:
    if connection.recv(65536):
        connection.sendall(OK)


def flap(connection: socket.socket, seconds: str) -> None:
    """Good and bad in turn, each for as many seconds."""
    if connection.recv(65536):
        connection.sendall(UNAVAILABLE if int(time.monotonic() / float(seconds)) % 2 else OK)


def silent(connection: socket.socket) -> None:
    """Accepts and never answers."""
    while connection.recv(65536):
        continue


def drip(connection: socket.socket) -> None:
    """A valid answer, a byte at a time, too slowly ever to end."""
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def reset(connection: socket.socket) -> None:
    """Breaks the connection off when the request is there."""
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def tls(connection: socket.socket, certificate: str) -> None:
    """A good answer behind TLS; `certificate` is a file with the key in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with context.wrap_socket(connection, server_side=True) as secure:
        good(secure)


BEHAVIOURS = {one.__name__: one for one in (good, flap, silent, drip, reset, tls)}


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


class Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            BEHAVIOURS[sys.argv[1]](self.request, *sys.argv[2:])
        except OSError:
            return  # the client hung up first, or did not like the certificate


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
