# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `tcp`: something accepts connections at a port. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _net

DOCUMENTATION = (
    r"""
tcp:
  description: A TCP port that accepts connections.
  type: dict
  suboptions:
    host:
      description: Host name or address.
      type: str
      default: 127.0.0.1
    port:
      description: Port number.
      type: int
      required: true
"""
    + _base.COMPOSE_DOCUMENTATION
)
CATEGORY = "Network"
LIBRARIES = ()
SPEC: dict[str, t.Any] = {
    "options": {
        "host": {"type": "str", "default": "127.0.0.1"},
        "port": {"type": "int", "required": True},
        **_base.COMPOSE_OPTIONS,
    },
    "required_together": _base.COMPOSE_TOGETHER,
}


def endpoint(options: dict[str, t.Any]) -> tuple[str, int]:
    return options["host"], options["port"]


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Connects and hangs up."""
    with _net.connect(attempt.host or options["host"], options["port"], attempt.budget):
        return connected(options, attempt.host)


def connected(options: dict[str, t.Any], host: str | None) -> _base.Outcome:
    host, port = host or options["host"], options["port"]
    return _base.Outcome(f"{host} port {port} accepts connections", {"host": host, "port": port})
