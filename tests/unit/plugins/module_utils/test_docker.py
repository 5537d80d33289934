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

    def __init__(self, log=b"", labels=()):
        self.log = log
        self.labels = dict(labels)
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
            "Id": container,
            "Name": f"/{container}",
            "Config": {"Labels": self.labels},
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
    monkeypatch.setattr(_docker, "service_containers", lambda client, project, service: [])
    with pytest.raises(ProductionError, match="no running container of project tria"):
        _docker.service_address(Client(), "tria", "db")


def test_log_tail_is_bounded_and_survives_any_bytes():
    assert _docker.log_tail(Client(b"first\nsecond \xff\n"), "a", max_bytes=11) == ["t", "second \ufffd"]


def test_log_tail_is_cleaned_before_it_is_cut():
    def clean(text):
        return text.replace("secret", "***")

    assert _docker.log_tail(Client(b"x secret\n"), "a", max_bytes=5, clean=clean) == [" ***"]


# --- Swarm ------------------------------------------------------------------------------------------------------------


class StackClient(Client):
    """An Engine that runs no Compose project: `history` is (task, slot, state, exit code), the newest first."""

    def __init__(self, history, networks=None):
        super().__init__()
        self.history = {task: (slot, state, code) for task, slot, state, code in history}
        self.networks = networks or {}
        self.asked = []

    def containers(self, all, filters):  # noqa: A002 (the name is the SDK's)
        self.asked.append(filters["label"])
        if any(label.startswith(_docker.PROJECT) for label in filters["label"]):
            return []
        return [{"Id": task, "Labels": self.labels_of(task)} for task in self.history]

    def labels_of(self, task):
        slot = self.history[task][0]
        return {
            _docker.STACK: "shop", _docker.STACK_SERVICE: "shop_db", _docker.STACK_TASK: f"shop_db.{slot}.{task}",
        }

    def inspect_container(self, container):
        _slot, state, code = self.history[container]
        return {
            "Id": container,
            "Name": f"/{container}",
            "Config": {"Labels": self.labels_of(container)},
            "State": {"Status": state, "Running": state == "running", "ExitCode": code, "OOMKilled": False},
            "NetworkSettings": {"Networks": {"shop_default": {"IPAddress": "10.0.1.6"}, **self.networks}},
        }

    def inspect_network(self, name):
        assert name == "docker_gwbridge"
        return {"Containers": {"new": {"IPv4Address": "172.19.0.3/16"}}}


def test_of_a_stacks_service_the_newest_container_of_each_slot_counts_and_what_failed_before():
    history = [
        ("new", 1, "running", 0), ("other", 2, "running", 0), ("failed", 1, "exited", 3), ("updated", 2, "exited", 143),
    ]
    client = StackClient(history)
    assert [one["Id"] for one in _docker.service_containers(client, "shop", "db")] == ["new", "failed", "other"]
    assert client.asked[1] == ["com.docker.stack.namespace=shop", "com.docker.swarm.service.name=shop_db"]


def test_compose_containers_cost_no_second_request():
    client = Client(labels={_docker.PROJECT: "tria"})
    _docker.service_containers(client, "tria", "db")
    assert client.filters[0] == "com.docker.compose.project=tria"


def test_a_stacks_containers_are_reached_by_the_gateway_network():
    assert _docker.service_address(StackClient([("new", 1, "running", 0)]), "shop", "db") == "172.19.0.3"
    on_host = StackClient([("new", 1, "running", 0)], {"host": {"IPAddress": ""}})
    assert _docker.service_address(on_host, "shop", "db") == "127.0.0.1"
    with pytest.raises(ProductionError, match="has an address"):
        _docker.service_address(StackClient([("internal", 1, "running", 0)]), "shop", "db")


def test_the_service_that_labels_name():
    assert _docker.service_of({_docker.PROJECT: "tria", _docker.SERVICE: "db"}) == ("tria", "db")
    assert _docker.service_of({_docker.STACK: "my_shop", _docker.STACK_SERVICE: "my_shop_db"}) == ("my_shop", "db")
    assert _docker.service_of({"name": "alone"}) is None
