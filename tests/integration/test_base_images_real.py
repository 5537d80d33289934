# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base images as the role builds them, each run as it is meant to run."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
import uuid

import docker
import pytest

from ansible_collections.tria.production.plugins.module_utils import _docker, _rootfs

COLLECTION = pathlib.Path(__file__).parents[2]
PASSWORD = "p@ss 'w\"ord$1"
PLAYBOOK = """
- hosts: localhost
  gather_facts: true
  gather_subset: ["!all", min]
  tasks:
    - ansible.builtin.include_role: {name: tria.production.base_images, public: true}
      vars:
        base_images_services: {db: postgres, cache: redis, web: nginx, app: python}
    - ansible.builtin.copy:
        dest: "{{ out }}"
        content: "{{ {'images': base_images_references, 'services': base_images_by_service} | to_json }}"
        mode: "0600"
      changed_when: false
"""


def run_role(folder):
    """Run the role on this host; gives what it set, and whether it changed anything."""
    (folder / "play.yml").write_text(PLAYBOOK)
    command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), str(folder / "play.yml")]
    command += ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(COLLECTION / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "default",
    }
    out = folder / "out.json"
    done = subprocess.run(
        [*command, "-e", f"out={out}"], cwd=COLLECTION, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text()), "changed=0 " not in done.stdout


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The images by name; built when they are missing, as a deploy would."""
    return run_role(tmp_path_factory.mktemp("role"))[0]["images"]


@pytest.fixture(scope="module")
def engine():
    with _docker.connect(timeout=60) as client:
        yield client


@pytest.fixture
def start(engine):
    """Start a container; it is gone after the test, with its volumes."""
    made = []

    def run(image, command=None, env=None, volume="", **options):
        binds = {volume: {"bind": "/var/lib/postgresql/data", "mode": "rw"}} if volume else None
        host_config = engine.create_host_config(network_mode="none", cap_drop=["ALL"], binds=binds)
        name = f"core-test-{uuid.uuid4().hex[:8]}"
        container = engine.create_container(
            image, command, name=name, environment=env, host_config=host_config, **options
        )
        made.append(container["Id"])
        engine.start(container["Id"])
        return container["Id"]

    yield run
    for container in made:
        engine.remove_container(container, force=True, v=True)


@pytest.fixture
def volume(engine):
    name = f"core-test-{uuid.uuid4().hex[:8]}"
    engine.create_volume(name)
    yield name
    engine.remove_volume(name)


def execute(engine, container, *command, env=None):
    """(exit code, output) of a command in a container."""
    run = engine.exec_create(container, list(command), environment=env)
    output = engine.exec_start(run["Id"]).decode()
    return engine.exec_inspect(run["Id"])["ExitCode"], output


def until(ready, what, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what} took more than {seconds} s"
        time.sleep(0.1)


def log(engine, container):
    return "\n".join(_docker.log_tail(engine, container, 50))


def test_a_second_run_builds_nothing(images, tmp_path):
    result, changed = run_role(tmp_path)
    assert not changed and result["images"] == images
    assert result["services"] == {
        "db": images["postgres"],
        "cache": images["redis"],
        "web": images["nginx"],
        "app": images["python"],
    }


def test_the_root_file_system_is_not_built_again(images, engine):
    name = "tria-base/debian:" + images["python"].rpartition(":")[2].partition("-")[0]
    present = engine.inspect_image(name)["Id"]
    assert _rootfs.ensure_image(name, "any") == {"changed": False, "image": present}


@pytest.mark.parametrize(("name", "user"), [("postgres", "postgres"), ("redis", "redis"), ("nginx", "nginx")])
def test_services_do_not_run_as_root(images, engine, name, user):
    assert engine.inspect_image(images[name])["Config"]["User"] == user


def test_python_makes_virtual_environments(images, engine, start):
    container = start(
        images["python"], ["sh", "-c", "python3 -m venv /tmp/venv && /tmp/venv/bin/python -m pip --version"]
    )
    assert engine.wait(container)["StatusCode"] == 0 and log(engine, container).startswith("pip ")


def test_nginx(images, engine, start):
    container = start(images["nginx"])
    url = "http://127.0.0.1:8080/"
    until(lambda: execute(engine, container, "curl", "-so", "/dev/null", url)[0] == 0, "nginx")
    assert execute(engine, container, "curl", "-so", "/dev/null", "-w", "%{http_code}", url) == (0, "404")
    engine.stop(container, timeout=10)
    assert engine.inspect_container(container)["State"]["ExitCode"] == 0


def test_redis(images, engine, start):
    container = start(images["redis"])
    until(lambda: execute(engine, container, "redis-cli", "ping") == (0, "PONG\n"), "Redis")
    assert execute(engine, container, "redis-cli", "set", "a", "1") == (0, "OK\n")
    assert execute(engine, container, "redis-cli", "save") == (0, "OK\n")  # the data folder is writable
    engine.stop(container, timeout=10)
    assert engine.inspect_container(container)["State"]["ExitCode"] == 0


POSTGRES = {"POSTGRES_USER": "tria_admin", "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": 'odd "name'}


def query(engine, container, sql, password=PASSWORD):
    command = ["psql", "-X", "-At", "-h", "127.0.0.1", "-U", "tria_admin", "-d", 'odd "name', "-c", sql]
    return execute(engine, container, *command, env={"PGPASSWORD": password})


def test_postgres(images, engine, volume, start):
    container = start(images["postgres"], env=POSTGRES, volume=volume)
    until(lambda: query(engine, container, "select 1") == (0, "1\n"), "PostgreSQL")
    assert query(engine, container, "show data_checksums") == (0, "on\n")
    assert query(engine, container, "select 1", password="wrong")[0] == 2
    assert query(engine, container, "create table kept as select 7 as number")[0] == 0
    assert PASSWORD not in log(engine, container)
    engine.stop(container, timeout=30)
    assert engine.inspect_container(container)["State"]["ExitCode"] == 0
    again = start(images["postgres"], env={}, volume=volume)  # a cluster that is there needs no password
    until(lambda: query(engine, again, "select number from kept") == (0, "7\n"), "PostgreSQL again")


def test_postgres_that_was_killed_while_it_was_made(images, engine, volume, start):
    script = "mkdir -p $PGDATA/.initialising/base && echo half > $PGDATA/postgresql.conf && echo 15 > $PGDATA/.initialising/PG_VERSION"
    assert engine.wait(start(images["postgres"], ["sh", "-c", script], volume=volume))["StatusCode"] == 0
    container = start(images["postgres"], env=POSTGRES, volume=volume)
    until(lambda: query(engine, container, "select 1") == (0, "1\n"), "PostgreSQL")
    assert execute(engine, container, "ls", "/var/lib/postgresql/data/.initialising")[0] != 0


def test_postgres_without_a_password(images, engine, start):
    container = start(images["postgres"])
    assert engine.wait(container)["StatusCode"] != 0 and "POSTGRES_PASSWORD must be set" in log(engine, container)


def test_an_image_that_is_not_there(engine):
    with pytest.raises(docker.errors.ImageNotFound):
        engine.inspect_image("tria-base/none:1")
    assert _docker.image_id(engine, "tria-base/none:1") == ""
