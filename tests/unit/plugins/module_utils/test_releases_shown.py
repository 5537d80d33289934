# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person is shown: what would change, and what was."""

from __future__ import annotations

import os

import pytest
from release_project import BY, COMPOSE, Project, desired

from ansible_collections.tria.production.plugins.module_utils._releases import history
from ansible_collections.tria.production.plugins.module_utils._releases.difference import difference

SOURCE = "services:\n  web:\n    build: web\n"


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_a_first_deploy(project):
    shown = difference(project.releases, desired(), [SOURCE])
    web = desired().images["web"]
    assert shown == (
        "Services:\n  + db\n  + migrate\n  + web\n\n"
        f"Images:\n  + db: postgres:15\n  + migrate: {web}\n  + web: {web}\n\n"
        "Environment (names only):\n  + PASSWORD\n\n"
        "--- /dev/null\n+++ after: compose.yaml\n@@ -0,0 +1,3 @@\n+services:\n+  web:\n+    build: web\n"
    )


def test_nothing_differs(project):
    project.stage("r1", None, ("compose.yaml", SOURCE.encode()))
    project.releases.make_current("r1")
    assert difference(project.releases, desired(), [SOURCE.rstrip()]) == ""


def test_everything_differs(project):
    project.stage("r1", desired(env_content="A=1\nB=hunter2\nPASSWORD=hunter3\n"), ("compose.yaml", SOURCE.encode()))
    project.releases.make_current("r1")
    compose = {"services": {**COMPOSE["services"], "new": {"image": "n:1"}}}
    del compose["services"]["migrate"]
    env = "A=1\nPASSWORD=hunter4\nC=hunter5\nPG=16\n"
    wanted = desired(compose, contexts={"web": "c" * 64}, env_content=env)
    source = SOURCE + '    environment: {PASSWORD: "hunter6", TOKEN: "${TOKEN:?}"}\n    API_KEY: "${API_KEY:?}"\n'
    shown = difference(project.releases, wanted, [source])
    before, after = desired().images["web"], wanted.images["web"]
    assert "Services:\n  ~ db (image, configuration)\n  - migrate\n  + new\n  ~ web (image)\n" in shown
    assert f"  ~ db: postgres:15 -> postgres:16\n  - migrate: {before}\n  + new: n:1\n" in shown
    assert f"  ~ web: {before} -> {after}\n" in shown
    assert "Environment (names only):\n  - B\n  + C\n  ~ PASSWORD\n  + PG\n" in shown
    assert "--- before: compose.yaml\n+++ after: compose.yaml\n" in shown and '+    API_KEY: "${API_KEY:?}"' in shown
    assert "hunter" not in shown


def test_a_compose_file_that_is_gone(project):
    two = desired(compose_files=["compose.yaml", "tls.yaml"])
    project.stage("r1", two, ("compose.yaml", b"a"), ("tls.yaml", b"b\n"))
    project.releases.make_current("r1")
    shown = difference(project.releases, desired(), ["a"])
    assert shown == f"--- before: tls.yaml\n+++ {os.devnull}\n@@ -1 +0,0 @@\n-b\n"


def test_no_history(project):
    assert history.history(project.releases) == []
    assert history.table([]) == ["There is no release yet."]


def test_a_history(project):
    first = project.deploy("20260101T000000Z-a", migration_head="0004", backup="/b/x.dump")
    second = project.deploy("20260102T000000Z-b")
    project.stage("20260103T000000Z-c", by={})
    project.releases.note("20260103T000000Z-c", "failed", BY, "readiness: backend\nhas exited" + " ." * 99)
    project.deploy("20260104T000000Z-d")
    with open(os.path.join(project.releases.path("20260104T000000Z-d"), "outcome.json"), "wb"):
        pass
    project.releases.make_current(second)
    found = history.history(project.releases)
    assert [(one["id"][-1], one["status"], one["current"]) for one in found] == [
        ("d", "damaged", False), ("c", "failed", False), ("b", "good", True), ("a", "good", False),
    ]
    oldest = found[-1]
    assert (oldest["id"], oldest["created_by"], oldest["deploy"]) == (first, BY, "d1")
    assert (oldest["migration_head"], oldest["backup"], oldest["images"]) == ("0004", "/b/x.dump", desired().images)
    assert [event["status"] for event in oldest["events"]] == ["staged", "good"]
    lines = history.table(found)
    assert lines[0].split() == "release status created (UTC) by migration go back to it?".split()
    assert "no: readiness: backend has exited . ." in lines[2] and lines[2].endswith("…") and "damaged" in lines[1]
    assert lines[3].startswith("*") and lines[3].endswith("runs now") and "anna@laptop" in lines[3]
    assert "0004" in lines[4] and lines[4].endswith("yes")
