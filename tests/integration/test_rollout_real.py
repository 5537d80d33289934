# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""stack_rollout on a real Engine: a user's own project, under load, through good, broken and killed rollouts."""

from __future__ import annotations

import pytest
from load import Load
from rollout_project import Project


@pytest.fixture
def project(tmp_path, engine_client, base_images):
    made = Project(tmp_path, engine_client)
    yield made
    made.remove()


@pytest.fixture
def running(project):
    """With version 1 deployed."""
    project.first = project.stage(1)
    project.deploy(project.first)
    return project


def test_first_deploy(project):
    release = project.stage(1)
    result = project.done("present", release)
    assert {name: one["action"] for name, one in result["services"].items()} == {"app": "replaced", "edge": "updated"}
    assert project.served() == "1" and project.journal()["release"] == release


def test_a_good_rollout(running):
    release = running.stage(2)
    with Load(running.url, rate=100) as load:
        result = running.done("present", release)
        assert running.versions() == ["1", "2"] and running.served() == "2"
        running.commit(release)
        running.done("finished", release)
        told = load.stop()
    assert running.versions() == ["2"] and running.journal() == {}
    assert told.failed == 0 and told.total > 300, told.kinds
    assert result["services"]["app"]["action"] == "replaced" and result["window"]["failed"] == 0


def test_by_link_nothing_is_reloaded(tmp_path, engine_client, base_images):
    project = Project(tmp_path, engine_client, by_link=True)
    try:
        project.deploy(project.stage(1))
        release = project.stage(2)
        with Load(project.url, rate=100) as load:
            project.deploy(release)
            told = load.stop()
        assert project.versions() == ["2"] and project.served() == "2"
        assert told.failed == 0 and told.retried == 0, told.kinds
        assert sorted(path.name for path in (project.root / "edge" / "edge").iterdir())[0] == "app"
    finally:
        project.remove()


def test_reverted(running):
    release = running.stage(2)
    with Load(running.url, rate=100) as load:
        running.done("present", release)
        running.done("reverted", running.first)
        told = load.stop()
    assert running.versions() == ["1"] and running.served() == "1" and running.journal() == {}
    assert told.failed == 0, told.kinds
