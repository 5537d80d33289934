# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role stack with images of a private registry, and with images that one host builds for another."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import uuid

import pytest
from deployed_stack import ROOT
from registry_server import Registry
from tiny_image import import_programs

from ansible_collections.tria.production.plugins.module_utils import _docker

sys.path.append(str(ROOT / "tests" / "unit" / "plugins" / "module_utils"))
authority_module = importlib.import_module("authority")
FOREVER = ["/bin/sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"]
ROLE = """
- hosts: stack
  gather_facts: false
  any_errors_fatal: true
  serial: "{{ batch | default('100%') }}"
  environment: "{{ stack_lock.environment | default({}) }}"
  tasks:
    - ansible.builtin.include_role: {name: tria.production.stack, tasks_from: lock, public: true}
    - block:
        - ansible.builtin.include_role: {name: tria.production.stack}
      always:
        - ansible.builtin.include_role: {name: tria.production.stack, tasks_from: unlock}
"""


class Project:
    """A small Compose project, deployed by the role stack to the hosts that it is given."""

    def __init__(self, folder, **hosts):
        self.name = f"registry-test-{uuid.uuid4().hex[:8]}"
        self.folder = folder
        self.source = folder / "source"
        self.source.mkdir()
        self.hosts = hosts or {"here": {}}
        self.variables = {"stack_name": self.name, "stack_source": str(self.source), "ansible_connection": "local"}
        (folder / "play.yml").write_text(ROLE)

    def write(self, services):
        for service in services.values():
            service.update(command=FOREVER, network_mode="none", stop_grace_period="1s", init=True)
        (self.source / "compose.yaml").write_text(json.dumps({"services": services}))

    def root(self, host="here"):
        return self.folder / f"root-{host}"

    def deploy(self, *arguments, **variables):
        hosts = {
            name: {"ansible_python_interpreter": sys.executable, "stack_root": str(self.root(name)), **own}
            for name, own in self.hosts.items()
        }
        inventory = {"stack": {"hosts": hosts, "vars": {**self.variables, **variables}}}
        (self.folder / "hosts.json").write_text(json.dumps(inventory))
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        environment.update(HOME=str(self.folder / "home"), ANSIBLE_STDOUT_CALLBACK="default", COLUMNS="1000")
        command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), str(self.folder / "play.yml")]
        command += ["-i", str(self.folder / "hosts.json"), *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def record(self, host="here"):
        return json.loads((self.root(host) / "current" / "release.json").read_text())

    def containers(self):
        with _docker.connect() as client:
            found = _docker.compose_containers(client, self.name)
        return {one["Config"]["Labels"][_docker.SERVICE]: one for one in found}

    def remove(self):
        with _docker.connect(60) as client:
            for container in _docker.compose_containers(client, self.name):
                client.remove_container(container["Id"], force=True)
            for image in client.images():
                for tag in image["RepoTags"] or []:
                    if tag.startswith(f"{self.name}/"):
                        client.remove_image(tag, force=True)


@pytest.fixture(scope="module", name="images")
def images_fixture(engine):
    names = [f"registry-test-{uuid.uuid4().hex[:8]}" for _each in range(2)]
    import_programs(engine, names[0], "/bin/sh", "/bin/sleep")
    import_programs(engine, names[1], "/bin/sh", "/bin/sleep", "/bin/true")
    yield [f"{name}:1" for name in names]
    for name in names:
        engine.remove_image(f"{name}:1", force=True)


@pytest.fixture(name="project")
def project_fixture(tmp_path):
    project = Project(tmp_path)
    yield project
    project.remove()


@pytest.fixture(name="registry")
def registry_fixture(tmp_path, engine, project):
    """One with TLS, of an authority that the host does not know, at an address where TLS is a must."""
    outside = engine.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"]
    authority = authority_module.Authority(tmp_path)
    registry = Registry(tmp_path, outside, authority.issue(outside))
    registry.start()
    project.variables["stack_registries"] = [{**registry.login, "ca_path": str(authority.root)}]
    yield registry
    registry.stop()
    project.remove()
    registry.forget(engine)
    shutil.rmtree(f"/etc/docker/certs.d/{registry.address}", ignore_errors=True)


@pytest.mark.slow
def test_a_private_registry(engine, project, registry, images):
    """One deploy after the other, because each begins with what the one before it left."""
    trusted = pathlib.Path("/etc/docker/certs.d", registry.address, "ca.crt")
    reference = f"{registry.address}/team/app:latest"
    project.write({"app": {"image": reference}, "worker": {"image": reference}})

    # Check mode on a host that does not trust the registry yet: nothing is written.
    status, output = project.deploy("--check")
    assert status == 0 and not trusted.exists() and not project.root().exists(), output

    # An image that is not there stops it before anything is written.
    status, output = project.deploy()
    assert status != 0 and f"{reference}: registry {registry.address} does not have it" in output, output
    assert trusted.exists() and not (project.root() / "releases").exists()

    digest = registry.push(engine, images[0], "team/app:latest")
    status, output = project.deploy("-vvv")
    assert status == 0 and registry.password not in output, output
    first = project.record()
    assert first["images"] == dict.fromkeys(("app", "worker"), f"{reference}@{digest}")
    running = project.containers()
    assert running["app"]["Config"]["Image"] == f"{reference}@{digest}"
    written = [path for path in [*project.root().rglob("*"), *(project.folder / "home").rglob("*")] if path.is_file()]
    assert [path for path in written if registry.password.encode() in path.read_bytes()] == []

    status, output = project.deploy()
    assert status == 0 and "changed=0" in output, output

    # The registry is down: nothing to do is nothing to fetch; something to do is refused before anything is touched.
    registry.stop()
    status, output = project.deploy()
    assert status == 0 and "changed=0" in output and "stays what it is in the current release" in output, output
    project.write({"app": {"image": reference}, "worker": {"image": f"{registry.address}/team/worker:1"}})
    status, output = project.deploy()
    assert status != 0 and f"registry {registry.address} cannot be reached" in output, output
    assert project.record() == first and project.containers() == running
    registry.start()

    # The tag is moved: what runs stays what it is until a deploy, which makes a new release of it.
    project.write({"app": {"image": reference}, "worker": {"image": reference}})
    moved = registry.push(engine, images[1], "team/app:latest")
    assert moved != digest and project.containers() == running
    status, output = project.deploy()
    assert status == 0, output
    assert project.record()["images"]["app"] == f"{reference}@{moved}"
    assert {one["Image"] for one in project.containers().values()} == {_docker.image_id(engine, images[1])}

    # A login that is refused, or an image that went from the registry, touches nothing.
    running = project.containers()
    registries = [{**project.variables["stack_registries"][0], "password": "not-the-password"}]
    status, output = project.deploy(stack_registries=registries)
    assert status != 0 and "refuses the login of deployer" in output and "not-the-password" not in output, output
    assert project.containers() == running


@pytest.mark.slow
def test_a_base_image_of_a_private_registry(engine, project, registry, images):
    """It is pinned and pulled with the login, and a tag that was moved builds the image again."""
    (project.source / "app").mkdir()
    dockerfile = 'ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nLABEL kept="yes"\nCOPY note /note\n'
    (project.source / "app" / "Dockerfile").write_text(dockerfile)
    (project.source / "app" / "note").write_text("1")
    project.write({"app": {"build": {"context": "app"}}})
    project.variables["stack_base_images"] = {"app": f"{registry.address}/base:1"}
    status, output = project.deploy()
    assert status != 0 and f"{registry.address}/base:1: registry {registry.address} does not have it" in output, output
    built = []
    for image in images:
        registry.push(engine, image, "base:1")
        status, output = project.deploy()
        assert status == 0, output
        built.append(project.record()["images"]["app"])
        layers = engine.inspect_image(built[-1])["RootFS"]["Layers"]
        assert layers[0] == engine.inspect_image(image)["RootFS"]["Layers"][0]
    assert built[0] != built[1] and all(name.startswith(f"{project.name}/app:") for name in built)
    status, output = project.deploy()
    assert status == 0 and "changed=0" in output, output


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["100%", 1])
def test_images_are_built_once_and_shipped(engine, tmp_path, there, images, batch):
    """To a second host with an Engine of its own, in the same batch and in the next one."""
    project = Project(tmp_path, here={}, there={"ansible_python_interpreter": there.interpreter()})
    (project.source / "app").mkdir()
    (project.source / "app" / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY note /note\n")
    (project.source / "app" / "note").write_text(project.name)
    # What only the second host runs is built on the first one all the same.
    late = {"build": {"context": "app", "args": {"x": "y"}}, "profiles": ["late"]}
    project.write({"app": {"build": {"context": "app"}}, "late": late})
    project.hosts["there"]["stack_profiles"] = ["late"]
    project.variables.update(stack_image_source="debian", stack_base_images={"app": images[0], "late": images[0]})
    try:
        status, output = project.deploy("-e", f"batch={batch}")
        assert status == 0, output
        names = project.record("there")["images"]
        assert set(names) == {"app", "late"} and project.record()["images"] == {"app": names["app"]}
        with there.client() as client:
            found = {name: _docker.image_id(client, image) for name, image in names.items()}
            assert len(_docker.compose_containers(client, project.name)) == 2
        assert found == {name: _docker.image_id(engine, image) for name, image in names.items()}
        assert not list((tmp_path / "home").rglob("images-*"))
        status, output = project.deploy("-e", f"batch={batch}")
        assert status == 0 and output.count("changed=0") == 2, output

        # Without shipping the other host would build it, and lacks what to build it from.
        (project.source / "app" / "note").write_text("another")
        status, output = project.deploy("-e", f"batch={batch}", "-e", "stack_ship_images=false")
        assert status != 0 and "docker" in output
    finally:
        project.remove()
