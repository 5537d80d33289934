# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reference stack on several hosts: what each runs, in which order they are taken, how requests are spread."""

from __future__ import annotations

import functools
import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
import time

import pytest
import yaml
from ansible.utils.vars import merge_hash
from ansible_collections.tria.production.plugins.module_utils import _compose
from deployed_stack import EXAMPLE, ROOT

FILES = ["compose.yaml", "compose.hosts.yaml", "compose.hosts.tls.yaml"]
HOSTS = {
    "data": {"postgres", "redis", "migrate"},
    "app": {"backend", "edge"},
    "edge": {"balancer"},
}


# --- what a host runs -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def merged():
    """The Compose files as the role `stack` reads them."""
    parsed = [yaml.safe_load((EXAMPLE / name).read_text(encoding="utf-8")) for name in FILES]
    return functools.reduce(functools.partial(merge_hash, recursive=True), parsed)


def as_compose_sees_it(*profiles):
    command = ["docker", "compose", "--project-name", "tria", "--env-file", str(EXAMPLE / ".env.example")]
    command += [part for name in FILES for part in ("--file", str(EXAMPLE / name))]
    command += [part for profile in profiles for part in ("--profile", profile)]
    # An env file beside the example would count as well, and an environment even more.
    environment = {"PATH": os.environ["PATH"], "DATA_BIND": "10.0.0.10", "EDGE_BIND": "10.0.0.11", "REDIS_PORT": "6379"}
    done = subprocess.run([*command, "config", "--format", "json"], capture_output=True, check=True, env=environment)
    return json.loads(done.stdout)


@pytest.mark.parametrize("profiles", [["data"], ["app"], ["edge"], ["app", "sandbox"], ["data", "app", "edge"]])
def test_compose_and_the_role_agree_on_what_a_host_runs(merged, profiles):
    services = as_compose_sees_it(*profiles)["services"]
    env = (EXAMPLE / ".env.example").read_text(encoding="utf-8")
    ours = _compose.active_services(_compose.interpolated(merged, "tria", env), profiles)
    assert set(ours) == set(services) == set().union(*(HOSTS.get(name, {"openai-sandbox"}) for name in profiles))
    for name, service in services.items():
        assert ours[name]["image"] == service["image"]
        assert _compose.replicas(ours[name]) == _compose.replicas(service)
        assert _compose.is_one_shot(merged, name) == (service.get("restart") == "no") == (name == "migrate")
        assert (_compose.build_context(ours[name]) is None) == ("build" not in service)


def test_nothing_is_published_but_on_the_addresses_that_are_given():
    project = as_compose_sees_it("data", "app", "edge")
    published = {
        (name, port["host_ip"], port["published"])
        for name, one in project["services"].items() for port in one.get("ports", [])
    }
    assert published == {
        ("postgres", "10.0.0.10", "5432"), ("redis", "10.0.0.10", "6379"), ("edge", "10.0.0.11", "8080"),
        ("balancer", "10.0.0.11", "8080"), ("balancer", "10.0.0.11", "8443"),
    }
    ways_out = {
        name for name, network in project["networks"].items()
        if not network.get("internal") and "false" not in (network.get("driver_opts") or {}).values()
    }
    connected = {name for name, one in project["services"].items() if ways_out & set(one["networks"])}
    assert connected == {"balancer", "backend", "edge"}


# --- in which order hosts are taken -----------------------------------------------------------------------------------

MORE = {
    "hosts": {
        "data": ["d2", "d1"], "app": ["z", "b", "a"], "edge": ["e1", "e2"],
        "batches": [["d2", "d1"], ["z"], ["b", "a"], ["e1"], ["e2"]],
    },
    "one of a kind": {"data": ["d"], "app": ["a"], "edge": ["e"], "batches": [["d"], ["a"], ["e"]]},
    "no balancer": {"data": ["d"], "app": ["a", "b", "c"], "batches": [["d"], ["a"], ["b", "c"]]},
    "no groups": {"other": ["c", "b", "a"], "batches": [["c"], ["b", "a"]]},
}


def batches(tmp_path, inventory):
    """The batches in which `deploy.yml` takes the hosts of an inventory."""
    plays = yaml.safe_load((ROOT / "playbooks" / "deploy.yml").read_text(encoding="utf-8"))
    (play,) = [one for one in plays if "serial" in one]
    show = {"ansible.builtin.debug": {"msg": "batch={{ ansible_play_batch | to_json }}"}, "run_once": True}
    files = [str(ROOT / "playbooks" / name) for name in play["vars_files"]]
    small = {**{key: play[key] for key in ("hosts", "serial")}, "vars_files": files}
    small.update(gather_facts=False, tasks=[show])
    (tmp_path / "play.yml").write_text(json.dumps([small]), encoding="utf-8")
    command = [sys.executable, "-m", "ansible", "playbook", str(tmp_path / "play.yml"), "-i", str(inventory)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    environment["ANSIBLE_STDOUT_CALLBACK"] = "ansible.builtin.json"
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = [task for one in json.loads(done.stdout)["plays"] for task in one["tasks"]]
    shown = [host["msg"] for task in tasks for host in task["hosts"].values()]
    return [json.loads(message.removeprefix("batch=")) for message in shown]


@pytest.mark.parametrize("name", MORE)
def test_the_data_first_then_one_host_of_the_application_then_the_others(tmp_path, name):
    groups = {**MORE[name]}
    expected = groups.pop("batches")
    children = {group: {"hosts": dict.fromkeys(hosts)} for group, hosts in groups.items()}
    inventory = yaml.safe_dump({"stack": {"children": children}}, sort_keys=False)
    (tmp_path / "hosts.yml").write_text(inventory, encoding="utf-8")
    assert batches(tmp_path, tmp_path / "hosts.yml") == expected


def test_the_batches_of_the_inventory_that_comes_with_the_stack(tmp_path):
    names = ["data1", "app1", "app2", "edge1"]
    assert batches(tmp_path, ROOT / "inventories" / "hosts") == [[f"{name}.example.com"] for name in names]


# --- how requests are spread ------------------------------------------------------------------------------------------


class App:
    """A host of the application: says who it is, or misbehaves as `mood` says (`""`, `502`, `hang up`)."""

    def __init__(self, name: str, address: str) -> None:
        self.mood = ""
        self.requests: list[tuple[str, str]] = []  # method, X-Forwarded-For
        app = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                app.requests.append((self.command, self.headers["X-Forwarded-For"]))
                if app.mood == "hang up":
                    return
                self.send_response(502 if app.mood == "502" else 200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            do_POST = do_GET

            def log_message(self, *_arguments):
                """Nothing: the tests look at `requests`."""

        self._server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Balancer:
    """The edge's image, started as a balancer of two such hosts."""

    def __init__(self, client, image: str) -> None:
        gateway = client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]
        self.apps = [App("one", gateway), App("two", gateway)]
        backends = ",".join(f"{gateway}:{app.port}" for app in self.apps)
        self._container = client.containers.run(
            image, detach=True, read_only=True, tmpfs={"/tmp": ""}, environment={"EDGE_BACKENDS": backends}
        )
        self._container.reload()
        self._address = self._container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        self.gateway = gateway
        self._wait()

    def _wait(self) -> None:
        for _attempt in range(100):
            try:
                assert self.ask("GET", "/edge-health") == (200, '{"status":"alive"}\n')
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(self._container.logs().decode())

    def ask(self, method: str, path: str = "/", body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._address, 8080, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def close(self) -> None:
        self._container.remove(force=True, v=True)
        for app in self.apps:
            app.close()


@pytest.fixture(scope="module")
def balancer_image(engine_client, base_images):
    image, _log = engine_client.images.build(
        path=str(EXAMPLE / "edge"), buildargs={"BASE_IMAGE": base_images["nginx"]}, tag="triahosts/balancer:1"
    )
    yield image.tags[0]
    engine_client.images.remove("triahosts/balancer:1", force=True)


@pytest.fixture
def balancer(engine_client, balancer_image):
    balancer = Balancer(engine_client, balancer_image)
    yield balancer
    balancer.close()


def test_both_hosts_are_asked_and_told_who_asks(balancer):
    assert {balancer.ask("GET") for _time in range(6)} == {(200, "one"), (200, "two")}
    assert {request for app in balancer.apps for request in app.requests} == {("GET", balancer.gateway)}


def test_one_host_is_gone(balancer):
    balancer.apps[0].close()
    asked = [("GET", None), ("POST", "x")] * 6
    assert {balancer.ask(method, body=body) for method, body in asked} == {(200, "two")}
    balancer.apps.pop(0)


def test_a_host_whose_own_backend_is_gone(balancer):
    """Its edge says 502: whoever only reads is answered by the other; what was sent by POST stays where it was sent."""
    balancer.apps[0].mood = "502"
    assert {balancer.ask("GET") for _time in range(2)} == {(200, "two")}
    first, second = (balancer.ask("POST", body="x") for _time in range(2))
    assert {first, second} == {(502, "one"), (200, "two")}


def test_a_request_that_was_sent_is_only_repeated_where_that_is_safe(balancer):
    balancer.apps[0].mood = "hang up"
    assert {balancer.ask("GET") for _time in range(2)} == {(200, "two")}
    answers = [balancer.ask("POST", body="x")[0] for _time in range(4)]
    posts = [method for app in balancer.apps for method, _address in app.requests].count("POST")
    assert 502 in answers and posts == len(answers)


def test_all_hosts_are_gone(balancer):
    for app in balancer.apps:
        app.mood = "502"
    assert balancer.ask("GET")[0] == 502
    assert balancer.ask("GET", "/edge-health")[0] == 200
