# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind tcp, and what every probe has from the network layer."""

from __future__ import annotations

import socket
import threading
import time

from probe_peers import free_port, look, server, silence

from ansible_collections.tria.production.plugins.module_utils._probes import _net
from ansible_collections.tria.production.plugins.module_utils._probes._base import Budget, Cancelled


def test_open_and_closed_port():
    with server(silence) as port:
        assert look("tcp", port=port).status == "pass"
        assert look("tcp", port=port, host="localhost").status == "pass"
    seen = look("tcp", port=free_port())
    assert (seen.status, seen.phase) == ("fail", "connect")
    assert "Connection refused" in seen.message and seen.remedy


def test_a_full_backlog_is_a_timeout():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fill = [socket.socket() for _number in range(4)]
        for sock in fill:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        begun = time.monotonic()
        seen = look("tcp", port=listener.getsockname()[1], timeout=0.3)
        assert seen.status == "fail" and time.monotonic() - begun < 1
        for sock in fill:
            sock.close()


def test_a_cancelled_attempt_ends_soon():
    cancelled = threading.Event()
    ended = []

    def attempt(port):
        try:
            _net.connect("127.0.0.1", port, Budget(30, cancelled)).readinto(bytearray(1))
        except Cancelled:
            ended.append(time.monotonic())

    with server(silence) as port:
        thread = threading.Thread(target=attempt, args=(port,))
        thread.start()
        time.sleep(0.1)
        begun = time.monotonic()
        cancelled.set()
        thread.join()
    assert ended[0] - begun < 0.5


def test_numeric_addresses():
    assert [address[0] for _family, address in _net.numeric_addresses("localhost", 80)] == ["127.0.0.1", "::1"]
    assert _net.numeric_addresses("name.invalid", 80) == []
    assert _net.numeric_addresses(None, 80) == []
