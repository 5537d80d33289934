# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Short words for the tests of the wait engine: waits that may leave nothing behind, late ports, scripted targets."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest
from probe_peers import entries

from ansible_collections.tria.production.plugins.module_utils import _probes, _result, _waiting
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def resources():
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def left_behind(before):
    """Whether more threads or files are there than before; a test's own server may need a moment to hang up."""
    for _attempt in range(50):
        if all(now <= then for now, then in zip(resources(), before)):
            return False
        time.sleep(0.02)
    return True


def wait(*targets, timeout=10.0, secrets=(), check_mode=False, **settings):
    before = resources()
    try:
        return _waiting.wait(entries(*targets), _waiting.Settings(timeout, **settings), secrets, check_mode)
    finally:
        assert not left_behind(before)


def refused(*targets, **settings):
    with pytest.raises(ProductionError) as caught:
        wait(*targets, **settings)
    return caught.value


def http(port, name="api", **options):
    return {"name": name, "http": {"url": f"http://127.0.0.1:{port}/"}, **options}


def tcp(port, name="port", **options):
    return {"name": name, "tcp": {"port": port}, **options}


class Late:
    """A port that begins to accept connections after `delay` seconds and remembers when."""

    def __init__(self, delay):
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.opened = 0.0
        self._timer = threading.Timer(delay, self._open)

    def _open(self):
        self.opened = time.monotonic()
        self._socket.listen(64)

    def __enter__(self):
        self._timer.start()
        return self

    def __exit__(self, *exc_info):
        self._timer.join()
        self._socket.close()


def scripted(monkeypatch, *observations):
    """Makes kind tcp answer with these observations, the last one for ever, without any connect."""
    left = list(observations)

    def observe(*_args):
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(_probes, "observe", observe)
    monkeypatch.setattr(_probes, "known_addresses", lambda target, memory: [])


GOOD = _probes.Observation(_result.PASS, "good")
BAD = _probes.Observation(_result.FAIL, "not yet", "Wait.", phase="answer")
FINAL = _probes.Observation(_result.FAIL, "never", "Correct it.", phase="login", permanent=True)
