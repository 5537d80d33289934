# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`invert`: gone is only what is not there at all."""

from __future__ import annotations

import socket
import threading

import pytest
from probe_peers import free_port, http_server, look, server, silence
from waiting_peers import http, refused, tcp, wait

from ansible_collections.tria.production.plugins.module_utils import _probes, _result
from ansible_collections.tria.production.plugins.module_utils._probes import _compose, _net


def test_a_closed_port_is_gone_at_once():
    found = wait(tcp(free_port(), invert=True))
    result = found["results"][0]
    assert found["overall_status"] == "healthy" and found["elapsed"] < 0.5
    assert result["status"] == "pass" and result["message"].startswith("gone: cannot connect to 127.0.0.1")


def test_a_port_that_closes_later():
    listener = socket.create_server(("127.0.0.1", 0))
    timer = threading.Timer(0.4, listener.close)
    timer.start()
    found = wait(tcp(listener.getsockname()[1], invert=True))
    timer.join()
    assert 0.3 < found["elapsed"] < 2
    assert [one["status"] for one in found["results"][0]["data"]["timeline"]] == ["fail", "pass"]


def test_a_port_that_stays_open_is_still_there():
    with http_server((200, "x")) as port:
        error = refused(tcp(port, invert=True), timeout=0.3)
    assert "still there: 127.0.0.1 port" in error.cause and error.details["phase"] == "invert"


@pytest.mark.parametrize("answer", [(503, "bad"), (401, "who?")])
def test_what_answers_badly_is_still_there(answer):
    with http_server(answer) as port:
        assert f"still there: status {answer[0]}" in refused(http(port, invert=True), timeout=0.3).cause


def test_what_hangs_is_still_there():
    with server(silence) as port:
        assert "still there: no answer within" in refused(http(port, invert=True), timeout=0.4).cause


def test_gone_has_to_last_too(monkeypatch):
    gone = _probes.Observation(_result.PASS, "gone: x")
    back = _probes.Observation(_result.FAIL, "still there: x", phase="invert")
    left = [gone, back, gone]
    monkeypatch.setattr(_probes, "observe", lambda *_args: left.pop(0) if len(left) > 1 else left[0])
    monkeypatch.setattr(_probes, "known_addresses", lambda target, memory: [])
    found = wait(tcp(1, invert=True), stable_for=0.2)
    assert found["results"][0]["data"]["flaps"] == 1


@pytest.mark.parametrize("status", [_result.ERROR, _result.SKIP])
def test_what_could_not_be_looked_at_is_not_gone(status):
    seen = _probes.Observation(status, "no idea", gone=True)
    assert seen.inverted() is seen


def test_a_name_that_does_not_resolve_is_gone_but_a_silent_peer_is_not():
    assert look("tcp", host="no-such-host.invalid", port=1).phase == _net.CONNECT
    assert _net.refusal("h", 1, ConnectionRefusedError(111, "refused")).gone
    assert not _net.refusal("h", 1, TimeoutError(110, "timed out")).gone


def fault(status):
    container = {"Id": "c", "Name": "/c", "State": {"Status": status, "ExitCode": 0}, "RestartCount": 0}
    return _compose.Fault(container, f"container c is {status}")


def test_containers_are_gone_when_each_of_them_has_ended():
    assert _compose.failure([fault("exited"), fault("dead")], {}).gone
    assert not _compose.failure([fault("exited"), fault("running")], {}).gone
    assert not _compose.failure([fault("exited")], {}, ready=[{"Id": "other"}]).gone
    assert _compose.absent("shop", "app").gone
