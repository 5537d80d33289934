# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Compose file says of the rollout of its services: read, checked, refused."""

from __future__ import annotations

import copy
import json

import pytest
from release_project import EDGE, ROLLED, desired

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import services, settings


def changed(service, **fields):
    """ROLLED with some fields of a service replaced; None removes one."""
    compose = copy.deepcopy(ROLLED)
    own = {**compose["services"][service], **fields}
    compose["services"][service] = {key: value for key, value in own.items() if value is not None}
    return compose


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("1.5s", 1.5), ("0", 0), ("0s", 0), ("1h", 3600), ("1d", 86400)],
)
def test_durations(text, seconds):
    assert settings.duration("web", "drain", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "30 s", "1m 30s", "-1s", "30x", 30, None, "1m30"])
def test_what_is_no_duration(text):
    with pytest.raises(ProductionError) as raised:
        settings.duration("web", "x-rollout.drain", text)
    assert raised.value.culprit == "web" and raised.value.cause.startswith("x-rollout.drain: ")


def test_a_service_that_says_nothing():
    assert desired({"services": {"db": {"image": "db"}}}).services["db"] == {
        "order": "stop-first",
        "parallelism": 1,
        "delay": 0,
        "monitor": 5,
        "max_failure_ratio": 0,
        "one_shot": False,
        "replicas": 1,
        "critical": True,
        "stop_grace_period": 10,
        "depends_on": [],
        "rollout": None,
        "migrations": None,
        "definition": desired({"services": {"db": {"image": "db"}}}).services["db"]["definition"],
    }


def test_a_service_that_says_everything():
    compose = changed(
        "web",
        deploy={
            "replicas": 3,
            "update_config": {
                "order": "start-first",
                "parallelism": "${STEP:-0}",
                "delay": "1s",
                "monitor": "1m",
                "max_failure_ratio": 0.25,
                "failure_action": "rollback",
            },
        },
        stop_grace_period="1m30s",
        depends_on=["edge"],
        labels=["tria.production.critical=false"],
    )
    compose["services"]["web"]["x-rollout"] = {
        "edge": {**EDGE, "content": 'map "" $$web { default {upstream}:${PORT:-80}; }', "confirm": ["curl", "-fsS", 1]},
        "smoke": [{"name": "alive", "http": {"url": "http://{address}:8000/health"}}],
        "verify": [{"name": "through", "http": {"url": "http://{edge}/"}}],
        "max_p95_ms": 500,
        "drain": "5s",
        "long_drain": "2m",
    }
    web = desired(compose).services["web"]
    assert {key: web[key] for key in ("order", "replicas", "parallelism", "delay", "monitor", "max_failure_ratio")} == {
        "order": "start-first", "replicas": 3, "parallelism": 0, "delay": 1, "monitor": 60, "max_failure_ratio": 0.25,
    }
    assert (web["stop_grace_period"], web["depends_on"], web["critical"]) == (90, ["edge"], False)
    rollout = web["rollout"]
    assert rollout["edge"]["content"] == 'map "" $web { default {upstream}:80; }'
    assert rollout["edge"]["confirm"] == ["curl", "-fsS", "1"]
    assert (rollout["max_p95_ms"], rollout["drain"], rollout["long_drain"]) == (500, 5, 120)
    assert rollout["smoke"][0]["name"] == "alive" and rollout["verify"][0]["http"] == {"url": "http://{edge}/"}


def test_a_worker_has_no_edge():
    worker = desired({"services": {"worker": {"image": "w", "deploy": {"update_config": {"order": "start-first"}}}}})
    assert worker.services["worker"]["rollout"] == {
        "edge": None, "smoke": [], "verify": [], "max_p95_ms": None, "drain": 30, "long_drain": 60,
    }


def test_an_edge_that_is_told_by_a_link():
    rollout = {"edge": {"service": "edge", "path": "/etc/caddy/web/upstream"}}
    assert desired(changed("web", **{"x-rollout": rollout})).services["web"]["rollout"]["edge"] == {
        **rollout["edge"], "content": "", "test": [], "reload": [], "confirm": [],
    }


def test_an_edge_that_runs_on_another_host():
    compose = changed("edge", profiles=["edge"])
    assert desired(compose).services["web"]["rollout"]["edge"] is None
    assert desired(compose, profiles=["edge"]).services["web"]["rollout"]["edge"]["service"] == "edge"


def test_only_active_services_are_waited_for():
    compose = {"services": {"a": {"image": "a", "depends_on": {"b": {"condition": "service_started"}, "c": {}}}}}
    compose["services"].update(b={"image": "b", "profiles": ["other"]}, c={"image": "c"})
    assert desired(compose).services["a"]["depends_on"] == ["c"]


def test_migrations():
    job = {"image": "m", "restart": "no", "x-migrations": {"plan": ["m", "--plan"], "undo": ["m", "--to", "{head}"]}}
    found = desired({"services": {"job": job}}).services["job"]["migrations"]
    assert found == {"plan": ["m", "--plan"], "undo": ["m", "--to", "{head}"]}
    del job["x-migrations"]["undo"]
    assert desired({"services": {"job": job}}).services["job"]["migrations"] == {"plan": ["m", "--plan"], "undo": []}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"container_name": "web"}, "container_name"),
        ({"ports": ["8080:8000"]}, "host port (8080)"),
        ({"ports": ["127.0.0.1:${P:-81}:8000/tcp"]}, "host port (81)"),
        ({"ports": [{"target": 80, "published": "8080"}]}, "host port (8080)"),
        ({"ports": ["[::1]:8080:80"]}, "host port (8080)"),
        ({"ports": ["8000-8010:80"]}, "host port"),
        ({"network_mode": "host", "networks": None, "x-rollout": None}, "network_mode host"),
        ({"restart": "no"}, "ends by itself"),
        ({"networks": {"front": {"ipv4_address": "10.0.0.2"}}}, "fixed address"),
    ],
)
def test_what_cannot_be_rolled_out(fields, said):
    with pytest.raises(ProductionError) as raised:
        desired(changed("web", **fields))
    assert raised.value.culprit == "web" and said in raised.value.cause and "start-first" in raised.value.remedy
    compose = changed("web", **fields, deploy=None)
    assert desired(compose).services["web"]["order"] == "stop-first"  # in place it may have all that


@pytest.mark.parametrize("ports", [["8000"], [8000], ["127.0.0.1::8000"], [{"target": 8000}], ["8000/udp"], []])
def test_ports_that_any_number_of_containers_may_have(ports):
    assert desired(changed("web", ports=ports)).services["web"]["order"] == "start-first"


@pytest.mark.parametrize(
    ("rollout", "said"),
    [
        ({"egde": EDGE}, "there is no egde"),
        ([], None),
        ("fast", "x-rollout: it is no mapping"),
        ({"edge": {**EDGE, "reloads": []}}, "x-rollout.edge: there is no reloads"),
        ({"edge": {**EDGE, "service": "front"}}, "no other service front"),
        ({"edge": {**EDGE, "service": "web"}}, "no other service web"),
        ({"edge": {**EDGE, "path": "web.conf"}}, "x-rollout.edge.path"),
        ({"edge": {**EDGE, "path": "/web.conf"}}, "x-rollout.edge.path"),
        ({"edge": {**EDGE, "content": "server web:80;"}}, "{upstream}"),
        ({"edge": {**EDGE, "service": None}}, "x-rollout.edge.service: a text"),
        ({"edge": {**EDGE, "path": ["/a/b"]}}, "x-rollout.edge.path: a text"),
        ({"edge": {**EDGE, "test": "nginx -t"}}, "x-rollout.edge.test"),
        ({"edge": {**EDGE, "reload": [["nginx"]]}}, "x-rollout.edge.reload"),
        ({"edge": {**EDGE, "confirm": [True]}}, "x-rollout.edge.confirm"),
        ({"smoke": {"name": "x"}}, "x-rollout.smoke"),
        ({"verify": [{"http": {}}]}, "x-rollout.verify"),
        ({"max_p95_ms": "fast"}, "'fast' is no number"),
        ({"max_p95_ms": -1}, "-1 is below 0"),
        ({"drain": 30}, "30 is no duration"),
    ],
)
def test_mistakes_in_x_rollout(rollout, said):
    if said is None:
        assert desired(changed("web", **{"x-rollout": rollout})).services["web"]["rollout"]["edge"] is None
        return
    with pytest.raises(ProductionError) as raised:
        desired(changed("web", **{"x-rollout": rollout}))
    assert raised.value.culprit == "web" and said in raised.value.cause and raised.value.remedy


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"order": "rolling"}, "neither start-first nor stop-first"),
        ({"paralelism": 1}, "there is no paralelism"),
        ({"parallelism": "1.5"}, "is no whole number"),
        ({"parallelism": -1}, "below 0"),
        ({"max_failure_ratio": 1.5}, "above 1"),
        ({"max_failure_ratio": "nan"}, "above 1"),
        ({"monitor": "soon"}, "no duration"),
        ([1], "no mapping"),
    ],
)
def test_mistakes_in_update_config(update, said):
    with pytest.raises(ProductionError) as raised:
        desired(changed("web", deploy={"update_config": update}))
    assert raised.value.culprit == "web" and said in raised.value.cause


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"x-migrations": {"plan": ["m"]}}, "never ends"),
        ({"restart": "no", "x-migrations": {"undo": ["m"]}}, "x-migrations.plan"),
        ({"restart": "no", "x-migrations": {"plan": "m"}}, "x-migrations.plan"),
        ({"restart": "no", "x-migrations": {"plan": []}}, "x-migrations.plan"),
        ({"restart": "no", "x-migrations": {"plan": ["m", ["n"]]}}, "x-migrations.plan"),
        ({"restart": "no", "x-migrations": {"plan": ["m"], "undo": "m"}}, "x-migrations.undo"),
        ({"restart": "no", "x-migrations": {"plan": ["m"], "undo": ["m"]}}, "does not say with {head} where to go"),
        ({"restart": "no", "x-migrations": {"plan": ["m"], "redo": ["m"]}}, "there is no redo"),
        ({"restart": "no", "x-migrations": ["m"]}, "no mapping"),
    ],
)
def test_mistakes_in_x_migrations(fields, said):
    with pytest.raises(ProductionError) as raised:
        desired({"services": {"job": {"image": "m", **fields}}})
    assert raised.value.culprit == "job" and said in raised.value.cause


def test_an_edge_on_no_common_network():
    with pytest.raises(ProductionError) as raised:
        desired(changed("edge", networks=["public"]))
    assert raised.value.culprit == "web" and "on no network of its edge" in raised.value.cause


def test_two_services_that_would_write_one_file():
    compose = changed("web")
    other = copy.deepcopy(compose["services"]["web"])
    compose["services"]["api"] = other
    with pytest.raises(ProductionError) as raised:
        desired(compose)
    assert "web.conf" in raised.value.cause
    other["x-rollout"]["edge"]["path"] = "/etc/nginx/upstream/api.conf"
    assert services.edge_mounts(desired(compose).services) == {"edge": ["/etc/nginx/upstream"]}


def test_what_makes_another_generation():
    web = {"image": "web:1", "environment": {"A": "1"}, "deploy": {"update_config": {"order": "start-first"}}}
    before = services.generation(web)
    assert len(before) == 12
    for same in (
        {"build": {"context": "/x"}},
        {"pull_policy": "never"},
        {"depends_on": {"db": {}}},
        {"deploy": {"replicas": 3, "update_config": {"delay": "1s"}, "resources": {}}},
        {"deploy": None},
    ):
        assert services.generation({**web, **same}) == before, same
    for other in ({"image": "web:2"}, {"environment": {"A": "2"}}, {"deploy": {"resources": {"limits": {"cpus": 1}}}}):
        assert services.generation({**web, **other}) != before, other


def test_output_shows_no_target():
    smoke = [{"name": "login", "redis": {"host": "{address}", "login_password": "${PASSWORD}"}}]
    described = desired(changed("web", **{"x-rollout": {"smoke": smoke}})).services
    assert "hunter2" in json.dumps(described) and "hunter2" not in json.dumps(services.public(described))
    assert services.public(described)["web"]["rollout"]["smoke"] == ["login"]
