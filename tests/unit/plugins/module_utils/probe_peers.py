# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers and targets for the tests of probes: everything on loopback, on free ports, gone after the test."""

from __future__ import annotations

import contextlib
import socket
import threading

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.tria.production.plugins.module_utils import _probes
from ansible_collections.tria.production.plugins.module_utils._probes._base import Session


def entries(*targets):
    """Module options as Ansible would hand them over: validated, with all defaults."""
    validated = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": list(targets)})
    assert not validated.error_messages, validated.error_messages
    return validated.validated_parameters["targets"]


def look(kind, check_mode=False, timeout=2.0, secrets=(), max_ms=None, **options):
    """One observation of one target."""
    target = _probes.parse(entries({"name": "it", "timeout": timeout, "max_ms": max_ms, kind: options}))[0]
    with Session(check_mode, [*secrets, *_probes.secrets_of([target])]) as session:
        return _probes.observe(target, session, timeout)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def server(handle, port=0):
    """Calls `handle(connection)` for each connection, one at a time; yields the port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        number = listener.getsockname()[1]
        closing = threading.Event()

        def serve():
            while True:
                connection, _peer = listener.accept()
                with connection:
                    if closing.is_set():
                        return
                    connection.settimeout(5)
                    try:
                        handle(connection)
                    except OSError:
                        continue  # the probe hung up first

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield number
        finally:
            closing.set()
            socket.create_connection(("127.0.0.1", number)).close()
            thread.join()


def http_server(*answers, requests=None):
    """Answers each request with the next of `answers` (status, body[, headers]), the last one for ever."""
    left = list(answers)

    def handle(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return  # the cheap connect
            data += piece
        head, _sep, body = data.partition(b"\r\n\r\n")
        wanted = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while wanted and len(body) < wanted[0]:
            body += connection.recv(65536)
        if requests is not None:
            requests.append((head.decode(), body.decode()))
        status, text, *headers = left.pop(0) if len(left) > 1 else left[0]
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}", *(headers[0] if headers else [])]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + text).encode())

    return server(handle)


def silence(connection):
    """Accepts and never answers."""
    while connection.recv(65536):
        pass


def drip(connection):
    """A valid answer, a byte at a time, too slowly ever to end."""
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000:
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.05)
