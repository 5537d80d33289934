# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `redis`: takes the password, has loaded its data, keeps what is written. Private to the collection.

Speaks the protocol (RESP2) itself: the few commands needed are simpler than the differences between client library
releases, a target needs no library, and every byte stays within the attempt's budget.
"""

from __future__ import annotations

import io
import typing as t
import uuid

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _net

DOCUMENTATION = (
    r"""
redis:
  description: A Redis server that answers C(PING) and is not loading.
  type: dict
  suboptions:
    host:
      description: Host name or address.
      type: str
      default: 127.0.0.1
    port:
      description: Port number.
      type: int
      default: 6379
    db:
      description: Number of the database.
      type: int
      default: 0
    login_user:
      description: ACL user.
      type: str
    login_password:
      description: Password.
      type: str
    tls:
      description: Whether to connect by TLS.
      type: bool
      default: false
    validate_certs:
      description: Whether the server's certificate is verified.
      type: bool
      default: true
    ca_path:
      description: A file or directory with CA certificates to trust instead of the system's.
      type: path
    round_trip:
      description:
        - Also writes, reads and deletes a random key that expires by itself. Left out in check mode.
      type: bool
      default: false
"""
    + _base.COMPOSE_DOCUMENTATION
)
CATEGORY = "Cache"
LIBRARIES = ()
SPEC: dict[str, t.Any] = {
    "options": {
        "host": {"type": "str", "default": "127.0.0.1"},
        "port": {"type": "int", "default": 6379},
        "db": {"type": "int", "default": 0},
        "login_user": {"type": "str"},
        "login_password": {"type": "str", "no_log": True},
        "tls": {"type": "bool", "default": False},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "round_trip": {"type": "bool", "default": False},
        **_base.COMPOSE_OPTIONS,
    },
    "required_together": _base.COMPOSE_TOGETHER,
}

_TTL_SECONDS = 30  # a key that a killed probe leaves behind goes away by itself
_AUTH = "Give the password that the server was started with in login_password."
_PERMANENT = {  # error prefix -> remedy
    "WRONGPASS": _AUTH,
    "NOAUTH": _AUTH,
    "ERR invalid password": _AUTH,
    "ERR AUTH": "The server has no password: leave login_password out, or set requirepass.",
    "ERR Client sent AUTH": "The server has no password: leave login_password out, or set requirepass.",
    "ERR DB index": "Use a database number that the server has.",
    "NOPERM": "Grant the user the commands, or use another one.",
    "DENIED": "The server is in protected mode: set a password, or bind it to the right address.",
}


class _Client:
    """Commands and replies over one connection; raises `ProbeFailure` for an error reply."""

    def __init__(self, connection: _net.Connection) -> None:
        self._connection = connection
        self._reader = io.BufferedReader(connection)

    def call(self, *words: str) -> str | None:
        parts = [word.encode() for word in words]
        lines = [b"*%d" % len(parts)] + [line for part in parts for line in (b"$%d" % len(part), part)]
        self._connection.sendall(b"\r\n".join(lines) + b"\r\n")
        return self._reply(words[0])

    def _reply(self, command: str) -> str | None:
        line = self._reader.readline(4096)
        kind, text = line[:1], line[1:].rstrip(b"\r\n").decode("utf-8", "replace")
        if kind in (b"+", b":"):
            return text
        if kind == b"$" and text == "-1":
            return None
        if kind == b"$" and text.isdigit():
            return self._reader.read(int(text) + 2)[:-2].decode("utf-8", "replace")
        if kind == b"-":
            remedy = next((_PERMANENT[prefix] for prefix in _PERMANENT if text.startswith(prefix)), None)
            raise _base.ProbeFailure(
                f"{command}: {text}", remedy or "See the server's log.", command.lower(), permanent=remedy is not None
            )
        raise _base.ProbeFailure(
            f"{command}: the answer is not Redis: {line[:60]!r}" if line else f"{command}: the connection was closed",
            "Is this port really the Redis server's?",
            command.lower(),
        )


def endpoint(options: dict[str, t.Any]) -> tuple[str, int]:
    return options["host"], options["port"]


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """AUTH, SELECT and PING; with `round_trip`, which check mode leaves out, also SET, GET and DEL of a random key."""
    host, port = attempt.host or options["host"], options["port"]
    data = {"host": host, "port": port, "db": options["db"]}
    with _net.connect(host, port, attempt.budget, attempt.take_socket()) as connection:
        if options["tls"]:
            _net.start_tls(connection, options["host"], options["validate_certs"], options["ca_path"])
        client = _Client(connection)
        if options["login_password"]:
            user = [options["login_user"]] if options["login_user"] else []
            client.call("AUTH", *user, options["login_password"])
        if options["db"]:
            client.call("SELECT", str(options["db"]))
        client.call("PING")
        if options["round_trip"] and not attempt.session.check_mode:
            _round_trip(client)
            data["round_trip"] = True
    return _base.Outcome(f"{host} port {port} answers", data)


def _round_trip(client: _Client) -> None:
    key, value = f"tria:probe:{uuid.uuid4().hex}", uuid.uuid4().hex
    client.call("SET", key, value, "EX", str(_TTL_SECONDS))
    found = client.call("GET", key)
    client.call("DEL", key)
    if found != value:
        raise _base.ProbeFailure(
            "a value just written could not be read back",
            "Look at maxmemory and its policy, and whether this is a replica.",
            "round_trip",
        )
