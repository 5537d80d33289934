# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases against a real Engine: what Compose makes of a staged folder, and what a plan says of real containers."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
import uuid

import pytest
from ansible.module_utils.testing import patch_module_args
from registry_server import Registry
from tiny_image import import_programs

from ansible_collections.tria.production.plugins.module_utils import _docker, _registry
from ansible_collections.tria.production.plugins.modules import stack_release

SECRET = "hunter2-s3cret"
RUNNING = ["/bin/sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"]


@pytest.fixture(scope="module")
def engine():
    with _docker.connect() as client:
        yield client


@pytest.fixture(scope="module")
def image(engine):
    """One image under two tags; gives its name."""
    name = f"core-test-{uuid.uuid4().hex[:8]}"
    import_programs(engine, name, "/bin/sh", "/bin/sleep")
    engine.tag(f"{name}:1", name, "2")
    yield name
    for tag in "12":
        engine.remove_image(f"{name}:{tag}", force=True)


class Stack:
    """A project, its releases below `root`, and its containers."""

    def __init__(self, engine, image, root, capsys):
        self.engine, self.image, self.root, self.capsys = engine, image, root, capsys
        self.project = f"core-test-{uuid.uuid4().hex[:8]}"
        self.env = f"TAG=1\nPASSWORD={SECRET}\nREPLICAS=2\n"
        self.overrides = {}
        self.digests = {}

    @property
    def compose(self):
        return {**self.services, **self.overrides}

    @property
    def services(self):
        image = f"{self.image}:${{TAG:?}}"
        return {
            "services": {
                "app": {
                    "image": image,
                    "command": RUNNING,
                    "environment": {"PASSWORD": "${PASSWORD:?}"},
                    "depends_on": {"job": {"condition": "service_completed_successfully"}},
                    "deploy": {"replicas": "${REPLICAS:-1}"},
                    "network_mode": "none",
                },
                "job": {
                    "image": image,
                    "command": ["/bin/sh", "-c", "exit 0"],
                    "restart": "no",
                    "network_mode": "none",
                },
                "extra": {"image": image, "command": RUNNING, "profiles": ["extra"], "network_mode": "none"},
            }
        }

    def module(self, state, fails=False, **args):
        """The result of `stack_release`, which must succeed, or fail."""
        desired = {"project": self.project, "compose": [self.compose], "env_content": self.env, "digests": self.digests}
        arguments = {"state": state, "root": self.root, "offline": True, **desired, **args}
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            stack_release.main()
        out = self.capsys.readouterr().out
        assert SECRET not in out
        result = json.loads(out)
        assert ended.value.code == int(fails), result
        return result

    def up(self, path):
        command = ["docker", "compose", "-p", self.project, "-f", "compose.yaml", "-f", "compose.release.yaml"]
        subprocess.run([*command, "up", "-d", "--quiet-pull"], cwd=path, check=True, capture_output=True)

    def pack(self):
        """The project as it comes to the host; gives the archive's path."""
        archive = os.path.join(os.path.dirname(self.root), "source.tar")
        with tarfile.open(archive, "w") as tar:
            for name, content in {"compose.yaml": json.dumps(self.compose), "conf/main.conf": self.env}.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content.encode()))
        return archive

    def deploy(self, **args):
        """Plan, stage, start and commit; gives the plan, and what the commit returned."""
        archive = self.pack()
        plan = self.module("planned")
        assert plan["action"] == "deploy"
        self.module("staged", release=plan["release"], archive=archive)
        self.up(plan["path"])
        return {**plan, **self.module("current", release=plan["release"], **args)}

    def read(self, folder, name):
        """One of a release's JSON files."""
        with open(os.path.join(self.root, folder, name), encoding="utf-8") as stream:
            return json.load(stream)

    def containers(self, service):
        return _docker.compose_containers(self.engine, self.project, service)


@pytest.fixture
def stack(engine, image, tmp_path, capsys):
    made = Stack(engine, image, str(tmp_path / "stack"), capsys)
    yield made
    for container in made.containers(None):
        engine.remove_container(container["Id"], force=True)


def test_a_deploy_and_a_second_run(stack):
    plan = stack.deploy()
    apps = stack.containers("app")
    assert len(apps) == 2 and f"PASSWORD={SECRET}" in apps[0]["Config"]["Env"]  # Compose read the release's env file
    again = stack.module("planned")
    image_id = stack.engine.inspect_image(f"{stack.image}:1")["Id"]
    assert stack.read("current", "outcome.json")["image_ids"]["app"] == image_id
    assert (again["action"], again["reasons"], again["release"]) == ("none", [], plan["release"])


def stop(stack):
    stack.engine.stop(stack.containers("app")[0]["Id"], timeout=5)


def kill(stack):
    stack.engine.kill(stack.containers("app")[1]["Id"])


def remove(stack):
    stack.engine.remove_container(stack.containers("app")[0]["Id"], force=True)


@pytest.mark.parametrize("fault", [stop, kill, remove])
def test_a_replica_that_does_not_run(stack, fault):
    plan = stack.deploy()
    fault(stack)
    found = stack.module("planned")
    assert (found["action"], found["reasons"]) == ("start", ["app: 1 of 2 containers are as they should be"])
    assert found["release"] == plan["release"]
    stack.up(found["path"])
    assert stack.module("planned")["action"] == "none"


def test_a_one_shot_that_was_removed(stack):
    stack.deploy()
    stack.engine.remove_container(stack.containers("job")[0]["Id"])
    assert stack.module("planned")["reasons"] == ["job: 0 of 1 containers are as they should be"]


def test_containers_of_another_image(stack):
    stack.deploy()
    path = os.path.join(stack.root, "current")
    with open(os.path.join(path, "compose.release.yaml"), "w", encoding="utf-8") as stream:
        json.dump({"services": {name: {"image": f"{stack.image}:2"} for name in ("app", "job")}}, stream)
    stack.up(path)
    found = stack.module("planned")
    assert found["action"] == "start" and found["reasons"][0].startswith("app: 0 of 2")


def test_another_image_is_another_release(stack):
    first = stack.deploy()
    stack.env = stack.env.replace("TAG=1", "TAG=2")
    plan = stack.module("planned")
    assert (plan["action"], plan["reasons"]) == ("deploy", ["changed: image of app, image of job"])
    assert plan["current"] == first["release"] != plan["release"]
    second = stack.deploy()
    assert {each["Config"]["Image"] for each in stack.containers("app")} == {f"{stack.image}:2"}
    assert stack.module("planned")["current_record"]["previous"] == first["release"] != second["release"]


def test_a_profile(stack):
    stack.deploy()
    plan = stack.module("planned", profiles=["extra"])
    assert plan["action"] == "deploy" and plan["images"]["extra"] == f"{stack.image}:1"


@pytest.fixture
def rolled(stack):
    """The stack with a service that is rolled out behind an edge, on networks of its own."""
    app = {**stack.services["services"]["app"], "build": {"context": "."}}
    del app["network_mode"]
    edge = {"image": app["image"], "command": RUNNING, "networks": ["front"], "depends_on": ["app"]}
    app.update(
        {
            "networks": {"front": {"aliases": ["application"]}, "data": None},
            "deploy": {
                "replicas": "${REPLICAS:-1}",
                "update_config": {"order": "start-first", "delay": "${DELAY:-0s}"},
            },
            "x-rollout": {
                "edge": {
                    "service": "edge",
                    "path": "/etc/upstream/app.conf",
                    "content": "$$x {upstream}",
                    "test": ["true"],
                    "reload": ["true"],
                },
                "verify": [{"name": "login", "redis": {"host": "{edge}", "login_password": "${PASSWORD}"}}],
            },
        }
    )
    del app["build"]
    stack.overrides = {
        "services": {"app": app, "edge": edge, "job": stack.services["services"]["job"]},
        "networks": {"front": None, "data": {"internal": True}},
    }
    yield stack
    for container in stack.containers(None):
        stack.engine.remove_container(container["Id"], force=True)
    for network in stack.engine.networks(filters={"label": f"com.docker.compose.project={stack.project}"}):
        stack.engine.remove_network(network["Id"])


def test_a_generation_of_containers(rolled):
    plan = rolled.deploy()
    generation = rolled.read("current", "release.json")["services"]["app"]["generation"]
    alias = f"app-{generation}"
    for container in rolled.containers("app"):
        assert container["Config"]["Labels"]["tria.production.generation"] == generation
        networks = container["NetworkSettings"]["Networks"]
        assert all(alias in network["Aliases"] for network in networks.values()) and len(networks) == 2
        assert "application" in networks[f"{rolled.project}_front"]["Aliases"]
    edge = rolled.containers("edge")[0]
    assert "tria.production.generation" not in edge["Config"]["Labels"]
    mount = {mount["Destination"]: mount for mount in edge["Mounts"]}["/etc/upstream"]
    assert (mount["Source"], mount["RW"]) == (os.path.join(rolled.root, "edge", "edge"), False)
    rendered = rolled.read("current", "rendered.json")["services"]
    assert ".partial-" not in json.dumps(rendered) and rendered["app"]["networks"]["data"]["aliases"] == [alias]
    assert os.stat(os.path.join(plan["path"], "rendered.json")).st_mode & 0o777 == 0o600
    assert rolled.read("current", "release.json")["services"]["app"]["rollout"]["edge"]["content"] == "$x {upstream}"
    again = rolled.module("planned")
    assert (again["action"], again["services"]["app"]["generation"]) == ("none", generation)


def generation_after(rolled, **env):
    """The generation of the app once it was deployed with other variables."""
    for name, value in env.items():
        rolled.env += f"{name}={value}\n"
    rolled.deploy()
    return rolled.read("current", "release.json")["services"]["app"]["generation"]


def test_a_generation_changes_with_its_containers_alone(rolled):
    first = generation_after(rolled)
    assert generation_after(rolled, REPLICAS=1, DELAY="1s") == first
    assert generation_after(rolled, PASSWORD="another-one") != first
    assert len({each["Config"]["Labels"]["tria.production.generation"] for each in rolled.containers("app")}) == 1


def test_a_project_that_compose_refuses(stack):
    stack.overrides = {"services": {"app": {"image": "x", "networks": ["nowhere"]}}}
    release = stack.module("planned")["release"]
    result = stack.module("staged", fails=True, release=release, archive=stack.pack())
    assert result["culprit"] == "docker compose config" and "nowhere" in result["cause"]
    assert os.listdir(os.path.join(stack.root, "releases")) == []


def test_back_to_an_earlier_release(stack):
    first = stack.deploy()
    stack.env = stack.env.replace("TAG=1", "TAG=2")
    second = stack.deploy()
    back = stack.module("target")
    assert (back["release"], back["action"], back["images"]["app"]) == (first["release"], "deploy", f"{stack.image}:1")
    stack.up(back["path"])
    stack.module("current", release=first["release"])
    stack.module("bad", release=second["release"], failure="slow")
    assert stack.module("target", release=first["release"])["action"] == "none"
    assert [entry["status"] for entry in stack.module("history")["releases"]] == ["bad", "good"]
    assert {each["Config"]["Image"] for each in stack.containers("app")} == {f"{stack.image}:1"}


def test_images_that_no_release_needs_go(stack):
    tags = [f"{stack.project}/app:{number}" for number in range(4)]

    def deploy(number):
        time.sleep(1)  # releases of one second have no order
        stack.engine.tag(f"{stack.image}:1", f"{stack.project}/app", str(number))
        stack.overrides = {"services": {"app": {**stack.services["services"]["job"], "image": tags[number]}}}
        return stack.deploy(keep=1)

    try:
        first = deploy(0)["release"]
        deploy(1)
        holder = stack.engine.create_container(tags[0], "x")["Id"]
        third = deploy(2)
        assert (third["removed"], third["removed_images"]) == ([first], [])  # a container of it is left
        stack.engine.remove_container(holder)
        assert deploy(3)["removed_images"] == [tags[1]]  # not what is the same image under another name
        assert [bool(_docker.image_id(stack.engine, tag)) for tag in tags] == [True, False, True, True]
    finally:
        for tag in tags:
            if _docker.image_id(stack.engine, tag):
                stack.engine.remove_image(tag, force=True)


def test_images_that_were_pulled_by_digest_go(stack, tmp_path):
    registry = Registry(tmp_path)
    registry.start()
    name, pinned = f"{registry.address}/app:1", []

    def deploy(*programs):
        time.sleep(1)  # releases of one second have no order
        local = f"core-test-{uuid.uuid4().hex[:8]}"
        import_programs(stack.engine, local, "/bin/sh", *programs)
        pinned.append(f"{name}@{registry.push(stack.engine, f'{local}:1', 'app:1')}")
        stack.engine.remove_image(f"{local}:1", force=True)
        _registry.ensure([pinned[-1]], [registry.login], 60)
        stack.overrides = {"services": {"app": {**stack.services["services"]["job"], "image": name}}}
        stack.digests = {name: pinned[-1]}
        return stack.deploy(keep=1)

    try:
        assert deploy()["images"] == {"app": pinned[0]}
        deploy("/bin/sleep")
        assert stack.module("planned")["action"] == "none"
        assert deploy("/bin/true")["removed_images"] == [pinned[0]]
        assert [bool(_docker.image_id(stack.engine, image)) for image in pinned] == [False, True, True]
    finally:
        registry.stop()
        for container in stack.containers(None):
            stack.engine.remove_container(container["Id"], force=True)
        for image in pinned:
            if _docker.image_id(stack.engine, image):
                stack.engine.remove_image(image, force=True)
