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
import uuid

import pytest
from ansible.module_utils.testing import patch_module_args
from tiny_image import import_programs

from ansible_collections.tria.production.plugins.module_utils import _docker
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

    @property
    def compose(self):
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

    def module(self, state, **args):
        """The result of `stack_release`, which must succeed."""
        desired = {"project": self.project, "compose": self.compose, "source_sha256": "0" * 64, "env_content": self.env}
        arguments = {"state": state, "root": self.root, "offline": True, **desired, **args}
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            stack_release.main()
        out = self.capsys.readouterr().out
        assert SECRET not in out
        result = json.loads(out)
        assert ended.value.code == 0, result
        return result

    def up(self, path):
        command = ["docker", "compose", "-p", self.project, "-f", "compose.yaml", "-f", "compose.release.yaml"]
        subprocess.run([*command, "up", "-d", "--quiet-pull"], cwd=path, check=True, capture_output=True)

    def deploy(self):
        """Plan, stage, start and commit; gives the plan."""
        archive = os.path.join(os.path.dirname(self.root), "source.tar")
        content = json.dumps(self.compose).encode()
        with tarfile.open(archive, "w") as tar:
            info = tarfile.TarInfo("compose.yaml")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        plan = self.module("planned")
        assert plan["action"] == "deploy"
        self.module("staged", release=plan["release"], archive=archive)
        self.up(plan["path"])
        self.module("current", release=plan["release"])
        return plan

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
    assert again["current_record"]["image_ids"]["app"] == stack.engine.inspect_image(f"{stack.image}:1")["Id"]
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
