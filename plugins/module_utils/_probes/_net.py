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
import threading
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes._base import SLICE, Budget, ProbeFailure

CONNECT = "connect"
TLS = "tls"

_REFUSED = "Nothing listens there: start the service, or correct host and port."
_UNREACHABLE = "Check the address, the network and the firewall between here and there."
_UNKNOWN_HOST = "Correct the host name, or the name server's entry for it."
_NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)  # no answer at all can have other reasons
_SILENT_RESOLVER = "Look at the name servers in /etc/resolv.conf: they do not answer."


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

    def start_tls(self, context: ssl.SSLContext, server_hostname: str) -> ssl.SSLSocket:
        """The handshake; returns the socket, which knows what was agreed on and the peer's certificate."""
        self._sock = context.wrap_socket(self._sock, server_hostname=server_hostname, do_handshake_on_connect=False)
        self._repeat(self._sock.do_handshake)
        return self._sock

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
    except (socket.gaierror, UnicodeError):
        return []
    return [(info[0], info[4]) for info in found] if host else []


class _Lookup(threading.Thread):
    """One call of the resolver, which nothing can interrupt; whoever asks for the same meanwhile waits for this one."""

    running: dict[tuple[str, int], _Lookup] = {}
    lock = threading.Lock()

    def __init__(self, host: str, port: int) -> None:
        super().__init__(name="resolver", daemon=True)
        self.key = (host, port)
        self.found: list[tuple[t.Any, t.Any]] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.found = addresses(*self.key)
        except (OSError, UnicodeError) as exc:
            self.error = exc
        with self.lock:
            del self.running[self.key]

    @classmethod
    def of(cls, host: str, port: int) -> _Lookup:
        with cls.lock:
            lookup = cls.running.get((host, port))
            if lookup is None:
                lookup = cls(host, port)
                lookup.start()
                cls.running[lookup.key] = lookup
            return lookup


def look_up(host: str, port: int, budget: Budget) -> list[tuple[t.Any, t.Any]]:
    """As `addresses`, within the budget; raises `ProbeFailure` in phase `connect`."""
    found = numeric_addresses(host, port)
    if found:
        return found
    lookup = _Lookup.of(host, port)
    while lookup.is_alive():
        try:
            lookup.join(min(SLICE, budget.remaining()))
        except TimeoutError as exc:
            told = f"the name {host} was not resolved within {budget.seconds:.3g} s"
            raise ProbeFailure(told, _SILENT_RESOLVER, CONNECT) from exc
    if lookup.error is not None:
        reason = getattr(lookup.error, "strerror", None) or lookup.error
        gone = getattr(lookup.error, "errno", None) == socket.EAI_NONAME
        told = f"the name {host} does not resolve: {reason}"
        impossible = isinstance(lookup.error, UnicodeError)
        raise ProbeFailure(told, _UNKNOWN_HOST, CONNECT, permanent=impossible, gone=gone) from lookup.error
    return lookup.found


def connect(host: str, port: int, budget: Budget, sock: socket.socket | None = None) -> Connection:
    """Connects to the first address of `host` that answers, unless `sock` is connected to it already.

    Raises `ProbeFailure` in phase `connect`.
    """
    if sock is not None:
        return Connection(sock, budget)
    last: OSError = OSError(errno.EADDRNOTAVAIL, "no address")
    candidates = look_up(host, port, budget)
    for left, (family, address) in zip(range(len(candidates), 0, -1), candidates):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as exc:  # no IPv6 here
            last = exc
            continue
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
    told = f"cannot connect to {host} port {port}: {exc.strerror or exc}"
    return ProbeFailure(told, remedy, CONNECT, gone=exc.errno in _NOBODY_THERE)


def _connect(sock: socket.socket, address: t.Any, budget: Budget, at_most: float) -> None:
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code == errno.EINPROGRESS:
        budget.wait(sock, select.POLLOUT, at_most=at_most)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if not code and sock.getsockname()[:2] == address[:2]:
        # The kernel chose the very port we asked for as our own and connected the socket to itself: nobody listens.
        code = errno.ECONNREFUSED
    if code:
        raise OSError(code, os.strerror(code))


@functools.lru_cache(maxsize=16)  # reading the system's certificates takes tens of milliseconds
def tls_context(validate_certs: bool, ca_path: str | None, min_version: str = "TLSv1.2") -> ssl.SSLContext:
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
    context.minimum_version = ssl.TLSVersion[min_version.replace(".", "_")]
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
