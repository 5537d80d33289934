# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What several integration tests share: the base images of `tests/setup.yml`, and one deployed stack for all who need it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import docker
import pytest
from backup_server import BULK_SQL, SAMPLE_SQL, Postgres, result_of, start, start_restore
from deployed_stack import ROOT, DeployedStack, project_copy
from second_engine import SecondEngine

from ansible_collections.tria.production.plugins.module_utils import _docker

IMAGES = ROOT / ".build" / "test-images.json"
SETUP = "Run `ansible-playbook tests/setup.yml` first; `make integration` does."


def pytest_collection_modifyitems(items):
    """Tests that start a host with systemd run late.

    On cgroup v1 such a host makes hierarchies that the Engine's machine has not mounted; from then on the Engine cannot
    tell who was killed for want of memory, and the tests that kill for want of memory need to be told. Behind them comes
    who removes the stack that the others share.
    """
    items.sort(key=lambda item: (item.path.stem == "test_teardown", "host" in item.fixturenames))


@pytest.fixture(scope="session", autouse=True)
def base_images():
    """Base image references by name; also in the environment, as TRIA_TEST_<NAME>_IMAGE."""
    if not IMAGES.exists():
        pytest.exit(f"{IMAGES} is missing: the test images were not built. {SETUP}", returncode=2)
    images = json.loads(IMAGES.read_text(encoding="utf-8"))
    client = docker.from_env()
    missing = set(images.values()) - {tag for image in client.images.list() for tag in image.tags}
    client.close()
    if missing:
        pytest.exit(f"images are missing on this Engine: {', '.join(sorted(missing))}. {SETUP}", returncode=2)
    os.environ.update({f"TRIA_TEST_{name.upper()}_IMAGE": reference for name, reference in images.items()})
    return images


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """The reference stack as `triatest`, deployed once; nothing of it is left afterwards."""
    stack = DeployedStack("triatest", tmp_path_factory.mktemp("triatest"))
    stack.source = project_copy(tmp_path_factory.mktemp("project"), {})  # whoever works on the example changes nothing here
    stack.remove()
    try:
        stack.first_run = stack.deploy()
        assert stack.first_run.status == 0, stack.first_run.output
        yield stack
    finally:
        stack.remove()


@pytest.fixture(scope="session")
def engine_client():
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session", name="engine")
def engine_fixture():
    """The Engine as modules talk to it."""
    with _docker.connect(60) as client:
        yield client


@pytest.fixture(scope="module", name="there")
def there_fixture():
    """Another host's Engine."""
    engine = SecondEngine()
    try:
        engine.wait()
        yield engine
    finally:
        engine.stop()


@pytest.fixture(scope="session")
def server(engine_client, base_images):
    """A PostgreSQL of its own, with odd names in it and rows enough that dumping it takes a moment."""
    postgres = Postgres(engine_client, base_images["postgres"])
    try:
        postgres.psql(SAMPLE_SQL)
        postgres.psql(BULK_SQL)
        yield postgres
    finally:
        postgres.remove()


@pytest.fixture
def dest(tmp_path):
    """Where backups go; not made yet."""
    return tmp_path / "backups"


@pytest.fixture
def backup(tmp_path, server, dest):
    """Runs pg_backup against `server` and gives its result; options override the usual ones."""

    def make(**options):
        return result_of(start(tmp_path, server, options.pop("dest", dest), **options))

    return make


@pytest.fixture
def restore(tmp_path, server, dest):
    """As `backup`, but runs pg_restore."""
    return lambda **options: result_of(start_restore(tmp_path, server, dest, **options))


@pytest.fixture
def small_disk():
    """Mounts small disks of memory: `small_disk(folder, size)`. They are gone after the test."""
    mounted = []

    def mount(folder: pathlib.Path, size: str) -> pathlib.Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)], check=True)
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)
