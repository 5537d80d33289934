# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""stack_rollout and migrations: undone on the way back, or the end of it where that cannot be."""

from __future__ import annotations

import pytest
from rollout_project import Project

# A file stands for the database.
MIGRATE = """
import json, os, pathlib, sys
schema, head = pathlib.Path("/state/schema"), os.environ["HEAD"]
current = schema.read_text() if schema.exists() else None
if "--plan" in sys.argv:
    pending = [one for one in ("0001", "0002") if (current or "") < one <= head]
    reversible = os.environ["REVERSIBLE"] == "yes"
    pending = [{"id": one, "reversible": reversible} for one in pending]
    print(json.dumps({"current": current, "head": head if pending else current, "pending": pending}))
else:
    schema.write_text(sys.argv[-1] if "--to" in sys.argv else head)
"""


@pytest.fixture
def project(tmp_path, engine_client, base_images):
    made = Project(tmp_path, engine_client)
    state = tmp_path / "state"
    state.mkdir()
    (state / "migrate.py").write_text(MIGRATE)
    made.schema = state / "schema"
    try:
        yield made
    finally:
        made.remove()


def stage(project, version, head, reversible, **environment):
    """A release whose one-shot brings the schema to `head`."""
    command = ["python3", "/state/migrate.py"]
    project.compose["services"]["migrate"] = {
        "image": project.app["image"], "command": command, "restart": "no",
        "volumes": [f"{project.schema.parent}:/state"], "environment": {"HEAD": head, "REVERSIBLE": reversible},
        "x-migrations": {"plan": [*command, "--plan"], "undo": [*command, "--to", "{head}"]},
    }
    project.app["depends_on"] = {"migrate": {"condition": "service_completed_successfully"}}
    return project.stage(version, **environment)


def test_migrations_are_undone_by_the_release_that_brought_them(project):
    first = stage(project, 1, "0001", "yes")
    project.deploy(first)
    assert project.schema.read_text() == "0001"
    release = stage(project, 2, "0002", "yes", CRASH_AFTER=0.2)
    project.refused("present", release)
    assert project.schema.read_text() == "0002" and project.journal()["migrations"]["migrate"]["current"] == "0001"
    result = project.done("reverted", first)
    assert project.schema.read_text() == "0001" and result["services"]["migrate"]["action"] == "undone"
    assert project.versions() == ["1"] and project.served() == "1" and project.journal() == {}


def test_past_a_migration_that_cannot_be_undone_nothing_is_reverted(project):
    first = stage(project, 1, "0001", "no")
    project.deploy(first)
    project.app["x-rollout"]["smoke"] = []
    release = stage(project, 2, "0002", "no", FAIL_RATE=1)
    error = project.refused("present", release, backup="/opt/shop/backups/before")
    assert "max_failure_ratio" in error["cause"]
    error = project.refused("reverted", first)
    assert error["irreversible"] == ["0002"] and "migration 0002 ran and cannot be undone" in error["cause"]
    assert f"-e release={first} -e restore_database=true" in error["remedy"]
    assert "/opt/shop/backups/before" in error["remedy"]
    assert project.versions() == ["1", "2"] and project.schema.read_text() == "0002"
    assert project.journal()["phase"] == "stopped"
    project.deploy(stage(project, 3, "0002", "no"))  # the fix
    assert project.versions() == ["3"] and project.served() == "3" and project.journal() == {}
