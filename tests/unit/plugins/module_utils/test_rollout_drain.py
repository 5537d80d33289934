# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose connections keep an old container: counted in the kernel's own tables, and for how long they do."""

from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.tria.production.plugins.module_utils._rollout import drain

HEAD = "   0: {} {} {} 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0"
LISTENS = HEAD.format("00000000:1F40", "00000000:0000", "0A")
LISTENS_V6 = HEAD.format("00000000000000000000000000000000:1F40", "00000000000000000000000000000000:0000", "0A")


def row(local, remote, state="01"):
    return HEAD.format(local, remote, state)


@pytest.mark.parametrize(
    "lines, expected",
    [
        ([], 0),
        ([LISTENS], 0),
        ([LISTENS, row("050012AC:1F40", "060012AC:C001"), row("050012AC:1F40", "060012AC:C002")], 2),
        ([LISTENS, row("050012AC:C001", "060012AC:1538")], 0),  # its own, to a database
        ([LISTENS, row("050012AC:1F40", "060012AC:C001", "06")], 0),  # TIME_WAIT
        ([LISTENS, row("0100007F:1F40", "0100007F:C001")], 0),  # its own healthcheck
        ([LISTENS_V6, row("0000000000000000FFFF0000050012AC:1F40", "0000000000000000FFFF0000060012AC:C001")], 1),
        ([LISTENS_V6, row("0000000000000000FFFF00000100007F:1F40", "0000000000000000FFFF00000100007F:C001")], 0),
        ([LISTENS_V6, row("00000000000000000000000001000000:1F40", "00000000000000000000000001000000:C001")], 0),
        ([row("050012AC:1F40", "060012AC:C001")], 0),  # nothing listens there
    ],
)
def test_connections_of_others_to_what_listens(lines, expected):
    assert drain.count_connections(lines) == expected


def test_the_tables_are_those_of_this_kernel():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with open("/proc/self/net/tcp", encoding="ascii") as table:
            states = [line.split()[1:4:2] for line in table.read().splitlines()[1:]]
        assert [f"0100007F:{server.getsockname()[1]:04X}", "0A"] in states


def container(running=True, pid=1):
    return {"Id": "5f2b" * 16, "State": {"Running": running, "Pid": pid}}


def test_nothing_is_told_of_a_process_that_is_not_the_containers():
    assert drain.connections(container(pid=os.getpid())) is None
    assert drain.connections(container(pid=2**22 + 1)) is None
    assert drain.connections(container(running=False, pid=2**22 + 1)) == 0


@pytest.mark.parametrize(
    "count, waited, quiet, expected",
    [
        (0, 0.0, 0.0, False),  # it may still get one
        (0, 2.0, 1.0, True),
        (3, 29.0, 0.0, False),
        (3, 31.0, 0.0, False),  # long ones have more
        (3, 91.0, 0.0, True),
        (None, 29.0, 0.0, False),
        (None, 30.0, 0.0, True),
    ],
)
def test_when_a_container_may_be_told_to_stop(count, waited, quiet, expected):
    leaving = drain.Leaving(container(), drain=30.0, long_drain=60.0, stop_grace_period=10.0)
    assert drain.over(leaving, count, waited, quiet) is expected
    for state in ({"Running": False}, {"Running": True, "Restarting": True}):
        gone = {**container(), "State": {**container()["State"], **state}}
        assert drain.over(leaving._replace(container=gone), count, waited, quiet) is True
