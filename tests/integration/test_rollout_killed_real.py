# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""stack_rollout killed with SIGKILL before each of its deeds in turn: the stack serves, and the next run gets on."""

from __future__ import annotations

import signal
import time

import pytest
from load import Load
from rollout_project import Project

RATE = 60  # requests in a second
MOST = 30  # more deeds than any run has


@pytest.fixture
def project(tmp_path, engine_client, base_images):
    made = Project(tmp_path, engine_client)
    made.app["deploy"]["update_config"]["monitor"] = "200ms"
    made.app["x-rollout"]["drain"] = "300ms"
    try:
        made.good = made.stage(1)
        made.deploy(made.good)
        yield made
    finally:
        made.remove()


def killed(project, state, release, deed):
    """Whether the run was killed, which it is not any more when it has no such deed."""
    with project.start(state, release, kill_before=deed) as process:
        output = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), output
    return process.returncode != 0


def settled(project, version):
    assert project.versions() == [version] and project.served() == version and project.journal() == {}


def test_a_rollout_killed_before_each_of_its_deeds_is_reverted(project):
    release = project.stage(2)
    with Load(project.url, rate=RATE) as load:
        for deed in range(1, MOST):
            was_killed = killed(project, "present", release, deed)
            project.done("reverted", project.good)
            settled(project, "1")
            if not was_killed:
                break
        told = load.stop()
    assert deed > 6, project.deeds()
    assert told.failed == 0, (told.kinds, project.deeds())


@pytest.mark.slow
def test_a_rollout_killed_before_each_of_its_deeds_is_brought_to_its_end(project):
    with Load(project.url, rate=RATE) as load:
        for deed in range(1, MOST):
            release = project.stage(deed + 1)
            was_killed = killed(project, "present", release, deed)
            project.deploy(release)
            settled(project, str(deed + 1))
            if not was_killed:
                break
        told = load.stop()
    assert deed > 6, project.deeds()
    assert told.failed == 0, (told.kinds, project.deeds())


@pytest.mark.slow
@pytest.mark.parametrize("state", ["finished", "reverted"])
def test_the_end_of_a_rollout_killed_before_each_of_its_deeds_is_made_up_for(project, state):
    with Load(project.url, rate=RATE) as load:
        for deed in range(1, MOST):
            release = project.stage(deed + 1)
            project.done("present", release)
            if state == "finished":
                project.commit(release)
                project.good = release
            was_killed = killed(project, state, project.good, deed)
            project.done(state, project.good)
            settled(project, str(deed + 1) if state == "finished" else "1")
            if not was_killed:
                break
        told = load.stop()
    assert deed > 3, project.deeds()
    assert told.failed == 0, (told.kinds, project.deeds())


def test_a_command_that_outlives_its_rollout_is_waited_for(project):
    """Compose goes on when only we are killed; the next run does not start beside it."""
    release = project.stage(2)
    project.slow_down_commands(3)
    project.forget_commands()
    process = project.start("present", release)
    deadline = time.monotonic() + 30
    while not any("up" in one for one in project.commands()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    began = time.monotonic()
    project.done("reverted", project.good)
    assert time.monotonic() - began > 2
    settled(project, "1")
