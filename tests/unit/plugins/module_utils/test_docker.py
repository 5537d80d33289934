# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a real Engine cannot be made to do on demand; the rest is in tests/integration."""

from __future__ import annotations

import socket
import sys

import docker
import pytest

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


class Client:
    """An Engine whose container `gone` is removed between being listed and being inspected."""

    def __init__(self, log=b""):
        self.log = log
        self.filters = None

    def containers(self, all, filters):  # noqa: A002 (the name is the SDK's)
        assert all is True
        self.filters = filters["label"]
        return [{"Id": "b"}, {"Id": "gone"}, {"Id": "a"}]

    def inspect_container(self, container):
        if container == "gone":
            raise docker.errors.NotFound("No such container: gone")
        networks = {"z": {"IPAddress": "10.0.0.9"}, "n": {"IPAddress": "" if container == "a" else "10.0.0.2"}}
        return {
            "Name": f"/{container}",
            "State": {"Running": container == "b"},
            "NetworkSettings": {"Networks": networks},
        }

    def logs(self, container_id, stdout, stderr, tail):
        return self.log


def test_connect_to_nothing(monkeypatch):
    with socket.socket() as refusing, pytest.raises(ProductionError) as raised:
        refusing.bind(("127.0.0.1", 0))  # bound, and never listened on
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{refusing.getsockname()[1]}")
        _docker.connect(timeout=1)
    assert raised.value.culprit == "Docker Engine" and "DOCKER_HOST" in raised.value.remedy


def test_a_missing_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(_deps.MissingLibrary) as raised:
        _docker.connect()
    assert raised.value.as_result()["culprit"] == "docker" and "python3-docker" in raised.value.as_result()["msg"]


def test_a_container_that_vanishes_is_left_out():
    client = Client()
    assert [one["Name"] for one in _docker.compose_containers(client, "tria", "db")] == ["/a", "/b"]
    assert client.filters == [
        "com.docker.compose.project=tria",
        "com.docker.compose.oneoff=False",
        "com.docker.compose.service=db",
    ]


def test_the_address_of_the_first_running_container():
    assert _docker.service_address(Client(), "tria", "db") == "10.0.0.2"


def test_no_address(monkeypatch):
    monkeypatch.setattr(_docker, "compose_containers", lambda client, project, service: [])
    with pytest.raises(ProductionError, match="no running container of project tria"):
        _docker.service_address(Client(), "tria", "db")


def test_log_tail_is_bounded_and_survives_any_bytes():
    assert _docker.log_tail(Client(b"first\nsecond \xff\n"), "a", max_bytes=11) == ["t", "second \ufffd"]
