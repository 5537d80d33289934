# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who holds a TCP port of this host: a process, or a container that publishes it. Private to the collection.

Both have to be asked. A published port may be held by `docker-proxy`, by `dockerd`, or by nothing but a packet filter
rule, so only the Engine API knows whose it is; a process that merely listens is known to /proc alone.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

ANY = ("", "0.0.0.0", "::")
_LISTEN = "0A"
_ENGINE_TIMEOUT_S = 5.0


class Published(t.NamedTuple):
    """One published TCP port of a running container; `project` is empty for one that Compose did not make."""

    host: str
    port: int
    container: str
    project: str


class Listener(t.NamedTuple):
    """A listening socket; `holder` is like `nginx (pid 123)`, or empty when /proc does not tell."""

    host: str
    port: int
    holder: str


def overlap(one: str, other: str) -> bool:
    """Whether two addresses to listen on get into each other's way."""
    return one == other or one in ANY or other in ANY


def published() -> tuple[list[Published], str]:
    """The TCP ports that running containers publish, and why the Engine could not be asked (empty when it could)."""
    try:
        docker = _deps.load("docker")
        with _docker.connect(timeout=_ENGINE_TIMEOUT_S) as client:
            running = client.containers()
    except _deps.MissingLibrary as exc:
        return [], f"the Docker Engine cannot be asked without the Python library {exc.library}"
    except ProductionError as exc:
        return [], f"the Docker Engine {exc.cause}"
    except (docker.errors.DockerException, OSError) as exc:
        return [], f"the Docker Engine does not list its containers: {exc}"
    found = []
    for container in running:
        project = (container.get("Labels") or {}).get(_docker.PROJECT, "")
        name = container["Names"][0].lstrip("/")
        found.extend(
            Published(mapping.get("IP", ""), mapping["PublicPort"], name, project)
            for mapping in container.get("Ports") or []
            if mapping.get("PublicPort") and mapping.get("Type") == "tcp"
        )
    return found, ""


def bind_error(host: str, port: int) -> int:
    """0 when the address can be listened on now, else the `errno` of `bind`. Nothing is ever listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # what every server sets: a connection in TIME_WAIT does not hold a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as exc:
        return exc.errno or errno.EIO
    return 0


def listeners(port: int, proc: str = "/proc") -> list[Listener]:
    """The sockets that listen on a port, from /proc; holders are named as far as this user may see them."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        path = f"{proc}/self/net/{table}"
        if not os.path.exists(path):  # a kernel without IPv6
            continue
        with open(path, encoding="ascii") as lines:
            for fields in (line.split() for line in list(lines)[1:]):
                address, _colon, number = fields[1].rpartition(":")
                if fields[3] == _LISTEN and int(number, 16) == port:
                    sockets[fields[9]] = _address(address)
    holders = _holders(set(sockets), proc) if sockets else {}
    return [Listener(host, port, holders.get(inode, "")) for inode, host in sorted(sockets.items())]


def _address(packed: str) -> str:
    """`0100007F` -> `127.0.0.1`: /proc prints addresses as 32-bit words in the byte order of the machine."""
    words = [int(packed[start : start + 8], 16) for start in range(0, len(packed), 8)]
    raw = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def _holders(inodes: set[str], proc: str) -> dict[str, str]:
    """Socket inode -> `name (pid n)`. The command line is left out on purpose: it may carry a secret."""
    found = {}
    for pid in filter(str.isdigit, os.listdir(proc)):
        try:
            for descriptor in os.listdir(f"{proc}/{pid}/fd"):
                link = os.readlink(f"{proc}/{pid}/fd/{descriptor}")
                if link.startswith("socket:[") and link[8:-1] in inodes:
                    with open(f"{proc}/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                        found.setdefault(link[8:-1], f"{comm.read().strip()} (pid {pid})")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended meanwhile, or another user's
    return found
