# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind tcp, and what every probe has from the network layer."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from probe_peers import free_port, look, server, silence

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _net
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


def test_a_resolver_that_hangs_costs_the_budget_and_one_thread(monkeypatch):
    answer = threading.Event()
    asked = []

    def addresses(host, port):
        asked.append(host)
        answer.wait(10)
        return [(socket.AF_INET, ("127.0.0.1", port))]

    monkeypatch.setattr(_net, "addresses", addresses)
    before = threading.active_count()
    for _attempt in range(3):
        seen = look("tcp", host="slow.example", port=free_port(), timeout=0.2)
        assert seen.phase == "connect" and "slow.example was not resolved within 0.2 s" in seen.message
    for _attempt in range(3):
        with pytest.raises(_base.ProbeFailure):
            _net.look_up("slow.example", 80, Budget(0.05))
    assert asked == ["slow.example"] * 4  # one for each port, however often it was asked for
    answer.set()
    while threading.active_count() > before:
        time.sleep(0.01)
    assert _net.look_up("slow.example", 80, Budget(1)) == [(socket.AF_INET, ("127.0.0.1", 80))]


@pytest.mark.parametrize(
    "host, permanent", [("name.invalid", False), ("a..b", True), ("x" * 64 + ".example", True)]
)
def test_names_that_do_not_resolve(host, permanent):
    seen = look("tcp", host=host, port=80)
    assert (seen.status, seen.phase, seen.permanent) == ("fail", "connect", permanent)
    assert f"the name {host} does not resolve: " in seen.message


def test_a_socket_connected_to_itself_is_refused():
    """Bound to the port it connects to, as the kernel may choose to do by itself."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            _net._connect(sock, sock.getsockname(), Budget(1), 1)
