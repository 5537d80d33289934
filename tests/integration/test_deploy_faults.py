# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input and faults, tried on the running stack: every deploy fails fast and says why, and the stack lives on."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import time

import docker
import pytest
from ansible_collections.tria.production.plugins.module_utils import _docker, _lock
from deployed_stack import DeployedStack, project_copy, snapshot

READY = "/api/v1/health/readiness"


@pytest.fixture(scope="module")
def older_backups(stack):
    """There is a backup, because the stack was deployed more than once."""
    if not stack.backups():
        stack.environment = {"TAX_RATE": 0.07}
        run = stack.deploy()
        assert run.status == 0, run.output
    return stack.backups()


@pytest.fixture
def untouched(stack, older_backups):
    """The running stack with a row in its database. Whatever the test does: the same stack runs afterwards."""
    stack.sql("CREATE TABLE IF NOT EXISTS kept (word text); TRUNCATE kept; INSERT INTO kept VALUES ('still here')")
    before, release = stack.containers(), stack.current
    yield stack
    after = stack.containers()
    assert {name: one["Image"] for name, one in after.items()} == {name: one["Image"] for name, one in before.items()}
    assert all(after[name]["Id"] == before[name]["Id"] for name in ("postgres", "redis"))
    assert all(one["State"]["Running"] for name, one in after.items() if name != "migrate")
    assert stack.sql("SELECT word FROM kept") == [("still here",)]
    assert stack.get(READY)[0] == 200
    assert stack.current == release
    assert not (stack.root / "lock").exists()


@contextlib.contextmanager
def locked(stack):
    """The stack's lock, held by this living process."""
    pid = os.getpid()
    owner = {"user": getpass.getuser(), "host": socket.gethostname(), "pid": pid}
    owner.update(started=_lock.process_started(pid), process_space=_lock.process_space())
    path = str(stack.root / "lock")
    _lock.acquire(path, owner, 600)
    try:
        yield owner
    finally:
        assert _lock.release(path, owner), "somebody else took a lock that was held"


def assert_reverted(run, stack, release):
    """The deploy failed, put the host back, and wrote that down."""
    assert run.status != 0 and "PRODUCTION READY!" not in run.output
    assert f"This host is back on release {release}, and it runs." in run.output
    assert stack.report()["overall_status"] == "NOT_READY"
    failed = stack.report()["release"]
    outcome = json.loads((stack.root / "releases" / failed / "outcome.json").read_text())
    assert outcome["status"] == "failed" and outcome["events"][-1]["why"] and failed != release


def test_bad_input_is_refused_before_anything_is_written(untouched):
    before = snapshot(untouched.root), snapshot(untouched.facts), snapshot(untouched.reports)
    canaries = ("CHANGE_THIS_c4n4ry-placeholder-of-thirty-two", "c4n4ry-url")
    bad = {"REDIS_HOST": None, "SECRET_KEY": canaries[0], "DATABASE_URL": f"postgresql//tria_admin:{canaries[1]}@postgres"}
    run = untouched.deploy(environment=bad)
    assert run.status != 0 and run.seconds < 30
    for culprit, remedy in (
        ("REDIS_HOST", "not set. Remedy: Set it"),
        ("SECRET_KEY", "placeholder. Remedy: Put the real value there"),
        ("DATABASE_URL", "no scheme://. Remedy: Write scheme://"),
    ):
        [line] = [line for line in run.output.splitlines() if line.strip().startswith(f"error  {culprit} ")]
        assert remedy in line
    assert "3 errors" in run.output
    assert not [canary for canary in canaries if canary in run.output]
    assert run.gates == ["preflight", "environment"] and run.changed == 0
    assert (snapshot(untouched.root), snapshot(untouched.facts), snapshot(untouched.reports)) == before


def test_a_compose_file_that_gives_a_service_another_value_than_the_environment(untouched, tmp_path):
    before = snapshot(untouched.root)
    own = {"compose.yaml": ("      TAX_RATE: ${TAX_RATE:?}", "      TAX_RATE: ${TAX_RATE:?}.9")}
    run = untouched.deploy(stack_source=str(project_copy(tmp_path, own, untouched.source)), environment={"TAX_RATE": 1})
    assert run.status != 0 and run.gates == ["preflight", "environment"] and run.changed == 0
    [line] = [line for line in run.output.splitlines() if line.strip().startswith("error  TAX_RATE ")]
    assert "/compose.yaml:" in line and "not between 0" in line and "(service backend)" in line
    assert snapshot(untouched.root) == before


@pytest.mark.slow
def test_a_wrong_redis_password(untouched, tmp_path):
    """Only the backend's is wrong: the same wrong one on both sides would be a new password."""
    release = untouched.current
    own = {"compose.yaml": ("      REDIS_PASSWORD: ${REDIS_PASSWORD:?}", "      REDIS_PASSWORD: Qx7vR2kLw9TzMb4n")}
    run = untouched.deploy(stack_source=str(project_copy(tmp_path, own, untouched.source)))
    assert run.gates[-1] == "rollout" and run.seconds < 90
    assert "rollout failed on localhost: backend" in run.output
    assert "startup failed: phase=redis reason=" in run.output and "exit code 12" in run.output
    assert_reverted(run, untouched, release)


@pytest.mark.slow
def test_an_unreachable_database(untouched):
    release = untouched.current
    url = f"postgresql://tria_admin:{untouched.secrets()['postgres_password']}@no-such-host:5432/tria_aibpo"
    run = untouched.deploy(environment={"DATABASE_URL": url})
    assert run.gates[-1] == "rollout" and run.seconds < 90
    assert "migrate" in run.output and "no-such-host" in run.output
    assert_reverted(run, untouched, release)


def test_a_backend_that_exits_at_start(untouched, tmp_path):
    """With new code too: the image that ran before runs again."""
    release, images = untouched.current, untouched.running()
    own = {"backend/src/application.py": ("from __future__ import annotations", "from __future__ import annotations  # new")}
    source = project_copy(tmp_path, own, untouched.source)
    run = untouched.deploy(stack_source=str(source), environment={"OPENAI_BASE_URL": "http://openai-sandbox:9/v1"})
    assert run.gates[-1] == "rollout" and run.seconds < 120
    assert "rollout failed on localhost: backend" in run.output
    assert "startup failed: phase=openai reason=" in run.output and "exit code 13" in run.output
    assert_reverted(run, untouched, release)
    assert untouched.running() == images


def test_a_full_disk_during_the_backup(untouched, small_disk):
    folder = untouched.root / "backups"
    older = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    small_disk(folder, "1m")
    for name, content in older.items():
        (folder / name).write_bytes(content)
    with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    run = untouched.deploy(environment={"TAX_RATE": 0.09})
    assert run.status != 0 and run.gates[-1] == "backup" and run.seconds < 60
    assert "backup failed on localhost" in run.output and str(folder) in run.output
    assert "Free disk space" in run.output
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "filler"} == older


def test_a_second_deploy_at_the_same_time_is_refused(untouched):
    with locked(untouched) as owner:
        run = untouched.deploy(environment={"TAX_RATE": 0.09})
        assert run.status != 0 and run.seconds < 60
        assert f"{owner['user']}@{owner['host']} (pid {owner['pid']}" in run.output and "Wait for it to end" in run.output
        assert run.gates[-1] == "lock"


def test_the_lock_of_a_killed_deploy_is_taken_over_with_a_word(untouched):
    lock = untouched.root / "lock"
    with untouched.start(untouched.command("deploy")) as process:
        while not lock.exists():
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.05)
        untouched.kill(process)
    assert lock.exists()
    run = untouched.deploy()
    assert run.status == 0 and "rollout" not in run.gates, run.output
    assert f"takes over the lock of {getpass.getuser()}@" in run.output and "its process is gone" in run.output


def test_a_first_deploy_that_fails_leaves_nothing_but_its_volumes(stack, tmp_path):
    first = DeployedStack("triafirst", tmp_path)
    first.remove()
    client = docker.from_env()
    try:
        for image in set(stack.running().values()):  # the same content has the same tag: nothing to build
            for tag in client.images.get(image).tags:
                repository, _colon, tag = tag.partition(":")
                if repository.startswith(f"{stack.name}/"):
                    client.images.get(image).tag(repository.replace(stack.name, first.name), tag)
        first.source = stack.source
        run = first.deploy(environment={"OPENAI_BASE_URL": "http://openai-sandbox:9/v1"})
        assert run.status != 0 and run.seconds < 120
        assert "phase=openai" in run.output
        assert "This was the first deploy: its containers are removed, its volumes are kept." in run.output
        assert first.containers() == {} and not first.current and not (first.root / "lock").exists()
        volumes = client.volumes.list(filters={"label": f"{_docker.PROJECT}={first.name}"})
        assert {volume.name for volume in volumes} >= {"triafirst_postgres_data", "triafirst_redis_data"}
    finally:
        client.close()
        first.remove()


def test_teardown_with_the_wrong_name_removes_nothing(untouched):
    before = snapshot(untouched.root)
    run = untouched.playbook("teardown", teardown_confirm="tria")
    assert run.status != 0 and "nothing was removed" in run.output and f"type {untouched.name}" in run.output
    assert snapshot(untouched.root) == before
