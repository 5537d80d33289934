# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is to do: against the current release, against what runs, and when it is to go back."""

from __future__ import annotations

import copy
import json
import os

import pytest
from release_project import BY, COMPOSE, ROLLED, Project, desired

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import desired as _desired
from ansible_collections.tria.production.plugins.module_utils._releases import outcome, planning


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def plan(project, wanted=None, running=True):
    """The plan on a host where everything that was deployed runs, or nothing does."""
    engine = project.engine.run_all(desired()) if running else project.engine
    return planning.plan(project.releases, wanted or desired(), engine)


def test_a_first_deploy(project):
    found = plan(project, running=False)
    assert (found["action"], found["reasons"]) == ("deploy", ["first deploy"])
    assert (found["current"], found["current_path"], found["current_record"], found["journal"]) == ("", "", {}, {})
    assert found["release"].endswith(desired().content_hash()[:12]) and found["path"].endswith(found["release"])
    assert [build["image"] for build in found["build"]] == [found["images"]["web"]]
    assert found["images"]["db"] == "postgres:15" and found["images"]["migrate"] == found["images"]["web"]
    assert [target["name"] for target in found["targets"]] == ["web", "db", "migrate"] == list(found["services"])
    assert not os.path.exists(project.releases.root)  # planning writes nothing
    assert "hunter2" not in json.dumps(found) and "hunter2" not in repr(desired())


def test_a_host_without_an_engine(project):
    assert [build["context"] for build in planning.plan(project.releases, desired(), None)["build"]] == ["web"]
    project.deploy()
    found = planning.plan(project.releases, desired(), None)
    assert found["action"] == "start" and "no Docker Engine" in found["reasons"][0]


def test_an_image_that_exists_is_not_built(project):
    project.engine.images[desired().images["web"]] = "sha256:1"
    assert plan(project)["build"] == []


def test_nothing_to_do(project):
    release = project.deploy()
    found = plan(project)
    assert (found["action"], found["reasons"], found["release"], found["current"]) == ("none", [], release, release)
    assert found["current_path"] == found["path"] == project.releases.path(release)


def test_the_release_that_was_planned_is_the_one_that_stays(project):
    planned = plan(project)["release"]
    project.deploy(planned)
    assert plan(project)["release"] == planned


def stop(engine):
    engine.found[0]["State"].update(Status="exited", Running=False, ExitCode=137)


def remove(engine):
    del engine.found[0]


def replace(engine):
    engine.found[0]["Config"]["Image"] = "other:1"


def age(engine):
    engine.found[0]["Config"]["Labels"]["tria.production.generation"] = "0123456789ab"


@pytest.mark.parametrize("fault", [stop, remove, replace, age])
def test_a_container_that_is_missing(project, fault):
    project.deploy()
    fault(project.engine.run_all(desired()))
    found = planning.plan(project.releases, desired(), project.engine)
    assert (found["action"], found["reasons"]) == ("start", ["web: 0 of 1 containers are as they should be"])
    assert found["release"] == found["current"]


def test_only_containers_of_the_generation_count(project):
    release = project.deploy(wanted=desired(ROLLED))
    generation = project.releases.record(release)["services"]["web"]["generation"]
    project.engine.add("edge", "nginx:1")
    project.engine.add("web", "web:1")
    found = planning.plan(project.releases, desired(ROLLED), project.engine)
    assert (found["action"], found["reasons"]) == ("start", ["web: 0 of 1 containers are as they should be"])
    project.engine.add("web", "web:1", **{"tria.production.generation": generation})
    found = planning.plan(project.releases, desired(ROLLED), project.engine)
    assert found["action"] == "none" and found["services"]["web"]["generation"] == generation


@pytest.mark.parametrize(
    ("status", "code", "action"), [("exited", 0, "none"), ("exited", 1, "start"), ("running", 0, "start")]
)
def test_a_one_shot(project, status, code, action):
    project.deploy()
    project.engine.run_all(desired()).found[-1]["State"].update(
        Status=status, Running=status == "running", ExitCode=code
    )
    assert planning.plan(project.releases, desired(), project.engine)["action"] == action


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"contexts": {"web": "c" * 64}}, "changed: image of migrate, image of web"),
        ({"files": {"web/Dockerfile": "c" * 64}}, "changed: image of migrate, image of web"),
        ({"env_content": "PG=16\n"}, "changed: image of db"),
        ({"env_content": "OTHER=1\n"}, "changed: configuration"),
        ({"profiles": ["debug"]}, "changed: configuration"),
        ({"base_images": {"db": "tria-base/postgres:1"}}, "changed: image of db"),
        ({"compose": {"services": {"web": COMPOSE["services"]["web"]}}}, "changed: image of db, image of migrate"),
        ({"compose": {**COMPOSE, "networks": {"default": {"internal": True}}}}, "changed: configuration"),
    ],
)
def test_what_is_another_release(project, fields, reason):
    current = project.deploy()
    found = plan(project, desired(**fields))
    assert (found["action"], found["reasons"], found["current"]) == ("deploy", [reason], current)
    assert found["release"] != current and found["current_record"]["images"] == desired().images


BOUND = {
    "services": {
        "web": {
            "image": "web:1",
            "volumes": [
                "./conf:/etc/web:ro",
                "data:/data",
                "/etc/hosts:/hosts",
                {"type": "bind", "source": "up/../one.txt", "read_only": True},
            ],
            "env_file": ["web.env", {"path": "more.env"}],
            "configs": [{"source": "main"}],
            "secrets": ["key"],
            "extends": {"file": "common.yaml", "service": "web"},
        },
        "other": {"image": "other:1", "volumes": ["./other:/x"], "profiles": ["other"]},
    },
    "configs": {"main": {"file": "./main-${V:-1}.conf"}},
    "secrets": {"key": {"file": "key.pem"}},
}
READ = ["conf/a.conf", "conf/deep/b.conf", "one.txt", "web.env", "more.env", "main-1.conf", "key.pem", "common.yaml"]


@pytest.mark.parametrize("path", READ)
def test_a_file_that_a_container_reads_is_part_of_the_release(path):
    before = desired(BOUND, files=dict.fromkeys(READ, "1"))
    after = desired(BOUND, files={**dict.fromkeys(READ, "1"), path: "2"})
    assert before.content_hash() != after.content_hash()


@pytest.mark.parametrize("path", ["README.md", "conf.bak", "tests/test_web.py", "main-2.conf", "other/x", "data"])
def test_a_file_that_no_container_reads_is_not(path):
    assert desired(BOUND).content_hash() == desired(BOUND, files={path: "2"}).content_hash()


@pytest.mark.parametrize("source", ["./web/main.conf", "./web", "."])
def test_what_is_bound_from_a_build_context(source):
    compose = {"services": {"db": {"image": "db", "volumes": [f"{source}:/x:ro"]}}}
    before = desired(compose)
    assert desired(compose, contexts={"web": "c" * 64}).content_hash() != before.content_hash()
    assert desired(compose, contexts={"web": "b" * 64, "api": "c" * 64}).content_hash() == before.content_hash() or (
        source == "."
    )


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ("./data:/var/lib/postgresql/data", "may write to ./data"),
        ("${DATA:-./data}:/x:rw", "may write to ./data"),
        ({"type": "bind", "source": "conf", "target": "/x"}, "may write to conf"),
        ("./web:/x", "may write to ./web"),
        ("./web/data:/x", "may write to ./web/data"),
        (".:/x", "may write to ."),
        ("../shared:/x:ro", "mounts ../shared, which is outside the project"),
    ],
)
def test_what_would_be_written_into_one_release_is_refused(volume, said):
    with pytest.raises(ProductionError) as raised:
        desired({"services": {"db": {"image": "db", "volumes": [volume]}}}, files={"conf/a.conf": "1"})
    assert raised.value.culprit == "db" and said in raised.value.cause and "named volume" in raised.value.remedy


def test_a_folder_beside_what_is_built_is_written_to():
    compose = {"services": {"db": {"build": ".", "volumes": ["./data:/var/lib/postgresql/data"]}}}
    with pytest.raises(ProductionError, match="may write to ./data"):
        desired(compose, contexts={".": "a" * 64})


@pytest.mark.parametrize(
    "volume", ["./conf/a.conf:/x", "./web/main.conf:/x:ro", "./data:/x:ro,z", "data:/x", "/srv/data:/x", "~/data:/x"]
)
def test_what_is_only_read_or_lies_elsewhere_may_be_mounted(volume):
    assert desired({"services": {"db": {"image": "db", "volumes": [volume]}}}, files={"conf/a.conf": "1"}).services


def test_the_env_file_counts_by_its_values():
    assert desired(env_content="# new\nPASSWORD='hunter2-secret'\n").content_hash() == desired().content_hash()


def test_every_release_hashes_its_format(monkeypatch):
    before = desired().content_hash()
    monkeypatch.setattr(_desired, "FORMAT", 3)
    assert desired().content_hash() != before


def test_which_services_differ():
    def definitions(**fields):
        return {name: service["definition"] for name, service in desired(**fields).services.items()}

    before, after = definitions(), definitions(env_content="PASSWORD=other\n")
    assert [name for name in before if before[name] != after[name]] == ["db"]
    compose = copy.deepcopy(COMPOSE)
    compose["services"]["db"]["env_file"] = ".env"
    assert definitions(compose=compose)["db"] != definitions(compose=compose, env_content="OTHER=1\n")["db"]


def test_an_edge_differs_with_the_services_behind_it():
    def definition(compose):
        return desired(compose).services["edge"]["definition"]

    compose = copy.deepcopy(ROLLED)
    del compose["services"]["web"]["x-rollout"]
    assert definition(compose) != definition(ROLLED)


def test_a_release_that_is_good_no_more_is_deployed_again(project):
    release = project.deploy("20260101T000000Z-a")
    project.releases.note(release, "bad", BY, "slow")
    found = plan(project)
    assert (found["action"], found["current"]) == ("deploy", release) and found["release"] != release
    project.deploy("20260102T000000Z-b", desired(env_content="X=1\n"))
    assert plan(project)["action"] == "deploy"  # explicitly, the content of the bad one


def test_a_damaged_record(project):
    release = project.deploy()
    path = os.path.join(project.releases.path(release), "release.json")
    with open(path, "wb") as stream:
        stream.write(b"{")
    with pytest.raises(ProductionError) as raised:
        plan(project)
    assert raised.value.culprit == path and project.releases.link in raised.value.remedy
    os.unlink(project.releases.link)  # the remedy
    assert plan(project)["action"] == "deploy"


def test_a_deploy_that_did_not_end(project):
    project.deploy()
    with open(os.path.join(project.releases.root, "journal.json"), "w", encoding="utf-8") as stream:
        json.dump({"release": "r2", "phase": "rollout"}, stream)
    assert plan(project)["journal"] == {"release": "r2", "phase": "rollout"}


@pytest.fixture
def three(project):
    """Three good releases whose images are there, the last one current."""
    project.engine.images.update({image: f"sha256:{image}" for image in desired().images.values()})
    return [project.deploy(f"2026010{day}T000000Z-g", desired(env_content=f"N={day}\n")) for day in (1, 2, 3)]


def target(project, release="", before=""):
    return planning.target(project.releases, project.engine, release, before)


def test_the_way_back(project, three):
    found = target(project)
    assert (found["release"], found["current"], found["action"]) == (three[1], three[2], "deploy")
    assert found["reasons"] == [f"back from {three[2]}"] and found["path"] == project.releases.path(three[1])
    assert found["record"]["id"] == three[1] and found["outcome"]["status"] == "good"
    assert set(plan(project)) < set(found) and found["build"] == []
    assert target(project, three[0])["release"] == three[0]


def test_the_way_back_leaves_out_what_did_not_pass(project, three):
    project.releases.note(three[1], "bad", BY, "slow")
    assert target(project)["release"] == three[0]
    project.stage("20260104T000000Z-s")
    outcome.commit(project.releases, three[0], project.engine, 5, BY, {})
    with pytest.raises(ProductionError) as raised:
        target(project)  # newer ones are not before it
    assert "no good release is older" in raised.value.cause
    assert target(project, three[2])["release"] == three[2]


def test_back_to_the_release_that_is_current(project, three):
    project.engine.run_all(desired())
    assert target(project, three[2])["action"] == "none"
    project.engine.found.pop()
    found = target(project, three[2])
    assert (found["action"], found["reasons"]) == ("start", ["migrate: 0 of 1 containers are as they should be"])


def test_what_cannot_be_gone_back_to(project, three):
    project.releases.note(three[1], "bad", BY, "slow")
    project.stage("20260104T000000Z-s")
    good = f"{three[2]}, {three[0]}"
    for release, said in (
        ("20250101T000000Z-x", "no such release"),
        (three[1], "is bad: slow"),
        ("20260104T000000Z-s", "is staged"),
    ):
        with pytest.raises(ProductionError) as raised:
            target(project, release)
        assert raised.value.culprit == release and said in raised.value.cause and good in raised.value.remedy
    del project.engine.images["postgres:15"]
    with pytest.raises(ProductionError) as raised:
        target(project, three[0])
    assert "images are gone: postgres:15" in raised.value.cause and good in raised.value.remedy


def test_the_way_back_of_a_host_among_several(project):
    """What it ran before a deploy, or after one that left this host alone."""
    project.engine.images.update({image: f"sha256:{image}" for image in desired().images.values()})
    for number, deploy in ((1, "d1"), (2, "d3")):
        release = f"2026010{number}T000000Z-g"
        project.stage(release, desired(env_content=f"N={number}\n"), deploy=deploy)
        outcome.commit(project.releases, release, project.engine, 5, BY, {})
    project.engine.run_all(desired(env_content="N=2\n"))
    assert target(project, before="d3")["release"].startswith("20260101")
    assert target(project, before="d4")["action"] == "none"  # the last deploy was not this host's
    assert target(project, "d1")["release"].startswith("20260101") and target(project, "d3")["action"] == "none"
    with pytest.raises(ProductionError) as raised:
        target(project, before="d1")
    assert "older than d1" in raised.value.cause
    with pytest.raises(ProductionError):
        target(project, "d2")


def test_what_became_of_the_database_since(project, three):
    for release, ids, reversible in ((three[1], ["0004"], False), (three[2], ["0005"], True)):
        found = [{"id": one, "reversible": reversible} for one in ids]
        project.releases.note(release, "good", BY, migrations=found, backup=f"/backups/{release}")
    found = target(project, three[0])
    assert (found["irreversible"], found["backup"]) == (["0004"], f"/backups/{three[1]}")
    found = target(project)
    assert (found["irreversible"], found["backup"]) == ([], f"/backups/{three[2]}")


def test_a_commit_keeps_what_ran(project):
    project.stage("20260101T000000Z-g")
    journal = {"release": "20260101T000000Z-g", "migrations": {"migrate": {"pending": [{"id": "0004", "reversible": True}]}}}
    with open(os.path.join(project.releases.root, "journal.json"), "w", encoding="utf-8") as stream:
        json.dump(journal, stream)
    outcome.commit(project.releases, "20260101T000000Z-g", project.engine, 5, BY, {})
    assert project.releases.outcome("20260101T000000Z-g")["migrations"] == [{"id": "0004", "reversible": True}]


def test_nothing_to_go_back_to(project):
    with pytest.raises(ProductionError) as raised:
        target(project)
    assert raised.value.remedy
    project.deploy()
    with pytest.raises(ProductionError):
        target(project)


def test_images_are_pinned(project):
    assert project.releases.digests() == {}
    digests = {"postgres:15": "postgres:15@sha256:1", "python:3": "python:3@sha256:2"}
    pinned = desired(digests=digests, base_images={"web": "python:3"})
    found = plan(project, pinned)
    assert found["images"]["db"] == "postgres:15@sha256:1"
    assert found["build"][0]["args"]["BASE_IMAGE"] == "python:3@sha256:2"
    project.deploy(wanted=pinned)
    assert project.releases.digests() == digests
    project.engine.run_all(pinned)
    assert planning.plan(project.releases, pinned, project.engine)["action"] == "none"
    for name in digests:
        moved = desired(digests={**digests, name: f"{name}@sha256:9"}, base_images={"web": "python:3"})
        assert planning.plan(project.releases, moved, project.engine)["action"] == "deploy"


def test_a_release_whose_images_can_be_pulled_again(project):
    pinned = desired(digests={"postgres:15": "postgres:15@sha256:1"})
    project.engine.images.update({image: f"sha256:{image}" for image in pinned.images.values()})
    release = project.deploy("20260101T000000Z-000000000001", wanted=pinned)
    project.deploy("20260102T000000Z-000000000002")
    del project.engine.images["postgres:15@sha256:1"]
    found = planning.target(project.releases, project.engine)
    assert found["release"] == release and found["images"]["db"] == "postgres:15@sha256:1"
