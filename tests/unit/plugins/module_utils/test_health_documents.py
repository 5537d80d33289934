# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Health documents as frameworks emit them, and broken ones: one normal form, never a traceback, never falsely good."""

from __future__ import annotations

import json
import time

import pytest

from ansible_collections.tria.production.plugins.module_utils._probes import _health_documents as documents

JSON = "application/json; charset=UTF-8"
HEALTH_JSON = "application/health+json"
ACTUATOR = "application/vnd.spring-boot.actuator.v3+json"
DB_ERROR = "org.springframework.jdbc.CannotGetJdbcConnectionException: Failed to obtain JDBC Connection"

SPRING = {
    "status": "DOWN",
    "components": {
        "broker": {
            "status": "UP",
            "components": {
                "us1": {"status": "UP", "details": {"version": "1.0.2"}},
                "us2": {"status": "UP", "details": {"version": "1.0.4"}},
            },
        },
        "db": {"status": "DOWN", "details": {"database": "PostgreSQL", "error": DB_ERROR}},
        "diskSpace": {"status": "UP", "details": {"total": 76887154688, "free": 49923645440, "exists": True}},
        "discoveryComposite": {"status": "UNKNOWN", "description": "Discovery Client not initialized"},
    },
    "groups": ["liveness", "readiness"],
}
SPRING_2_1 = {
    "status": "DOWN",
    "details": {
        "db": {"status": "UP", "details": {"first": {"status": "UP", "details": {"database": "H2"}}}},
        "redis": {"status": "DOWN", "details": {"error": "io.lettuce.core.RedisConnectionException: refused"}},
    },
}
QUARKUS = {
    "status": "DOWN",
    "checks": [
        {
            "name": "Database connections health check",
            "status": "DOWN",
            "data": {"<default>": "Unable to execute the validation check for the default DataSource: refused"},
        },
        {"name": "SmallRye Reactive Messaging - readiness check", "status": "UP"},
    ],
}
DRAFT = {
    "status": "fail",
    "version": "1",
    "releaseId": "1.2.2",
    "output": "",
    "checks": {
        "cassandra:responseTime": [
            {
                "componentId": "dfd6cf2b", "componentType": "datastore", "observedValue": 1.5, "observedUnit": "s",
                "status": "fail", "affectedEndpoints": ["/users/{userId}"], "time": "2018-01-17T03:36:48Z",
                "output": "slower than a second",
            }
        ],
        "uptime": [{"componentType": "system", "observedValue": 1209600.245, "observedUnit": "s"}],
        "cpu:utilization": [
            {"node": 1, "observedValue": 85, "observedUnit": "percent", "status": "warn", "output": ""},
            {"node": 2, "observedValue": 12, "observedUnit": "percent", "status": "pass"},
        ],
    },
}
READINESS = {
    "status": "unhealthy",
    "overall_healthy": False,
    "services": {
        "database": {
            "healthy": True, "response_time_ms": 12.5, "pool": {"size": 10, "checked_in": 8, "checked_out": 2},
        },
        "redis": {"healthy": False, "response_time_ms": 2.3, "host": "redis", "port": 6379, "message": "NOAUTH"},
        "openai": {"healthy": False, "critical": False, "api_key_set": True, "model": "gpt-4-turbo-preview"},
        "order": {"healthy": None},
    },
    "metrics": {"cpu_percent": 15.2, "memory_percent": 45.8, "disk_percent": 23.1},
}


def read(document, content_type=JSON):
    """The normal form, which must survive JSON as it is."""
    health = documents.parse(content_type, document)
    assert health is None or json.loads(json.dumps(health, allow_nan=False)) == health
    return health


def statuses(health):
    return {name: one["status"] for name, one in health["components"].items()}


def test_spring_with_nested_components():
    health = read(SPRING, ACTUATOR)
    assert (health["format"], health["status"], health["reported"]) == ("spring", "fail", "DOWN")
    assert statuses(health) == {
        "broker/us1": "pass", "broker/us2": "pass", "db": "fail", "diskSpace": "pass", "discoveryComposite": "unknown",
    }
    assert health["components"]["diskSpace"]["details"]["free"] == 49923645440
    assert documents.troubles(health) == [f"component db is DOWN: {DB_ERROR}"]


def test_spring_before_2_2_and_one_indicator_alone():
    health = read(SPRING_2_1)
    assert statuses(health) == {"db/first": "pass", "redis": "fail"}
    alone = read({"status": "DOWN", "details": {"database": "H2", "error": "refused"}})
    assert alone["components"] == {} and documents.troubles(alone) == ["the health document says DOWN: refused"]


@pytest.mark.parametrize(
    "word, status", [("UP", "pass"), ("DOWN", "fail"), ("OUT_OF_SERVICE", "fail"), ("UNKNOWN", "warn")]
)
def test_spring_that_shows_no_details(word, status):
    assert read({"status": word})["status"] == status
    assert read({"status": word, "groups": ["readiness"]}, ACTUATOR)["status"] == status


def test_a_word_of_their_own_is_never_good():
    health = read({"status": "FATAL"}, ACTUATOR)
    assert health["status"] == "warn" and documents.troubles(health) == ["the health document says FATAL"]


def test_microprofile_with_the_reason_in_its_data():
    health = read(QUARKUS)
    assert (health["format"], health["status"]) == ("microprofile", "fail")
    assert documents.troubles(health) == [
        "component Database connections health check is DOWN: "
        "<default>: Unable to execute the validation check for the default DataSource: refused"
    ]
    assert read({"status": "UP", "checks": []})["status"] == "pass"


def test_health_json():
    health = read(DRAFT, HEALTH_JSON + ";charset=utf-8")
    assert (health["format"], health["status"], health["version"]) == ("health+json", "fail", "1")
    assert statuses(health) == {
        "cassandra:responseTime": "fail", "uptime": "unknown", "cpu:utilization": "warn", "cpu:utilization (2)": "pass",
    }
    slow = health["components"]["cassandra:responseTime"]
    assert slow["response_time_ms"] == 1500.0 and slow["affected_endpoints"] == ["/users/{userId}"]
    assert health["components"]["uptime"]["observed_value"] == 1209600.245
    assert documents.troubles(health) == ["component cassandra:responseTime is fail: slower than a second"]
    assert read(DRAFT) == health  # its shape is enough


@pytest.mark.parametrize(
    "word, status",
    [
        ("pass", "pass"), ("OK", "pass"), ("up", "pass"), ("Warn", "warn"), ("fail", "fail"), ("error", "fail"),
        ("down", "fail"), ("red", "warn"),
    ],
)
def test_words_of_health_json(word, status):
    assert read({"status": word}, HEALTH_JSON)["status"] == status


def test_health_json_says_why_at_the_top():
    health = read({"status": "fail", "output": "no licence"}, HEALTH_JSON)
    assert documents.troubles(health) == ["the health document says fail: no licence"]


def test_the_readiness_document():
    health = read(READINESS)
    assert (health["format"], health["status"]) == ("readiness", "fail")
    assert statuses(health) == {"database": "pass", "redis": "fail", "openai": "fail", "order": "unknown"}
    assert health["components"]["database"]["pool"] == {"size": 10, "checked_in": 8, "checked_out": 2}
    assert health["components"]["database"]["response_time_ms"] == 12.5
    assert health["components"]["openai"]["details"] == {"api_key_set": True, "model": "gpt-4-turbo-preview"}
    assert health["metrics"]["memory_percent"] == 45.8
    assert documents.troubles(health)[0] == "component redis is unhealthy: NOAUTH"


def test_a_critical_component_leads():
    services = {"openai": {"healthy": False, "critical": False}, "redis": {"healthy": False}}
    told = documents.troubles(read({"overall_healthy": False, "services": services}))
    assert told == ["component redis is unhealthy", "component openai is unhealthy"]


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"overall_healthy": True, "status": "healthy", "services": {}}, "pass"),
        ({"overall_healthy": True, "status": "ready", "services": {}}, "pass"),
        ({"overall_healthy": True, "status": "degraded", "services": {}}, "warn"),
        ({"overall_healthy": True, "status": "healthy"}, "warn"),  # with a service that is not
        ({"overall_healthy": False, "status": "healthy", "services": {}}, "fail"),
        ({"overall_healthy": True, "status": "unhealthy", "services": {}}, "fail"),
        ({"overall_healthy": True, "status": 5, "services": {}}, "pass"),
    ],
)
def test_the_readiness_documents_verdict(changes, status):
    assert read({**READINESS, **changes})["status"] == status


def test_what_is_read_can_be_told_in_the_readiness_documents_own_words():
    told = documents.services(read(READINESS))
    assert told["database"] == READINESS["services"]["database"]
    message = "api_key_set: true, model: gpt-4-turbo-preview"  # nothing better was said
    assert told["openai"] == {**READINESS["services"]["openai"], "message": message}
    assert told["order"] == {"healthy": None}
    assert {name: one["healthy"] for name, one in documents.services(read(DRAFT)).items()} == {
        "cassandra:responseTime": False, "uptime": None, "cpu:utilization": True, "cpu:utilization (2)": True,
    }
    assert documents.services(read({"status": "UP", "components": {"db": 3}}))["db"]["healthy"] is None


def test_services_within_services():
    inner = {"services": {"database": {"healthy": False, "message": "refused"}}}
    health = read({"overall_healthy": True, "services": {"api": {"healthy": True, **inner}}})
    assert statuses(health) == {"api": "pass", "api/database": "fail"} and health["status"] == "warn"


@pytest.mark.parametrize(
    "document",
    [
        None, 5, "UP", [], [{"status": "UP"}], {}, {"status": "alive", "uptime_seconds": 3600}, {"status": "success"},
        {"status": "ok"}, {"status": "error", "message": "x"}, {"status": "pass"}, {"status": "fail", "checks": "many"},
        {"status": "UP", "floor": 3}, {"status": "DOWN", "id": 1, "checks": 2}, {"status": "green"}, {"status": 200},
        {"status": ["UP"]}, {"overall_healthy": "yes", "services": {}}, {"overall_healthy": True, "services": []},
        {"status": "paid", "components": {"a": {"status": "DOWN"}}}, {"checks": []}, {"components": {}},
    ],
)
def test_other_json_is_no_health_document(document):
    assert read(document) is None


def test_another_endpoint_of_the_actuator_is_no_health_document():
    assert read({"names": ["jvm.memory.used"]}, ACTUATOR) is None


WRONG = [
    None, True, 0, -1.5, float("nan"), float("inf"), 10**400, "", "x\x00\ud800", [], [1], {}, {"status": 5}, {"a": {}},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize(
    "shape",
    [
        lambda wrong: (HEALTH_JSON, {"status": wrong}),
        lambda wrong: (HEALTH_JSON, {"status": "pass", "checks": wrong, "version": wrong, "output": wrong}),
        lambda wrong: (HEALTH_JSON, {"status": "pass", "checks": {"a": wrong, "b": [wrong]}}),
        lambda wrong: (
            HEALTH_JSON,
            {
                "status": "pass",
                "checks": {
                    "a:responseTime": [
                        dict.fromkeys(
                            ["status", "observedValue", "observedUnit", "time", "output", "affectedEndpoints"], wrong
                        ),
                        {"observedValue": wrong, "observedUnit": "s"},
                    ]
                },
            },
        ),
        lambda wrong: (ACTUATOR, {"status": "UP", "components": wrong, "details": wrong}),
        lambda wrong: (ACTUATOR, {"status": "UP", "components": {"a": wrong}}),
        lambda wrong: (ACTUATOR, {"status": "UP", "components": {"a": {"status": wrong, "details": {"x": wrong}}}}),
        lambda wrong: (ACTUATOR, {"status": "UP", "details": {"a": wrong, "b": {"status": "UP", "details": wrong}}}),
        lambda wrong: (JSON, {"status": "UP", "checks": [wrong]}),
        lambda wrong: (JSON, {"status": "UP", "checks": [{"name": wrong, "status": wrong, "data": wrong}]}),
        lambda wrong: (JSON, {"overall_healthy": True, "services": {"a": wrong}, "metrics": wrong, "status": wrong}),
        lambda wrong: (
            JSON,
            {
                "overall_healthy": True,
                "services": {
                    "a": {
                        "healthy": wrong, "response_time_ms": wrong, "pool": wrong, "critical": wrong, "message": wrong,
                        "services": wrong,
                    },
                    "b": {"healthy": True, "pool": {"size": wrong}},
                },
            },
        ),
    ],
)
def test_wrong_types_never_break_it(shape, wrong):
    content_type, document = shape(wrong)
    health = read(document, content_type)
    if health is not None:
        assert health["status"] in ("pass", "warn", "fail")
        assert bool(documents.troubles(health)) == (health["status"] != "pass")
        assert set(documents.services(health)) == set(health["components"])


@pytest.mark.parametrize(
    "content_type, document, message",
    [
        (HEALTH_JSON, {"status": 1}, "the health document cannot be read: status 1"),
        (HEALTH_JSON, {"checks": {}}, "the health document cannot be read: status null"),
        (HEALTH_JSON, {"status": "pass", "checks": 7}, "component checks cannot be read: 7"),
        (HEALTH_JSON, {"status": "pass", "checks": {"db": ["x"]}}, 'component db cannot be read: "x"'),
        (ACTUATOR, {"status": "UP", "components": {"db": {}}}, "component db cannot be read: status null"),
        (ACTUATOR, {"status": "UP", "components": {"db": 3}}, "component db cannot be read: 3"),
        (JSON, {"status": "UP", "checks": ["x"]}, 'component check 1 cannot be read: "x"'),
        (JSON, {"status": "UP", "checks": [{"status": True}]}, "component check 1 cannot be read: status true"),
        (JSON, {"overall_healthy": True, "services": {"db": 1}}, "component db cannot be read: 1"),
        (JSON, {"overall_healthy": True, "services": {"db": {}}}, "component db cannot be read: status null"),
    ],
)
def test_what_cannot_be_read_is_a_warning_that_says_so(content_type, document, message):
    health = read(document, content_type)
    assert health["status"] == "warn" and documents.troubles(health) == [message]


def test_the_worst_are_kept_and_a_few_are_told():
    good = [{"name": f"n{number}", "status": "UP"} for number in range(300)]
    health = read({"status": "DOWN", "checks": good + [{"name": "last", "status": "DOWN"}] * 9})
    assert len(health["components"]) == 200 and health["omitted"] == 109
    assert health["components"]["last"]["status"] == "fail" and "last (9)" in health["components"]
    told = documents.troubles(health)
    assert len(told) == 6 and told[-1] == "and 4 more components"


def test_a_body_full_of_components_costs_no_time():
    begun = time.monotonic()
    health = read({"status": "UP", "checks": [{}] * 300_000})
    assert time.monotonic() - begun < 1 and health["status"] == "warn"
    health = read({"status": "UP", "checks": [{"name": "a", "status": "UP"}] * 2001})
    assert documents.troubles(health) == ["component … cannot be read: there are more than 2000 components"]


def test_depth_is_bounded():
    node = {"status": "DOWN"}
    for _level in range(400):
        node = {"status": "DOWN", "components": {"a": node}}
    health = read(node)
    assert list(health["components"]) == ["/".join("a" * 9)] and health["status"] == "fail"
    deep = json.loads('{"status": "pass", "checks": {"a": ' + "[" * 900 + "]" * 900 + "}}")
    assert read(deep, HEALTH_JSON)["status"] == "warn"


def test_long_texts_are_cut_and_steer_no_terminal():
    health = read({"status": "DOWN", "components": {"n" * 999: {"status": "DOWN", "details": {"error": "e" * 9999}}}})
    (name, component), = health["components"].items()
    assert len(name) == 100 and len(component["message"]) == 300
    health = read({"status": "fail", "output": "\x1b[2Jone\ntwo"}, HEALTH_JSON)
    assert health["message"] == "one two"


def test_facts_named_like_secrets_are_masked():
    details = {"password": "correct horse", "url": "jdbc:postgresql://db", "api_key_set": True}
    health = read({"status": "DOWN", "components": {"db": {"status": "DOWN", "details": details}}})
    component = health["components"]["db"]
    assert "horse" not in str(component)
    assert component["details"]["url"] == "jdbc:postgresql://db" and component["details"]["api_key_set"] is True
