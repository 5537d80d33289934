# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets whose every operation stays within one attempt's budget. Private to the collection.

A timeout per system call would let a peer that sends a byte now and then hold an attempt for ever.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import select
import socket
import ssl
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes._base import Budget, ProbeFailure

CONNECT = "connect"
TLS = "tls"

_REFUSED = "Nothing listens there: start the service, or correct host and port."
_UNREACHABLE = "Check the address, the network and the firewall between here and there."
_UNKNOWN_HOST = "Correct the host name, or the name server's entry for it."


class Connection(io.RawIOBase):
    """A connected stream socket, optionally under TLS; wrap it in `io.BufferedReader` to read from it."""

    def __init__(self, sock: socket.socket, budget: Budget) -> None:
        super().__init__()
        self._sock = sock
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        return self._repeat(self._sock.recv_into, buffer)

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._repeat(self._sock.send, view):]

    def start_tls(self, context: ssl.SSLContext, server_hostname: str) -> None:
        self._sock = context.wrap_socket(self._sock, server_hostname=server_hostname, do_handshake_on_connect=False)
        self._repeat(self._sock.do_handshake)

    def close(self) -> None:
        self._sock.close()
        super().close()

    def _repeat(self, call: t.Callable[..., t.Any], *args: t.Any) -> t.Any:
        while True:
            try:
                return call(*args)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._budget.wait(self._sock, select.POLLIN if call != self._sock.send else select.POLLOUT)
            except ssl.SSLWantWriteError:
                self._budget.wait(self._sock, select.POLLOUT)


def addresses(host: str, port: int) -> list[tuple[t.Any, t.Any]]:
    """(family, socket address) pairs of a host, both IP versions; raises `socket.gaierror`."""
    return [(info[0], info[4]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def numeric_addresses(host: str | None, port: int) -> list[tuple[t.Any, t.Any]]:
    """As `addresses`, of an IP address or of localhost; [] for every name that would have to be looked up."""
    if host == "localhost":
        return numeric_addresses("127.0.0.1", port) + numeric_addresses("::1", port)
    try:
        found = socket.getaddrinfo(host or "", port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return []
    return [(info[0], info[4]) for info in found] if host else []


def connect(host: str, port: int, budget: Budget) -> Connection:
    """Connects to the first address of `host` that answers; raises `ProbeFailure` in phase `connect`."""
    last: OSError = OSError(errno.EADDRNOTAVAIL, "no address")
    try:
        candidates = addresses(host, port)
    except socket.gaierror as exc:
        raise ProbeFailure(f"the name {host} does not resolve: {exc.strerror}", _UNKNOWN_HOST, CONNECT) from exc
    for left, (family, address) in zip(range(len(candidates), 0, -1), candidates):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            _connect(sock, address, budget, budget.remaining() / left)
            return Connection(sock, budget)
        except OSError as exc:
            sock.close()
            last = exc
        except BaseException:
            sock.close()
            raise
    raise refusal(host, port, last) from last


def refusal(host: str, port: int, exc: OSError) -> ProbeFailure:
    """The failure that a failed connect is."""
    remedy = _REFUSED if isinstance(exc, ConnectionRefusedError) else _UNREACHABLE
    return ProbeFailure(f"cannot connect to {host} port {port}: {exc.strerror or exc}", remedy, CONNECT)


def _connect(sock: socket.socket, address: t.Any, budget: Budget, at_most: float) -> None:
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code == errno.EINPROGRESS:
        budget.wait(sock, select.POLLOUT, at_most=at_most)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


@functools.lru_cache(maxsize=16)  # reading the system's certificates takes tens of milliseconds
def tls_context(validate_certs: bool, ca_path: str | None) -> ssl.SSLContext:
    """A client context; raises `ProbeFailure` when `ca_path` (a file or a directory) cannot be used."""
    try:
        directory = ca_path is not None and os.path.isdir(ca_path)
        context = ssl.create_default_context(
            cafile=None if directory else ca_path, capath=ca_path if directory else None
        )
    except OSError as exc:
        raise ProbeFailure(f"ca_path {ca_path} cannot be read: {exc}", "Correct ca_path.", TLS, permanent=True) from exc
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def start_tls(connection: Connection, server_hostname: str, validate_certs: bool, ca_path: str | None) -> None:
    """The TLS handshake; raises `ProbeFailure` in phase `tls`, permanent when the certificate is not valid."""
    try:
        connection.start_tls(tls_context(validate_certs, ca_path), server_hostname)
    except ssl.SSLCertVerificationError as exc:
        raise ProbeFailure(
            f"the certificate of {server_hostname} is not valid: {exc.verify_message}",
            "Renew the certificate, use the name it was made for, or give its CA in ca_path.", TLS, permanent=True,
        ) from exc
    except OSError as exc:
        raise ProbeFailure(f"TLS handshake with {server_hostname} failed: {exc}", "Does it speak TLS?", TLS) from exc
