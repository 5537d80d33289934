# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The load, held against real servers that misbehave on purpose: everything is counted, as what it was."""

from __future__ import annotations

import itertools
import socket
import struct
import time

import pytest
from faults import servers
from load import Ask, Load, Request, Result

_GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def _reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _request(connection):
    """Reads one request, whose body may come after its head; false at the connection's end."""
    head, blank, body = b"", b"", b""
    while not blank:
        received = connection.recv(65536)
        if not received:
            return False
        head, blank, body = (head + received).partition(b"\r\n\r\n")
    while b"Content-Length: 2" in head and len(body) < 2:
        body += connection.recv(65536)
    return True


def _answering(*answers, then=None):
    """A server that gives each connection these answers, one to a request, then calls `then(connection)` and closes it.

    None stands for no end of good answers.
    """

    def handle(connection, _closing):
        for answer in itertools.repeat(_GOOD) if answers == (None,) else answers:
            if not _request(connection):
                return
            connection.sendall(answer)
        if then:
            then(connection)

    return servers.server(handle)


def _load(port, count=20, **options):
    """The result of that many requests over two connections."""
    with Load(f"http://127.0.0.1:{port}", count=count, **{"rate": 0, "connections": 2, **options}) as load:
        return load.wait()


def test_all_is_well():
    with _answering(None) as port:
        result = _load(port, 200)
    assert (result.total, result.failed, result.retried, result.kinds) == (200, 0, 0, {})
    assert 0 < result.p50_ms <= result.p99_ms and 0 < result.longest_gap_s < result.ended - result.begun


def test_a_server_that_says_when_it_closes_costs_nothing():
    with _answering(_GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) as port:
        result = _load(port)
    assert (result.total, result.failed, result.retried) == (20, 0, 0)


def _crossed(then=None):
    """A server that reads a second request on each connection and then closes it, as if it had not."""
    return _answering(_GOOD, b"", then=then)


def test_a_connection_that_was_closed_while_idle_is_not_used_again():
    with _answering(_GOOD) as port:
        result = _load(port, 4, connections=1, rate=3, asks=[Ask(method="POST", body="{}")])
    assert (result.total, result.failed, result.retried) == (4, 0, 0)


@pytest.mark.parametrize("then, kind", [(None, "closed"), (_reset, "reset")])
def test_a_request_that_crosses_the_closing_of_its_connection_is_repeated_and_told_of(then, kind):
    with _crossed(then) as port:
        result = _load(port, 30, connections=1)
    assert (result.total, result.failed, result.retried) == (30, 0, 29)
    assert result.kinds == {f"retried: {kind}": 29}


def test_a_post_is_never_sent_twice():
    with _crossed() as port:
        result = _load(port, 10, connections=1, asks=[Ask(method="POST", body="{}")])
    assert (result.total, result.failed, result.retried) == (10, 5, 0)


def test_a_request_is_repeated_once_only():
    """What is repeated finds no answer on its new connection either."""
    turns = itertools.cycle([True, False])

    def handle(connection, _closing):
        if connection.recv(65536) and next(turns):
            connection.sendall(_GOOD)
            connection.recv(65536)

    with servers.server(handle) as port:
        result = _load(port, 10, connections=1)
    assert (result.total, result.failed, result.retried) == (10, 5, 5)
    assert result.kinds == {"closed": 5, "retried: closed": 5}


@pytest.mark.parametrize(
    "answer, kind",
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nhello", "status 502"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", "status 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother", "body"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "cut short"),
        (b"rubbish\r\n\r\n", "BadStatusLine"),
    ],
)
def test_an_answer_that_is_wrong(answer, kind):
    with _answering(answer) as port:
        result = _load(port, 3, asks=[Ask(expect="hello")])
    assert (result.total, result.failed, result.kinds) == (3, 3, {kind: 3})


def test_a_new_connection_that_is_closed_or_reset_fails():
    """Whoever closes a connection at which nothing was ever answered has dropped the request."""
    with _answering(b"") as port:
        assert _load(port, 3).kinds == {"closed": 3}
    with _answering(b"", then=_reset) as port:
        assert _load(port, 3).kinds == {"reset": 3}


def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = _load(unused.getsockname()[1], 4)
    assert result.kinds == {"refused": 4}


def test_no_answer():
    with servers.silent() as port:
        result = _load(port, 2, timeout=0.3)
    assert result.kinds == {"timeout": 2} and result.p50_ms > 250


def test_a_rate_is_kept_and_a_stall_counts_for_all_that_had_to_wait():
    slow = itertools.count()

    def handle(connection, _closing):
        while connection.recv(65536):
            if next(slow) == 20:
                time.sleep(0.5)
            connection.sendall(_GOOD)

    with servers.server(handle) as port:
        result = _load(port, 100, rate=100, connections=1)
    assert result.ended - result.begun > 0.9
    assert sum(1 for request in result.requests if request.seconds > 0.1) > 20
    assert result.longest_gap_s > 0.4


def test_a_rate_that_is_too_high_leaves_requests_out():
    def handle(connection, _closing):
        while _request(connection):
            time.sleep(0.1)
            connection.sendall(_GOOD)

    with servers.server(handle) as port:
        result = _load(port, 1000, rate=200, connections=1, seconds=4)
    assert 0 < result.total < 50 and 1000 < result.percentile_ms(100) < 3000


def test_it_ends_when_told_and_when_its_time_is_over():
    with _answering(None) as port:
        with Load(f"http://127.0.0.1:{port}", rate=50) as load:
            time.sleep(0.5)
            told = load.stop()
        limited = _load(port, 10_000, rate=50, seconds=0.4)
    assert 0 < told.total < 10_000 and 0 < limited.total < 10_000
    assert limited.failed == told.failed == 0


def test_addresses_that_are_none(capfd):
    with pytest.raises(RuntimeError, match="did not start"):
        Load("https://127.0.0.1").start()
    assert "https://127.0.0.1 is not the address" in capfd.readouterr().err


def test_figures_of_a_time():
    """Four seconds, ten requests in each; in the third second all fail and the first of them was repeated."""
    requests = []
    for number in range(40):
        bad = 20 <= number < 30
        failure, repeated = "status 502" if bad else "", "closed" if number == 20 else ""
        requests.append(Request(100.05 + number / 10, 0.2 if bad else 0.01, failure, repeated))
    result = Result(100.0, 104.0, tuple(requests))
    assert (result.total, result.failed, result.retried) == (40, 10, 1)
    assert result.kinds == {"status 502": 10, "retried: closed": 1}
    assert result.longest_gap_s == pytest.approx(1.1)
    assert (result.p50_ms, result.p99_ms) == (pytest.approx(10), pytest.approx(200))
    bad = result.between(102.0, 103.0)
    assert (bad.total, bad.failed, bad.longest_gap_s) == (10, 10, 1.0)
    slots = result.timeline
    assert [slot.failed for slot in slots[19:31]] == [0, *[1] * 10, 0] and sum(slot.total for slot in slots) == 40
    assert slots[20].worst_ms == pytest.approx(200)
    assert "40 requests in 4.0 s, 10 failed, 1 retried (10 status 502, 1 retried: closed), p50 10.0 ms" in str(result)


def test_nothing_was_asked():
    nothing = Result(1.0, 2.0, ())
    assert (nothing.total, nothing.failed, nothing.p99_ms, nothing.longest_gap_s) == (0, 0, 0.0, 1.0)
