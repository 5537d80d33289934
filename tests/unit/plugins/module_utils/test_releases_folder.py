# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release's folder on a real file system: written whole, marked, and forgotten with its images."""

from __future__ import annotations

import functools
import json
import os
import stat
import tarfile

import docker
import pytest
from release_project import BY, ROLLED, Project, Refused, desired

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import outcome, retention

OURS = [".env", "compose.release.yaml", "compose.yaml", "outcome.json", "release.json", "rendered.json"]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_staging(project):
    project.stage("r1", None, ("compose.yaml", b"services: {}\n"), ("web/Dockerfile", b"FROM x\n"), offline=True)
    path = project.releases.path("r1")
    assert sorted(os.listdir(path)) == [*OURS, "web"]
    for name in (".env", "rendered.json", "release.json", "outcome.json"):
        assert stat.S_IMODE(os.stat(os.path.join(path, name)).st_mode) == 0o600, name
    assert project.read("r1", ".env") == desired().env_content
    overlay = json.loads(project.read("r1", "compose.release.yaml"))
    assert overlay["services"]["db"] == {"image": "postgres:15", "pull_policy": "never"}
    assert json.loads(project.read("r1", "rendered.json"))["services"]["db"]["working_dir"] == path
    assert not os.path.exists(os.path.join(project.folder, "source.tar"))
    assert project.releases.is_staged("r1") and not project.releases.is_staged("r2")
    assert project.releases.current() == ""


def test_the_record(project):
    record = project.stage("r1")
    assert record == project.releases.record("r1")
    assert (record["id"], record["format"], record["project"], record["previous"]) == ("r1", 2, "tria", "")
    assert (record["created_by"], record["deploy"]) == (BY, "d1")
    assert record["compose_files"] == ["compose.yaml", "compose.release.yaml"] and record["images"] == desired().images
    assert {name: service["order"] for name, service in record["services"].items()} == {
        "web": "stop-first", "db": "stop-first", "migrate": "stop-first",
    }
    assert record["services"]["migrate"]["one_shot"] and "hunter2" not in json.dumps(record)
    state = project.releases.outcome("r1")
    assert (state["status"], state["backup"], [event["by"] for event in state["events"]]) == ("staged", "", [BY])


def test_a_service_that_is_rolled_out_has_a_generation(project):
    wanted = desired(ROLLED)
    record = project.stage("r1", wanted)
    generation = record["services"]["web"]["generation"]
    assert len(generation) == 12 and record["services"]["edge"]["generation"] == ""
    overlay = json.loads(project.read("r1", "compose.release.yaml"))["services"]
    assert overlay["web"] == {
        "image": "web:1",
        "labels": {"tria.production.generation": generation},
        "networks": {name: {"aliases": [f"web-{generation}"]} for name in ("front", "data")},
    }
    mount = {"type": "bind", "source": f"{project.releases.root}/edge/edge", "target": "/etc/nginx/upstream"}
    assert overlay["edge"] == {
        "image": "nginx:1", "volumes": [{**mount, "read_only": True, "bind": {"create_host_path": True}}],
    }
    assert json.loads(project.read("r1", "rendered.json"))["services"]["web"]["labels"] == overlay["web"]["labels"]


def test_a_config_that_changes_is_noticed_by_compose(project):
    compose = {
        "services": {"web": {"image": "web:1", "configs": ["main"], "secrets": [{"source": "key"}]}},
        "configs": {"main": {"file": "./conf/${NAME:-main}.conf"}},
        "secrets": {"key": {"file": "key.pem"}},
    }
    labels = set()
    for number, digest in enumerate("aab"):
        files = {"conf/main.conf": digest * 64, "key.pem": "0" * 64, "README.md": str(number) * 64}
        project.stage(f"r{number}", desired(compose, files=files))
        overlay = json.loads(project.read(f"r{number}", "compose.release.yaml"))
        labels.add(overlay["services"]["web"]["labels"]["tria.production.files"])
    assert len(labels) == 2


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", range(1, 7))
def test_interrupted_staging_leaves_nothing(project, monkeypatch, failure, at):
    write, written = _atomic.write_file, []

    def fail(*args):
        written.append(args)
        if len(written) == at:
            raise failure
        write(*args)

    monkeypatch.setattr(_atomic, "write_file", fail)
    with pytest.raises(type(failure)):
        project.stage("r1", desired(ROLLED))
    assert project.listing() == [] and os.path.exists(os.path.join(project.folder, "source.tar"))


def test_a_project_that_compose_refuses(project):
    def refuse(folder, record):
        raise ProductionError("docker compose config", "ended with 15: no such network")

    with pytest.raises(ProductionError):
        project.stage("r1", render=refuse)
    assert project.listing() == []


def test_what_a_killed_run_left_is_swept(project):
    os.makedirs(os.path.join(project.releases.folder, ".partial-killed", "web"))
    project.stage("r1")
    assert project.listing() == ["r1"]


def link(target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo("evil")
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def no_filters(monkeypatch):
    """A Python without extraction filters, whichever this one is."""
    if hasattr(tarfile, "data_filter"):
        extractall = tarfile.TarFile.extractall
        monkeypatch.delattr(tarfile, "data_filter")
        trusting = functools.partialmethod(extractall, filter="fully_trusted")
        monkeypatch.setattr(tarfile.TarFile, "extractall", trusting)


OUTSIDE = ["../evil", "web/../../evil", "/evil", link("/etc/passwd"), link("../../evil"), link("../evil", tarfile.LNKTYPE)]


def refused(project, tmp_path, member):
    with pytest.raises(ProductionError) as raised:
        project.stage("r1", None, (member, b""))
    assert raised.value.culprit.endswith("source.tar") and "inside" in raised.value.remedy
    assert project.listing() == [] and not (tmp_path / "tria" / "evil").exists()


@pytest.mark.parametrize("member", [each for each in OUTSIDE if each != "/evil"])  # whose slash a filter takes away
def test_an_archive_that_reaches_outside(project, tmp_path, member):
    refused(project, tmp_path, member)


@pytest.mark.parametrize("member", OUTSIDE)
def test_an_archive_that_reaches_outside_for_a_python_without_filters(no_filters, project, tmp_path, member):
    refused(project, tmp_path, member)


@pytest.mark.parametrize("member", ["web/x", link("web/main.conf")])
def test_a_python_without_extraction_filters(no_filters, project, member):
    project.stage("r1", None, (member, b""))
    name = getattr(member, "name", member)
    assert os.path.lexists(os.path.join(project.releases.path("r1"), name))


def test_committing(project):
    project.engine.images["postgres:15"] = "sha256:db"
    before = project.stage("20260101T000000Z-a")
    gates = [{"name": "readiness", "status": "pass", "duration_s": 1.5}]
    outcome.commit(project.releases, before["id"], project.engine, 5, BY, {"migration_head": "0004", "gates": gates})
    assert project.releases.current() == before["id"]
    assert os.readlink(project.releases.link) == f"releases/{before['id']}"
    assert project.releases.record(before["id"]) == before  # a record never changes
    state = project.releases.outcome(before["id"])
    assert (state["status"], state["migration_head"], state["gates"]) == ("good", "0004", gates)
    assert state["image_ids"]["db"] == "sha256:db" and state["image_ids"]["web"] == ""
    assert [(event["status"], event["by"]) for event in state["events"]] == [("staged", BY), ("good", BY)]
    second = project.deploy("20260102T000000Z-b")
    assert project.releases.record(second)["previous"] == before["id"]


def test_a_rollback_keeps_what_was_known(project):
    first = project.deploy("20260101T000000Z-a", migration_head="0004", backup="/b/x.dump")
    second = project.deploy("20260102T000000Z-b")
    outcome.commit(project.releases, first, project.engine, 5, {}, {})
    project.releases.note(second, "bad", BY, "slow")
    state = project.releases.outcome(first)
    assert (project.releases.current(), state["migration_head"], state["backup"]) == (first, "0004", "/b/x.dump")
    assert project.releases.status(second) == "bad" and project.releases.good() == [first]
    assert project.releases.outcome(second)["events"][-1]["why"] == "slow"


def test_a_failed_release(project):
    current = project.deploy()
    project.stage("20260102T000000Z-b", desired(env_content="X=1\n"))
    outcome.fail(project.releases, "20260102T000000Z-b", BY, "readiness: backend has exited")
    state = project.releases.outcome("20260102T000000Z-b")
    assert (state["status"], state["events"][-1]["why"]) == ("failed", "readiness: backend has exited")
    assert project.releases.current() == current


def test_a_release_that_fails_after_its_commit_is_current_no_more(project):
    good = project.deploy("20260101T000000Z-a")
    for release in ("20260102T000000Z-b", "20260103T000000Z-c"):
        project.deploy(release)
    project.releases.note("20260102T000000Z-b", "bad", BY)
    outcome.fail(project.releases, "20260103T000000Z-c", BY, "another host failed")
    assert project.releases.current() == good
    outcome.fail(project.releases, good, BY, "so did this one")
    assert project.releases.current() == "" and not os.path.lexists(project.releases.link)


def make_old(project, release, status, **fields):
    """A release as it was before format 2: its record was its outcome too."""
    record = project.stage(release)
    old = {key: record[key] for key in ("id", "project", "content_hash", "created_at", "previous", "images", "targets")}
    old.update(status=status, compose_files=record["compose_files"], profiles=[], **fields)
    path = project.releases.path(release)
    with open(os.path.join(path, "release.json"), "w", encoding="utf-8") as stream:
        json.dump(old, stream)
    for name in ("outcome.json", "rendered.json"):
        os.unlink(os.path.join(path, name))


def test_a_release_of_before_this_format(project):
    image_ids = {"db": "sha256:db"}
    make_old(project, "20260101T000000Z-a", "good", committed_at="2026-01-01T00:01:00+00:00", image_ids=image_ids)
    make_old(project, "20260102T000000Z-b", "failed", failed_at="2026-01-02T00:01:00+00:00", failure="no")
    services = project.releases.record("20260101T000000Z-a")["services"]
    assert set(services) == {"web", "db", "migrate"} and services["migrate"]["one_shot"]
    assert set(services["db"]) == set(project.stage("20260103T000000Z-c")["services"]["db"])
    assert (services["db"]["order"], services["db"]["replicas"], services["db"]["generation"]) == ("stop-first", 1, "")
    state = project.releases.outcome("20260101T000000Z-a")
    assert (state["status"], state["image_ids"], len(state["events"])) == ("good", image_ids, 2)
    assert project.releases.outcome("20260102T000000Z-b")["events"][-1]["why"] == "no"
    assert project.releases.good() == ["20260101T000000Z-a"]
    project.releases.note("20260101T000000Z-a", "bad", BY, "rolled back")  # from now on it has an outcome
    assert [event["status"] for event in project.releases.outcome("20260101T000000Z-a")["events"]] == [
        "staged", "good", "bad",
    ]


@pytest.mark.parametrize("name", ["release.json", "outcome.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"null", b"7", None])
def test_a_damaged_release(project, name, content):
    release = project.deploy()
    path = os.path.join(project.releases.path(release), name)
    os.unlink(path)
    if content is not None:
        with open(path, "wb") as stream:
            stream.write(content)
    with pytest.raises(ProductionError) as raised:
        (project.releases.record if name == "release.json" else project.releases.outcome)(release)
    assert raised.value.culprit.startswith(project.releases.path(release))
    assert project.releases.link in raised.value.remedy and project.releases.good() == []


def test_a_journal(project):
    assert project.releases.journal() == {}
    os.makedirs(project.releases.root)
    with open(os.path.join(project.releases.root, "journal.json"), "w", encoding="utf-8") as stream:
        json.dump({"release": "r2", "previous": "r1"}, stream)
    assert project.releases.journal()["release"] == "r2"
    with open(os.path.join(project.releases.root, "journal.json"), "wb") as stream:
        stream.write(b"{")
    with pytest.raises(ProductionError) as raised:
        project.releases.journal()
    assert raised.value.culprit.endswith("journal.json") and "Remove it" in raised.value.remedy


def test_retention_spares_the_current_release_and_the_last_good_one(project):
    for day in range(1, 4):
        project.deploy(f"2026010{day}T000000Z-g")
    project.releases.note("20260102T000000Z-g", "bad", BY)
    for day in range(4, 9):  # none of these passed
        project.stage(f"2026010{day}T000000Z-x")
    removed = retention.prune(project.releases, 1, project.engine)["removed"]
    assert removed == [f"2026010{day}T000000Z-{'g' if day == 2 else 'x'}" for day in (7, 6, 5, 4, 2)]
    assert project.listing() == ["20260101T000000Z-g", "20260103T000000Z-g", "20260108T000000Z-x"]
    project.deploy("20260109T000000Z-h", keep=0)
    assert project.listing() == ["20260103T000000Z-g", "20260109T000000Z-h"]


def test_retention_spares_what_the_journal_names(project):
    for day in range(1, 7):
        project.deploy(f"2026010{day}T000000Z-g", keep=9)
    with open(os.path.join(project.releases.root, "journal.json"), "w", encoding="utf-8") as stream:
        json.dump({"release": "20260102T000000Z-g", "previous": "20260103T000000Z-g"}, stream)
    found = retention.prune(project.releases, 1, project.engine)
    assert found["removed"] == ["20260104T000000Z-g", "20260101T000000Z-g"]


def test_retention_spares_files_that_a_container_has(project):
    for day in range(1, 5):
        project.deploy(f"2026010{day}T000000Z-g")
    project.engine.mounts.append(project.releases.path("20260101T000000Z-g") + "/conf/main.conf")
    assert retention.prune(project.releases, 1, project.engine)["removed"] == ["20260102T000000Z-g"]


def test_pruning_before_any_release_passed(project):
    project.stage("r1")
    assert retention.prune(project.releases, 0, project.engine)["removed"] == ["r1"]


def images_of(project, *numbers, name="web"):
    """Deploy releases whose image differs; gives the images."""
    images = []
    for number in numbers:
        wanted = desired(contexts={"web": str(number) * 64})
        images.append(wanted.images[name])
        project.engine.images.update({image: f"sha256:{image}" for image in wanted.images.values()})
        project.deploy(f"2026010{number}T000000Z-i", wanted)
    return images


def test_the_images_of_removed_releases_go_too(project):
    images = images_of(project, 1, 2, 3)
    project.engine.images["tria/other:1"] = project.engine.images["other/web:1"] = "sha256:x"
    found = retention.prune(project.releases, 1, project.engine)
    assert found == {"removed": ["20260101T000000Z-i"], "removed_images": [images[0]]}
    assert set(project.engine.images) == {*images[1:], "postgres:15", "tria/other:1", "other/web:1"}


def test_an_image_that_a_container_has_stays(project):
    images = images_of(project, 1, 2, 3, 4)
    project.engine.add("web", images[0])
    project.engine.busy.add(images[1])  # the Engine knows of a container that was not there a moment ago
    found = retention.prune(project.releases, 1, project.engine)
    assert len(found["removed"]) == 2 and found["removed_images"] == [] and set(images) <= set(project.engine.images)


def test_an_image_that_the_engine_does_not_remove(project, monkeypatch):
    images_of(project, 1, 2, 3)
    monkeypatch.setattr(Refused, "status_code", 500)
    project.engine.busy.update(project.engine.images)
    with pytest.raises(ProductionError) as raised:
        retention.prune(project.releases, 1, project.engine)
    assert raised.value.culprit.startswith("tria/web:") and raised.value.remedy


def test_images_stay_while_a_release_that_is_kept_cannot_be_read(project):
    images = images_of(project, 1, 2, 3)
    with open(os.path.join(project.releases.path("20260102T000000Z-i"), "release.json"), "wb"):
        pass
    found = retention.prune(project.releases, 2, project.engine)
    assert found["removed_images"] == [] and set(images) <= set(project.engine.images)


def test_an_image_of_a_registry_goes_only_if_a_deploy_pulled_it(project):
    pinned = [f"registry/db:1@sha256:{number}" for number in range(4)]
    for number, image in enumerate(pinned):
        name = image if number == 1 else "registry/db:1"  # pinned by hand: nobody knows who pulled it
        wanted = desired({"services": {"db": {"image": name}}}, digests={"registry/db:1": image} if number != 1 else {})
        project.engine.images[image] = image
        record = project.releases.record(project.deploy(f"2026010{number}T000000Z-p", wanted))
        assert record["images"] == {"db": image} and project.releases.digests() == record["digests"]
    assert retention.prune(project.releases, 1, project.engine)["removed_images"] == [pinned[0]]
    assert list(project.engine.images) == pinned[1:]


def test_an_image_that_is_gone_already(project):
    images = images_of(project, 1, 2, 3)
    del project.engine.images[images[0]]
    assert retention.prune(project.releases, 1, project.engine)["removed_images"] == []
    with pytest.raises(docker.errors.ImageNotFound):
        project.engine.inspect_image(images[0])
