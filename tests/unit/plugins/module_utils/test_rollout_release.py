# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release's folder as a rollout reads it, and the order of its services; the journal of a rollout."""

from __future__ import annotations

import json
import os
import stat

import pytest

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._rollout import edge, journal
from ansible_collections.tria.production.plugins.module_utils._rollout.release import Edge, Release, Service

ID = "20260101T000000Z-abc"
BESIDE = {"generation": "0123456789ab", "rollout": {"edge": None, "smoke": [], "verify": [], "max_p95_ms": None}}
EDGE = {"service": "edge", "path": "/etc/nginx/upstream/app", "content": None, "confirm": ["true"]}


def stage(root, services, rendered=None):
    folder = root / "releases" / ID
    folder.mkdir(parents=True)
    said = {"order": "stop-first", "generation": "", "rollout": None, "depends_on": [], "one_shot": False}
    record = {
        "project": "shop", "compose_files": [], "profiles": [], "images": {name: f"{name}:1" for name in services},
        "services": {name: {**said, **one} for name, one in services.items()},
    }
    (folder / "release.json").write_text(json.dumps(record))
    written = {"services": {name: (rendered or {}).get(name, {}) for name in services}}
    (folder / "rendered.json").write_text(json.dumps(written))
    return Release(str(root), ID)


def names(release):
    return [one.name for one in release.ordered()]


def test_what_needs_no_rollout_comes_first_and_what_needs_one_last(tmp_path):
    release = stage(tmp_path, {
        "backend": {**BESIDE, "depends_on": ["postgres", "migrate"]}, "frontend": {**BESIDE, "depends_on": ["backend"]},
        "chromadb": {}, "migrate": {"depends_on": ["postgres"], "one_shot": True}, "postgres": {}, "assistant": {
            "depends_on": ["backend"]
        },
    })
    assert names(release) == ["chromadb", "postgres", "migrate", "backend", "frontend", "assistant"]


def test_an_edge_comes_after_what_is_behind_it(tmp_path):
    rolled = {**BESIDE, "rollout": {**BESIDE["rollout"], "edge": EDGE}}
    assert names(stage(tmp_path, {"edge": {}, "worker": {}, "zoo": rolled})) == ["worker", "zoo", "edge"]


def test_a_circle_is_cut(tmp_path):
    rolled = {**BESIDE, "depends_on": ["edge"], "rollout": {**BESIDE["rollout"], "edge": EDGE}}
    assert sorted(names(stage(tmp_path, {"edge": {}, "zoo": rolled}))) == ["edge", "zoo"]


def test_what_a_record_does_not_say_has_a_default_and_what_is_unknown_is_no_matter(tmp_path):
    rolled = {**BESIDE, "rollout": {**BESIDE["rollout"], "edge": EDGE}, "definition": "else"}
    release = stage(tmp_path, {"app": rolled})
    app = release.services["app"]
    assert app.edge == Edge("edge", "/etc/nginx/upstream/app", confirm=["true"])
    assert app.upstream == "app-0123456789ab" and app.beside and app.replicas == 1 and not release.legacy


@pytest.mark.parametrize(
    "before, after, same",
    [
        ({"build": {"context": "/a"}}, {"build": {"context": "/b"}}, True),
        ({"deploy": {"replicas": 1, "update_config": {}}}, {"deploy": {"replicas": 2}}, True),
        ({"depends_on": {}}, {}, True),
        ({"deploy": {"resources": {"limits": {"cpus": "1"}}}}, {"deploy": {"resources": {}}}, False),
        ({"environment": {"A": "1"}}, {"environment": {"A": "2"}}, False),
    ],
)
def test_what_makes_a_definition(tmp_path, before, after, same):
    found = [
        stage(tmp_path / str(number), {"app": {}}, {"app": one}).services["app"].definition
        for number, one in enumerate((before, after))
    ]
    assert (found[0] == found[1]) is same


def test_a_damaged_folder_is_named(tmp_path):
    stage(tmp_path, {"app": {}})
    path = tmp_path / "releases" / ID / "rendered.json"
    path.write_text("{")
    with pytest.raises(ProductionError, match="rendered.json: cannot be read"):
        Release(str(tmp_path), ID)


# --- the journal ------------------------------------------------------------------------------------------------------


def test_a_journal_is_private_kept_and_removed(tmp_path):
    root = str(tmp_path)
    assert journal.read(root) == {} and not journal.remove(root)
    begun = journal.begin(root, "d1", "r2", "r1", ["app"])
    assert begun == {**begun, "release": "r2", "previous": "r1", "phase": "rollout", "done": ["app"]}
    assert stat.S_IMODE(os.stat(tmp_path / "journal.json").st_mode) == 0o600
    assert journal.begin(root, "d2", "r2", "r1", []) == begun
    with pytest.raises(ProductionError, match="release r2 was interrupted"):
        journal.begin(root, "d2", "r3", "r1", [])
    assert journal.remove(root) and journal.read(root) == {}


def test_a_deploy_after_a_stopped_one_knows_its_migrations(tmp_path):
    root = str(tmp_path)
    begun = journal.begin(root, "d1", "r2", "r1", [])
    journal.write(root, {**begun, "phase": "stopped", "migrations": {"migrate": {}}})
    assert journal.begin(root, "d2", "r3", "r1", [])["migrations"] == {"migrate": {}}


def test_a_damaged_journal_is_named(tmp_path):
    (tmp_path / "journal.json").write_text("{")
    with pytest.raises(ProductionError, match=r"journal\.json: cannot be read"):
        journal.read(str(tmp_path))


def test_one_rollout_at_a_time(tmp_path):
    with journal.alone(str(tmp_path), 1.0):
        with pytest.raises(ProductionError, match=r"another rollout has not ended within 0 s"):
            with journal.alone(str(tmp_path), 0.0):
                raise AssertionError("two at a time")
    with journal.alone(str(tmp_path), 0.0):
        assert (tmp_path / ".rollout.lock").exists()


# --- what the edge is told --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "server {upstream};"])
def test_what_the_edge_is_told_is_replaced_whole(tmp_path, content):
    def told(generation):
        said = Edge("edge", "/etc/nginx/upstream/app", content)
        return edge.EdgeOf(str(tmp_path), Service("app", "i", "d", generation=generation, edge=said), None)

    old, new = told("old"), told("new")
    old.write()
    assert old.written() and not new.written()
    new.write()
    assert new.written() and not old.written()
    path = tmp_path / "edge" / "edge" / "app"
    assert os.readlink(path) == "app-new" if not content else path.read_text() == "server app-new;\n"
    (path.parent / ".app.killed").write_text("half")
    removed = edge.forget_files(str(tmp_path), [new.service])
    assert str(path) not in removed and str(path.parent / ".app.killed") in removed and new.written()
    assert {one.name for one in path.parent.iterdir()} == ({"app"} if content else {"app", "app-new"})
    edge.forget_files(str(tmp_path), [])
    assert list(path.parent.iterdir()) == []
