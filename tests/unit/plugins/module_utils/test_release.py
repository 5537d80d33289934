# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases on a real file system, with an Engine that holds the containers the test says."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import stat
import tarfile

import docker
import pytest

from ansible_collections.tria.production.plugins.module_utils import _atomic, _docker, _release
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._release import Desired, Releases

COMPOSE = {
    "services": {
        "web": {"build": "web", "image": "${COMPOSE_PROJECT_NAME}/web"},
        "db": {"image": "postgres:${PG:-15}"},
        "migrate": {"image": "${COMPOSE_PROJECT_NAME}/web", "restart": "no"},
    }
}
DESIRED = Desired(
    project="tria",
    compose=COMPOSE,
    compose_files=["compose.yaml"],
    profiles=[],
    source_sha256="a" * 64,
    contexts={"web": "b" * 64},
    base_images={},
    env_content="PASSWORD=hunter2-secret\n",
)


class Engine:
    """An Engine's API with containers of the project `tria` and images by name."""

    def __init__(self):
        self.found = []
        self.images = {}

    def add(self, service, image, status="running", exit_code=0):
        state = {"Status": status, "Running": status == "running", "ExitCode": exit_code}
        config = {"Image": image, "Labels": {_docker.SERVICE: service, _docker.PROJECT: "tria"}}
        name = f"/tria-{service}-{len(self.found)}"
        self.found.append({"Id": name, "Name": name, "State": state, "Config": config})

    def containers(self, all, filters):  # noqa: A002 (the name is the SDK's)
        return [{"Id": container["Id"]} for container in self.found]

    def inspect_container(self, container):
        return next(each for each in self.found if each["Id"] == container)

    def inspect_image(self, name):
        if name not in self.images:
            raise docker.errors.ImageNotFound(name)
        return {"Id": self.images[name]}

    def run_all(self, desired):
        """Everything as it should be."""
        images, _builds = desired.images()
        self.found.clear()
        self.add("web", images["web"])
        self.add("db", images["db"])
        self.add("migrate", images["migrate"], "exited")
        return self


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def releases(tmp_path):
    return Releases(str(tmp_path / "tria"))


@pytest.fixture
def archive(tmp_path):
    def make(*members):
        path = str(tmp_path / "source.tar")
        with tarfile.open(path, "w") as tar:
            for member, content in members or (("compose.yaml", b"services: {}\n"),):
                info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    return make


@pytest.fixture
def deployed(releases, archive, engine):
    """Stage and commit a release; gives its ID."""

    def deploy(release="20260101T000000Z-0123456789ab", desired=DESIRED, keep=5):
        releases.stage(release, desired, archive(), False)
        releases.make_current(release, engine, keep)
        return release

    return deploy


def changed(**fields):
    return dataclasses.replace(DESIRED, **{"compose": COMPOSE, **fields})


def listing(releases):
    return sorted(os.listdir(releases.folder))


def test_a_first_deploy(releases, engine):
    plan = releases.plan(DESIRED, engine)
    assert (plan["action"], plan["reasons"]) == ("deploy", ["first deploy"])
    assert (plan["current"], plan["current_path"], plan["current_record"]) == ("", "", {})
    assert plan["release"].endswith(DESIRED.content_hash()[:12]) and plan["path"].endswith(plan["release"])
    assert [build["image"] for build in plan["build"]] == [plan["images"]["web"]]
    assert plan["images"]["db"] == "postgres:15" and plan["images"]["migrate"] == plan["images"]["web"]
    assert [target["name"] for target in plan["targets"]] == ["web", "db", "migrate"]
    assert not os.path.exists(releases.root)  # planning writes nothing
    assert "hunter2" not in json.dumps(plan) and "hunter2" not in repr(DESIRED)


def test_a_host_without_an_engine(releases, deployed):
    assert [build["context"] for build in releases.plan(DESIRED, None)["build"]] == ["web"]
    deployed()
    plan = releases.plan(DESIRED, None)
    assert plan["action"] == "start" and "no Docker Engine" in plan["reasons"][0]


def test_an_image_that_exists_is_not_built(releases, engine):
    engine.images[DESIRED.images()[0]["web"]] = "sha256:1"
    assert releases.plan(DESIRED, engine)["build"] == []


def test_staging(releases, archive):
    releases.stage("r1", DESIRED, archive(("compose.yaml", b"services: {}\n"), ("web/Dockerfile", b"FROM x\n")), True)
    path = releases.path("r1")
    assert sorted(os.listdir(path)) == [".env", "compose.release.yaml", "compose.yaml", "release.json", "web"]
    assert stat.S_IMODE(os.stat(os.path.join(path, ".env")).st_mode) == 0o600
    with open(os.path.join(path, ".env"), encoding="utf-8") as stream:
        assert stream.read() == DESIRED.env_content
    with open(os.path.join(path, "compose.release.yaml"), encoding="utf-8") as stream:
        assert json.load(stream)["services"]["db"] == {"image": "postgres:15", "pull_policy": "never"}
    record = releases.record("r1")
    assert (record["status"], record["previous"], record["id"]) == ("staged", "", "r1")
    assert (
        record["compose_files"] == ["compose.yaml", "compose.release.yaml"] and record["images"] == DESIRED.images()[0]
    )
    assert "hunter2" not in json.dumps(record)
    assert releases.is_staged("r1") and not releases.is_staged("r2") and releases.current() == ""


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_interrupted_staging_leaves_nothing(releases, archive, monkeypatch, failure, at):
    write, written = _atomic.write_file, []

    def fail(*args):
        written.append(args)
        if len(written) == at:
            raise failure
        write(*args)

    monkeypatch.setattr(_atomic, "write_file", fail)
    with pytest.raises(type(failure)):
        releases.stage("r1", DESIRED, archive(), False)
    assert listing(releases) == []


def link(target):
    info = tarfile.TarInfo("evil")
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


@pytest.mark.parametrize("member", ["../evil", link("/etc/passwd"), link("../../evil")])
def test_an_archive_that_reaches_outside(releases, archive, tmp_path, member):
    with pytest.raises(ProductionError) as raised:
        releases.stage("r1", DESIRED, archive((member, b"")), False)
    assert raised.value.culprit.endswith("source.tar") and "inside" in raised.value.remedy
    assert listing(releases) == [] and not (tmp_path / "tria" / "evil").exists()


def test_a_damaged_archive(releases, tmp_path):
    (tmp_path / "source.tar").write_bytes(b"no archive")
    with pytest.raises(ProductionError) as raised:
        releases.stage("r1", DESIRED, str(tmp_path / "source.tar"), False)
    assert "cannot be unpacked" in raised.value.cause and listing(releases) == []


def test_committing(releases, deployed, engine):
    engine.images["postgres:15"] = "sha256:db"
    first = deployed()
    assert releases.current() == first and os.readlink(releases.link) == f"releases/{first}"
    record = releases.record(first)
    assert record["status"] == "good" and record["image_ids"]["db"] == "sha256:db" and record["image_ids"]["web"] == ""
    deployed("20260102T000000Z-0123456789ab")
    assert releases.record("20260102T000000Z-0123456789ab")["previous"] == first


def test_nothing_to_do(releases, deployed, engine):
    release = deployed()
    plan = releases.plan(DESIRED, engine.run_all(DESIRED))
    assert (plan["action"], plan["reasons"], plan["release"], plan["current"]) == ("none", [], release, release)
    assert plan["current_path"] == plan["path"] == releases.path(release)


def test_the_release_that_was_planned_is_the_one_that_stays(releases, archive, engine):
    planned = releases.plan(DESIRED, engine)["release"]
    releases.stage(planned, DESIRED, archive(), False)
    releases.make_current(planned, engine, 5)
    assert releases.plan(DESIRED, engine)["release"] == planned


def stop(engine):
    engine.found[0]["State"].update(Status="exited", Running=False, ExitCode=137)


def remove(engine):
    del engine.found[0]


def replace(engine):
    engine.found[0]["Config"]["Image"] = "other:1"


@pytest.mark.parametrize("fault", [stop, remove, replace])
def test_a_container_that_is_missing(releases, deployed, engine, fault):
    deployed()
    fault(engine.run_all(DESIRED))
    plan = releases.plan(DESIRED, engine)
    assert (plan["action"], plan["reasons"]) == ("start", ["web: 0 of 1 containers are as they should be"])
    assert plan["release"] == plan["current"]


@pytest.mark.parametrize(
    ("status", "code", "action"), [("exited", 0, "none"), ("exited", 1, "start"), ("running", 0, "start")]
)
def test_a_one_shot(releases, deployed, engine, status, code, action):
    deployed()
    engine.run_all(DESIRED).found[-1]["State"].update(Status=status, Running=status == "running", ExitCode=code)
    assert releases.plan(DESIRED, engine)["action"] == action


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"contexts": {"web": "c" * 64}}, "changed: image of migrate, image of web"),
        ({"env_content": "PG=16\n"}, "changed: image of db"),
        ({"env_content": "OTHER=1\n"}, "changed: configuration"),
        ({"source_sha256": "d" * 64}, "changed: configuration"),
        ({"profiles": ["debug"]}, "changed: configuration"),
        ({"base_images": {"db": "tria-base/postgres:1"}}, "changed: image of db"),
        ({"compose": {"services": {"web": COMPOSE["services"]["web"]}}}, "changed: image of db, image of migrate"),
    ],
)
def test_what_is_another_release(releases, deployed, engine, fields, reason):
    current = deployed()
    plan = releases.plan(changed(**fields), engine.run_all(DESIRED))
    assert (plan["action"], plan["reasons"], plan["current"]) == ("deploy", [reason], current)
    assert plan["release"] != current and plan["current_record"]["images"] == DESIRED.images()[0]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"null", b"7"])
def test_a_damaged_record(releases, deployed, engine, content):
    release = deployed()
    path = os.path.join(releases.path(release), "release.json")
    with open(path, "wb") as stream:
        stream.write(content)
    for call in (
        lambda: releases.plan(DESIRED, engine),
        lambda: releases.mark_failed(release, "x"),
        lambda: releases.prune(1),
    ):
        with pytest.raises(ProductionError) as raised:
            call()
        assert raised.value.culprit == path and releases.link in raised.value.remedy
    os.unlink(releases.link)  # the remedy
    assert releases.plan(DESIRED, engine)["action"] == "deploy"


def test_a_failed_release(releases, archive, deployed, engine):
    current = deployed()
    releases.stage("20260102T000000Z-0123456789ab", changed(env_content="X=1\n"), archive(), False)
    releases.mark_failed("20260102T000000Z-0123456789ab", "readiness: backend has exited")
    record = releases.record("20260102T000000Z-0123456789ab")
    assert (record["status"], record["failure"]) == ("failed", "readiness: backend has exited")
    assert releases.current() == current and releases.plan(DESIRED, engine.run_all(DESIRED))["action"] == "none"


def test_a_release_that_fails_after_its_commit_is_current_no_more(releases, deployed):
    good = deployed("20260101T000000Z-a")
    deployed("20260102T000000Z-b")
    releases.mark_failed("20260102T000000Z-b", "diagnostics: no")
    assert releases.current() == good


def test_retention_spares_the_current_release_and_the_one_before_it(releases, archive, deployed):
    deployed("20260101T000000Z-a")
    deployed("20260102T000000Z-b")
    for day in range(3, 9):  # none of these passed
        releases.stage(f"2026010{day}T000000Z-x", DESIRED, archive(), False)
    os.mkdir(os.path.join(releases.folder, ".partial-killed"))
    assert releases.prune(2) == [f"2026010{day}T000000Z-x" for day in (6, 5, 4, 3)]
    assert listing(releases) == ["20260101T000000Z-a", "20260102T000000Z-b", "20260107T000000Z-x", "20260108T000000Z-x"]
    assert deployed("20260109T000000Z-c", keep=1)
    assert listing(releases) == ["20260102T000000Z-b", "20260109T000000Z-c"]


def test_pruning_before_any_release_passed(releases, archive):
    releases.stage("r1", DESIRED, archive(), False)
    assert releases.prune(0) == ["r1"]


def test_a_python_without_extraction_filters(releases, archive, monkeypatch):
    extractall = tarfile.TarFile.extractall
    monkeypatch.delattr(tarfile, "data_filter")
    monkeypatch.setattr(tarfile.TarFile, "extractall", lambda tar, path: extractall(tar, path, filter="fully_trusted"))
    releases.stage("r1", DESIRED, archive(), False)
    assert os.path.exists(os.path.join(releases.path("r1"), "compose.yaml"))


def test_every_release_hashes_its_format(monkeypatch):
    before = DESIRED.content_hash()
    monkeypatch.setattr(_release, "FORMAT", 2)
    assert DESIRED.content_hash() != before
