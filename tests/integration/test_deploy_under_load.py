# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploys, failed deploys, killed deploys and rollbacks of the reference stack, while it is asked all the time."""

from __future__ import annotations

import contextlib
import json
import random
import time

import pytest
from ansible_collections.tria.production.plugins.module_utils import _docker
from deployed_stack import project_copy
from load import Ask, Load

READY = "/api/v1/health/readiness"


@pytest.fixture
def asked(stack):
    """A context: requests are made all the while; at its end none of them may have failed."""

    @contextlib.contextmanager
    def context():
        load = Load(f"http://127.0.0.1:{stack.port}", rate=60, asks=[Ask(path=READY), Ask(path="/health")])
        with load:
            time.sleep(1)
            yield
            time.sleep(1)
            result = load.stop()
        assert result.total > 200, "the load hardly ran"
        assert result.failed == 0, f"{result.failed} of {result.total} requests failed: {result.kinds}"

    return context


def backends(stack) -> list[dict]:
    with _docker.connect() as engine:
        return _docker.compose_containers(engine, stack.name, "backend")


def version(stack) -> str:
    return json.loads(stack.get("/openapi.json")[1])["info"]["version"]


def of_version(number: str, stack, folder) -> str:
    """A copy of the stack's sources whose API shows another version."""
    line = f'VERSION = "{version(stack)}"'
    return str(project_copy(folder, {"backend/src/api/app.py": (line, f'VERSION = "{number}"')}, stack.source))


def assert_settled(stack) -> None:
    """One generation runs, nobody holds the lock, no run is unfinished."""
    assert [one["State"]["Status"] for one in backends(stack)] == ["running"]
    assert not (stack.root / "lock").exists() and not (stack.root / "journal.json").exists()


def test_a_release_and_the_way_back(stack, asked, tmp_path):
    before, release = backends(stack), stack.current
    was = version(stack)
    with asked():
        run = stack.deploy(stack_source=of_version("3.0.0", stack, tmp_path))
    assert run.status == 0, run.output
    assert version(stack) == "3.0.0" and stack.current != release
    assert [one["Id"] for one in backends(stack)] != [one["Id"] for one in before]
    assert_settled(stack)
    left = stack.current

    with asked():
        run = stack.playbook("rollback")
    assert run.status == 0, run.output
    assert version(stack) == was and stack.current == release
    assert_settled(stack)
    assert json.loads((stack.root / "releases" / left / "outcome.json").read_text())["status"] == "bad"


@pytest.mark.slow
def test_a_release_that_validation_refuses(stack, asked, tmp_path):
    """Everything is ready, the edge was switched, and then it is found wanting: back without a failed request."""
    before, release, was = backends(stack), stack.current, version(stack)
    with asked():
        run = stack.deploy(
            stack_source=of_version("3.0.1", stack, tmp_path),
            validation_extra_targets=[{"name": "Never", "http": {"url": f"http://127.0.0.1:{stack.port}/health", "status": [418]}}],
        )
    assert run.status != 0 and run.gates[-1] == "validation"
    assert f"This host is back on release {release}, and it runs." in run.output
    assert [one["Id"] for one in backends(stack)] == [one["Id"] for one in before]  # the same container, never stopped
    assert version(stack) == was and stack.current == release
    assert_settled(stack)


@pytest.mark.slow
@pytest.mark.parametrize("after", ["lock", "journal.json"])
def test_a_killed_deploy_is_ended_by_the_next(stack, asked, tmp_path, after):
    release, was = stack.current, version(stack)
    source = of_version(f"3.1.{len(after)}", stack, tmp_path)
    with asked():
        with stack.start(stack.command("deploy", stack_source=source)) as process:
            while not (stack.root / after).exists():
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.05)
            time.sleep(random.uniform(0, 5))
            stack.kill(process)
        run = stack.deploy()
    assert run.status == 0, run.output
    assert version(stack) == was and stack.current == release
    assert_settled(stack)
