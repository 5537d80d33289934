# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind redis against scripted servers; the real ones are in the integration tests."""

from __future__ import annotations

import pytest
from probe_peers import look, server, silence


def script(**replies):
    """A server that answers each command with its reply; PING with PONG unless told."""
    kept = {}

    def handle(connection):
        while True:
            data = connection.recv(65536)
            if not data:
                return
            words = data.decode().split("\r\n")[2::2]
            command = words[0].lower()
            if command in replies:
                answer = replies[command]
            elif command == "set":
                kept[words[1]] = words[2]
                answer = "+OK"
            elif command == "get":
                answer = f"${len(kept[words[1]])}\r\n{kept[words[1]]}"
            elif command == "del":
                answer = f":{int(kept.pop(words[1], None) is not None)}"
            else:
                answer = "+PONG"
            connection.sendall(answer.encode() + b"\r\n")

    return server(handle), kept


def test_round_trip_leaves_nothing():
    peer, kept = script()
    with peer as port:
        seen = look("redis", port=port, round_trip=True, login_password="secret", db=3)
    assert seen.status == "pass" and seen.data["round_trip"] is True and kept == {}


def test_check_mode_does_not_write():
    peer, _kept = script(set="-ERR must not be called")
    with peer as port:
        seen = look("redis", check_mode=True, port=port, round_trip=True)
    assert seen.status == "pass" and "round_trip" not in seen.data


@pytest.mark.parametrize(
    "replies, permanent",
    [
        ({"ping": "-LOADING Redis is loading the dataset in memory"}, False),
        ({"ping": "-NOAUTH Authentication required."}, True),
        ({"auth": "-WRONGPASS invalid username-password pair"}, True),
        ({"auth": "-ERR AUTH <password> called without any password configured"}, True),
        ({"select": "-ERR DB index is out of range"}, True),
        ({"set": "-READONLY You can't write against a read only replica."}, False),
        ({"set": "-OOM command not allowed when used memory > 'maxmemory'."}, False),
        ({"get": "$-1"}, False),
        ({"get": "$5\r\nother"}, False),
        ({"ping": "HTTP/1.1 400 Bad Request"}, False),
    ],
)
def test_each_fault_is_found(replies, permanent):
    peer, _kept = script(**replies)
    with peer as port:
        seen = look("redis", port=port, round_trip=True, login_password="secret", db=1)
    assert seen.status == "fail" and seen.permanent is permanent and seen.remedy


def test_silence_and_hanging_up():
    with server(silence) as port:
        assert "no answer within" in look("redis", port=port, timeout=0.3).message
    with server(lambda connection: None) as port:
        assert look("redis", port=port).status == "fail"


def test_the_password_shows_nowhere():
    peer, _kept = script(auth="-ERR secretword is wrong")
    with peer as port:
        assert "secretword" not in str(look("redis", port=port, login_password="secretword"))
