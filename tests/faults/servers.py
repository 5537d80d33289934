# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers with a fault; each is a context manager that yields its port."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import typing as t

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_SERVER = """
import http.server
http.server.HTTPServer.request_queue_size = 128
http.server.HTTPServer(("127.0.0.1", {port}), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@contextlib.contextmanager
def server(handle: t.Callable[[socket.socket, threading.Event], None]) -> t.Iterator[int]:
    """Calls `handle(connection, closing)` for each connection, in a thread of its own."""
    closing = threading.Event()
    threads: list[threading.Thread] = []

    def run(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                handle(connection, closing)
            except OSError:
                return  # the waiter hung up first

    def accept() -> None:
        while True:
            connection, _peer = listener.accept()
            if closing.is_set():
                connection.close()
                return
            threads.append(threading.Thread(target=run, args=(connection,)))
            threads[-1].start()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield port
        finally:
            closing.set()
            socket.create_connection(("127.0.0.1", port)).close()
            for thread in [acceptor, *threads]:
                thread.join()


def flapping(good: float, bad: float) -> t.ContextManager[int]:
    """Answers 200 for `good` seconds, then 503 for `bad` seconds, and so on."""
    begun = time.monotonic()

    def handle(connection: socket.socket, _closing: threading.Event) -> None:
        if connection.recv(65536):
            fine = (time.monotonic() - begun) % (good + bad) < good
            connection.sendall(_answer("200 OK" if fine else "503 Service Unavailable"))

    return server(handle)


def silent() -> t.ContextManager[int]:
    """Accepts and never answers."""
    return server(lambda _connection, closing: closing.wait(30) and None)


def dripping() -> t.ContextManager[int]:
    """Sends a valid answer, a byte at a time, too slowly to end."""
    def handle(connection: socket.socket, closing: threading.Event) -> None:
        if connection.recv(65536):
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000:
                connection.sendall(bytes([byte]))
                if closing.wait(0.05):
                    return

    return server(handle)


def resetting() -> t.ContextManager[int]:
    """Accepts and resets the connection."""
    def handle(connection: socket.socket, _closing: threading.Event) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return server(handle)


@contextlib.contextmanager
def distrusted() -> t.Iterator[int]:
    """HTTPS with a certificate that nobody has signed but itself."""
    with tempfile.TemporaryDirectory() as folder:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(pathlib.Path(folder)))

    def handle(connection: socket.socket, _closing: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            if encrypted.recv(65536):
                encrypted.sendall(_answer("200 OK"))

    with server(handle) as port:
        yield port


@contextlib.contextmanager
def stopped() -> t.Iterator[int]:
    """A server that SIGSTOP has stopped: the kernel accepts connections in its name."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", _SERVER.format(port=port)], **quiet) as process:
        try:
            _wait_for_port(port)
            os.kill(process.pid, signal.SIGSTOP)
            yield port
        finally:
            process.kill()


def _wait_for_port(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def _answer(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode()


def _certificate(folder: pathlib.Path) -> pathlib.Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
