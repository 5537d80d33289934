# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connects and mail in one selector, and threads that come with the work."""

from __future__ import annotations

import errno
import socket
import threading
import time

import pytest
from probe_peers import free_port

from ansible_collections.tria.production.plugins.module_utils import _waiting_io
from ansible_collections.tria.production.plugins.module_utils._probes._pool import Pool


@pytest.fixture
def sockets(monkeypatch):
    """Every socket made during the test. Counting open files instead would count a late look-up of another test."""
    made = []

    class Noted(socket.socket):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(socket, "socket", Noted)
    return made


@pytest.fixture
def hub(sockets):
    with _waiting_io.Hub() as hub:
        yield hub
    assert len(sockets) >= 2 and {one.fileno() for one in sockets} == {-1}


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def v4(port):
    return [(socket.AF_INET, ("127.0.0.1", port))]


def ended(hub, knock):
    """The end of a connect, whether it came at once or has to be waited for."""
    while knock is None:
        knocks, _mail = hub.collect(1.0)
        knock = knocks[0] if knocks else None
    return knock


def test_an_open_port(hub, listener):
    knock = ended(hub, hub.connect("key", v4(listener.getsockname()[1]), 1.0))
    assert knock.key == "key" and knock.error is None and 0 <= knock.seconds < 1
    accepted, _peer = listener.accept()
    knock.sock.send(b"hello")
    assert accepted.recv(9) == b"hello"
    knock.sock.close()
    accepted.close()


def test_a_closed_port(hub):
    knock = ended(hub, hub.connect("key", v4(free_port()), 1.0))
    assert knock.sock is None and knock.error.errno == errno.ECONNREFUSED


def test_either_address_will_do(hub, listener):
    port = listener.getsockname()[1]
    for addresses in (v4(port) + v4(free_port()), v4(free_port()) + v4(port)):
        knock = ended(hub, hub.connect("key", addresses, 1.0))
        assert knock.error is None
        knock.sock.close()


def test_a_full_backlog_ends_with_the_timeout(hub):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        port = busy.getsockname()[1]
        held = [socket.socket() for _number in range(4)]
        for sock in held:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        begun = time.monotonic()
        assert hub.connect("key", v4(port), 0.2) is None
        knock = ended(hub, None)
        assert knock.error.errno == errno.ETIMEDOUT and 0.15 < time.monotonic() - begun < 1
        for sock in held:
            sock.close()


def test_what_is_pending_is_closed_with_the_hub(sockets):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        with _waiting_io.Hub() as hub:
            held = [hub.connect(number, v4(busy.getsockname()[1]), 5.0) for number in range(4)]
            assert None in held
        for knock in held:
            if knock is not None:
                knock.sock.close()
    assert len(sockets) >= 7 and {one.fileno() for one in sockets} == {-1}


def test_a_socket_that_the_kernel_connects_to_itself_is_no_listener(hub):
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        own.connect(own.getsockname())
        assert _waiting_io._self_connected(own) == errno.ECONNREFUSED
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_connection(other.getsockname()) as sock:
        assert _waiting_io._self_connected(sock) == 0


def test_mail_wakes_the_selector(hub):
    timer = threading.Timer(0.05, hub.post, ("letter",))
    begun = time.monotonic()
    timer.start()
    mail = []
    while not mail:
        _knocks, mail = hub.collect(5.0)
    timer.join()
    assert mail == ["letter"] and time.monotonic() - begun < 2


def test_post_after_the_end_is_no_error():
    with _waiting_io.Hub() as hub:
        hub.post("early")
    hub.post("late")


def test_few_threads_for_short_jobs_and_more_when_they_hang():
    pool, release, done = Pool(40, few=8), threading.Event(), []
    for _number in range(30):
        pool.submit(lambda: release.wait(5))
    few = len(pool._threads)
    for number in range(5):
        pool.submit(done.append, number)
    assert few == 8 and pool.backlog == 27
    pool.relieve()  # nothing has ended since the pool began: each waiting job gets a thread of its own
    end = time.monotonic() + 5
    while len(done) < 5 and time.monotonic() < end:
        time.sleep(0.01)
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert len(pool._threads) <= 40
    release.set()
    pool.close(timeout=2.0)
    assert not any(thread.is_alive() for thread in pool._threads)


def test_relieve_leaves_a_pool_alone_that_gets_on():
    pool, finished = Pool(40, few=8), threading.Event()
    release = threading.Event()
    pool.submit(finished.set)
    finished.wait(5)
    for _number in range(20):
        pool.submit(release.wait, 5)
    while pool._done < 1:
        time.sleep(0.001)
    before = len(pool._threads)
    pool.relieve()  # one has ended since the last call
    assert len(pool._threads) == before
    release.set()
    pool.close(timeout=2.0)
