# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Compose project consists of."""

from __future__ import annotations

import pytest

from ansible_collections.tria.production.plugins.module_utils import _compose
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

COMPOSE = {
    "services": {
        "web": {"build": "./web", "deploy": {"replicas": 2}},
        "worker": {"build": {"context": "web"}},
        "migrate": {"image": "tria/web", "restart": "no"},
        "seed": {"image": "seed:1"},
        "db": {"image": "postgres:15", "depends_on": {"seed": {"condition": "service_completed_successfully"}}},
        "debug": {"image": "busybox", "profiles": ["debug"], "build": None},
    }
}
HASHES = {"web": "1" * 64, "api": "2" * 64}


def plan(services, base_images=None, profiles=(), hashes=None, files=None):
    compose = {"services": services}
    return _compose.plan_images("tria", compose, profiles, hashes or HASHES, files or {}, base_images or {})


@pytest.mark.parametrize(("profiles", "there"), [([], False), (["other"], False), (["debug"], True), (["*"], True)])
def test_profiles(profiles, there):
    assert ("debug" in _compose.active_services(COMPOSE, profiles)) is there


def test_no_services():
    assert _compose.active_services({}, []) == {} == _compose.active_services({"services": None}, [])


@pytest.mark.parametrize(("name", "expected"), [("migrate", True), ("seed", True), ("db", False), ("web", False)])
def test_one_shots(name, expected):
    assert _compose.is_one_shot(COMPOSE, name) is expected


def test_restart_no_is_false_in_yaml_without_quotes():
    assert _compose.is_one_shot({"services": {"job": {"restart": False}}}, "job")


@pytest.mark.parametrize(
    ("service", "number"),
    [({}, 1), ({"scale": 3}, 3), ({"deploy": {"replicas": "2"}}, 2), ({"deploy": {}}, 1), ({"deploy": None}, 1)],
)
def test_replicas(service, number):
    assert _compose.replicas(service) == number


def test_replicas_that_are_no_number():
    with pytest.raises(ProductionError) as raised:
        _compose.replicas({"scale": "many"})
    assert "'many'" in raised.value.cause


@pytest.mark.parametrize(
    ("build", "context"),
    [("./web/", "web"), ({"context": "web"}, "web"), ({"dockerfile": "x"}, "."), ({}, None), (None, None)],
)
def test_the_build_context(build, context):
    assert _compose.build_context({"build": build}) == context


def test_services_that_are_built_alike_share_an_image():
    images, builds = plan(COMPOSE["services"])
    assert len(builds) == 1 and images["web"] == images["worker"] == builds[0]["image"]
    assert images["web"].startswith("tria/web:") and images["db"] == "postgres:15" and "debug" not in images
    assert builds[0] == {"image": images["web"], "context": "web", "dockerfile": "Dockerfile", "target": "", "args": {}}


def test_an_image_that_another_service_builds():
    services = {
        "migrate": {"image": "tria/web"},
        "web": {"image": "tria/web", "build": "web"},
        "db": {"image": "postgres:15"},
    }
    images, _builds = plan(services)
    assert images["migrate"] == images["web"] != "tria/web" and images["db"] == "postgres:15"


def test_an_image_that_a_service_of_another_host_builds():
    services = {
        "migrate": {"image": "tria/web", "profiles": ["data"]},
        "web": {"image": "tria/web", "build": "web", "profiles": ["app"]},
        "balancer": {"image": "tria/balancer", "build": "api", "profiles": ["edge"]},
        "debug": {"build": "api", "profiles": ["debug"]},
    }
    images, builds = plan(services, {"web": "python:1"}, ["data"])
    everywhere, _builds = plan(services, {"web": "python:1"}, ["*"])
    assert images == {"migrate": everywhere["web"]} and [build["image"] for build in builds] == [everywhere["web"]]
    assert set(plan(services, profiles=["edge"])[0]) == {"balancer"} and len(plan(services, profiles=["edge"])[1]) == 1


@pytest.mark.parametrize(
    "build",
    [
        {"context": "web", "target": "production"},
        {"context": "web", "dockerfile": "Other"},
        {"context": "web", "args": {"A": 1}},
        {"context": "api"},
    ],
)
def test_what_makes_another_image(build):
    images, builds = plan({"a": {"build": "web"}, "b": {"build": build}})
    assert images["a"] != images["b"] and len(builds) == 2


def test_a_changed_context_is_another_image():
    assert plan({"a": {"build": "web"}})[0] != plan({"a": {"build": "web"}}, hashes={"web": "3" * 64})[0]


@pytest.mark.parametrize(("file", "other"), [("web/Dockerfile", True), ("web/README.md", False), ("Dockerfile", False)])
def test_a_dockerfile_that_its_context_leaves_out(file, other):
    images = plan({"a": {"build": "./web"}})[0]
    assert (plan({"a": {"build": "./web"}}, files={file: "4" * 64})[0] != images) is other


def test_build_arguments():
    images, builds = plan({"a": {"build": {"context": "web", "args": ["A=1", "B=x=y", "C"]}}})
    assert builds[0]["args"] == {"A": "1", "B": "x=y", "C": ""}
    assert images == plan({"a": {"build": {"context": "web", "args": {"A": 1, "B": "x=y", "C": ""}}}})[0]


def test_base_images():
    services = {"web": {"build": "web"}, "db": {"image": "postgres:15"}, "cache": {"image": "redis:7"}}
    images, builds = plan(services, {"web": "tria-base/python:1", "db": "tria-base/postgres:1"})
    assert builds[0]["args"] == {"BASE_IMAGE": "tria-base/python:1"}
    assert (images["db"], images["cache"]) == ("tria-base/postgres:1", "redis:7")
    assert plan(services, {"web": "tria-base/python:2"})[0]["web"] != images["web"]


def test_what_comes_from_registries():
    services = {**COMPOSE["services"], "site": {"image": "built/site", "build": "web"}, "cdn": {"image": "built/site"}}
    base_images = {"web": "python:3.11", "seed": "own/seed:2"}

    def asked(profiles):
        return _compose.registry_references({"services": services}, profiles, base_images)

    # tria/web is named by no build of this project: somebody else's image
    assert asked([]) == ["own/seed:2", "postgres:15", "python:3.11", "tria/web"]
    assert asked(["debug"]) == ["busybox", "own/seed:2", "postgres:15", "python:3.11", "tria/web"]
    # What a service of another host's profile builds is no registry's, what it is built on may be.
    services = {"app": {"image": "built/app"}, "maker": {"build": "web", "image": "built/app", "profiles": ["x"]}}
    base_images = {"maker": "python:3.11"}
    assert asked([]) == ["python:3.11"]


def test_a_context_without_a_hash():
    with pytest.raises(ProductionError) as raised:
        plan({"web": {"build": "elsewhere"}})
    assert raised.value.culprit == "web" and "elsewhere" in raised.value.cause


def test_targets():
    compose = {
        "services": {
            "web": {"scale": 2, "labels": ["tria.production.critical=false"]},
            "mail": {"labels": {"tria.production.critical": False}},
            "migrate": {"restart": "no", "labels": {"other": "x"}},
        }
    }
    assert _compose.container_targets("tria", compose, []) == [
        {"name": "web", "critical": False, "container": {"project": "tria", "service": "web", "replicas": 2}},
        {"name": "mail", "critical": False, "container": {"project": "tria", "service": "mail", "replicas": 1}},
        {"name": "migrate", "critical": True, "container": {"project": "tria", "service": "migrate", "one_shot": True}},
    ]


def test_interpolation_as_compose_does_it():
    service = {
        "image": "${REGISTRY:-docker.io}/${COMPOSE_PROJECT_NAME}/web:${TAG}",
        "build": {"context": "web", "args": {"V": "$TAG"}, "tags": ["x:$TAG"]},
        "deploy": {"replicas": "${N:-2}"},
        "environment": {"PASSWORD": "${PASSWORD:?}"},
    }
    raw = {"services": {"web": service}, "volumes": {}}
    web = _compose.interpolated(raw, "tria", "TAG='1.2'\nPASSWORD=hunter2\n")["services"]["web"]
    assert (
        web["image"] == "docker.io/tria/web:1.2"
        and web["build"]["args"] == {"V": "1.2"}
        and web["build"]["tags"] == ["x:1.2"]
    )
    assert _compose.replicas(web) == 2
    assert web["environment"] == {"PASSWORD": "${PASSWORD:?}"}  # nothing secret is taken in
    assert service["image"].startswith("${REGISTRY")  # the caller's own is left alone


def test_several_compose_files_are_one():
    base = {
        "services": {
            "web": {
                "image": "web:1",
                "labels": ["a=1", "b"],
                "ports": ["80:80"],
                "env_file": "one.env",
                "depends_on": ["db"],
                "command": ["a", "b"],
                "deploy": {"replicas": 1, "update_config": {"order": "start-first"}},
            },
            "db": {"image": "db:1", "build": "./db"},
        },
        "networks": {"front": {"internal": True}},
    }
    over = {
        "services": {
            "web": {
                "image": "web:2",
                "labels": {"b": 2},
                "ports": ["443:443"],
                "env_file": ["two.env"],
                "depends_on": {"cache": {"condition": "service_started"}},
                "command": ["c"],
                "deploy": {"replicas": 2},
            },
            "db": {"build": {"target": "x"}},
            "cache": None,
        },
        "networks": {"front": {"driver": "bridge"}},
    }
    assert _compose.merged([base, over]) == {
        "services": {
            "web": {
                "image": "web:2",
                "labels": {"a": "1", "b": 2},
                "ports": ["80:80", "443:443"],
                "env_file": ["one.env", "two.env"],
                "depends_on": {"db": None, "cache": {"condition": "service_started"}},
                "command": ["c"],
                "deploy": {"replicas": 2, "update_config": {"order": "start-first"}},
            },
            "db": {"image": "db:1", "build": {"context": "./db", "target": "x"}},
            "cache": {},
        },
        "networks": {"front": {"internal": True, "driver": "bridge"}},
    }
    assert base["services"]["web"]["ports"] == ["80:80"]
    assert _compose.merged([{}, {"services": None}]) == {"services": {}}


def test_the_name_of_a_config_may_be_a_variable():
    raw = {"services": {"web": {"configs": ["main"]}}, "configs": {"main": {"file": "./${NAME}.conf"}, "own": None}}
    assert _compose.mounted_files(_compose.interpolated(raw, "tria", "NAME=x\n"), "web") == ["x.conf"]


def test_a_variable_that_an_image_needs():
    with pytest.raises(ProductionError) as raised:
        _compose.interpolated({"services": {"web": {"image": "web:${TAG:?}"}}}, "tria", "")
    assert raised.value.culprit == "web" and "not set" in raised.value.cause


def test_content_hash_has_a_canonical_form():
    assert _compose.content_hash({"a": 1, "b": [2]}) == _compose.content_hash({"b": [2], "a": 1})
    assert _compose.content_hash([1]) != _compose.content_hash(["1"])
