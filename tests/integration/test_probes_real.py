# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""service_health and readiness_wait against real servers and containers, each with the fault it must find."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid

import docker
import pytest
from probe_stack import PASSWORD, SHELL, Stack, by_name, entries, refused, wait

from ansible_collections.tria.production.plugins.module_utils import _health


@pytest.fixture(scope="module")
def engine():
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture()
def stack(engine):
    stack = Stack(engine)
    yield stack
    stack.remove()


@pytest.fixture(scope="module")
def data(engine):
    """One Redis and one PostgreSQL with a password; both are first waited for with the code under test."""
    stack = Stack(engine)
    try:
        stack.run_redis()
        stack.run_postgres()
        wait(stack.redis(), stack.postgres(), timeout=60)
        yield stack
    finally:
        stack.remove()


# --- containers -------------------------------------------------------------------------------------------------------


def test_a_loop_that_was_running_when_first_seen_is_found(stack):
    container = stack.run("app", [*SHELL, "sleep 2; exit 5"], restart_policy={"Name": "always"})
    while container.attrs["RestartCount"] < 1:
        container.reload()
    assert "restart loop" in refused(stack.container("app")).cause


def test_exit_is_reported_at_once_with_code_and_redacted_log(stack):
    secret = uuid.uuid4().hex
    container = stack.run("app", [*SHELL, f"echo token is {secret}; sleep 1.2; exit 7"])
    error = refused(stack.container("app"), secrets=[secret], stable_for=10)
    container.reload()
    assert error.details["exit_code"] == 7
    assert error.details["log_tail"] == ["token is ********"]
    assert secret not in json.dumps(error.as_result())
    assert error.details["elapsed"] < 3


def test_seconds_between_exit_and_return(stack, record_property):
    container = stack.run("app", [*SHELL, "read line; exit 1"], stdin_open=True)
    container.reload()
    delays = []

    def kill():
        time.sleep(1.5)
        delays.append(time.monotonic())
        os.kill(container.attrs["State"]["Pid"], signal.SIGKILL)  # asking the Engine could open a socket of our own

    thread = threading.Thread(target=kill)
    thread.start()
    refused(stack.container("app"), stable_for=10)
    delay = time.monotonic() - delays[0]
    thread.join()
    record_property("exit_to_return_s", round(delay, 3))
    assert delay < 1.0  # the goal is 0.25 s; a busy machine must not make this fail


def test_a_missing_replica_and_a_missing_service(stack):
    stack.run("app", [*SHELL, "sleep 60"])
    time.sleep(1.1)
    assert "has 1 of 2 containers" in refused(stack.container("app", replicas=2)).cause
    begun = time.monotonic()
    assert "has 0 of 1 containers" in refused(stack.container("other"), startup_grace=1.0).cause
    assert 1.0 <= time.monotonic() - begun < 3


def test_one_shot(stack):
    stack.run("migrate", [*SHELL, "sleep 0.5; exit 0"])
    found = wait(stack.container("migrate", one_shot=True))
    assert found["overall_status"] == "healthy" and found["elapsed"] < 3
    error = refused(stack.container("migrate"))
    assert "has ended (exit code 0)" in error.cause
    stack.run("broken", [*SHELL, "echo no such column; exit 1"])
    assert "no such column" in refused(stack.container("broken", one_shot=True)).cause


def test_a_dead_container_leads_before_its_victims(stack):
    stack.run("app", [*SHELL, "sleep 0.7; echo cannot bind; exit 9"])
    error = refused({"name": "api", "http": {"url": "http://127.0.0.1:1/"}}, stack.container("app", name="backend"))
    assert error.culprit == "backend" and "cannot bind" in error.cause
    assert "Not ready either: api (cannot connect" in error.cause


def test_the_container_behind_an_unpublished_port_is_watched_too(stack):
    stack.run("app", [*SHELL, "sleep 0.7; echo wrong flag; exit 9"])
    error = refused({"name": "api", "tcp": stack.at("app", port=8000)}, timeout=20)
    assert error.details["elapsed"] < 3
    assert "exit code 9" in error.cause and "wrong flag" in error.cause


def test_health_status_and_log_are_reported(stack):
    check = {"test": ["CMD-SHELL", "echo no answer; false"], "interval": 2 * 10**8, "retries": 1}
    stack.run("app", [*SHELL, "sleep 60"], healthcheck=check)
    error = refused(stack.container("app"), timeout=2)
    assert "unhealthy" in error.cause and error.details["health_log"][-1] == "1: no answer"


def test_healthy_containers_are_ready_when_the_engine_says_so(stack):
    check = {"test": ["CMD-SHELL", "test -e /tmp/ready"], "interval": 2 * 10**8}
    stack.run("app", [*SHELL, "sleep 1; touch /tmp/ready; sleep 60"], healthcheck=check)
    found = wait(stack.container("app"))
    assert by_name(found)["app"]["data"]["containers"][0]["health"] == "healthy"


def test_service_health_explains_a_dead_container(stack):
    stack.run("app", [*SHELL, "echo last words; exit 3"])
    time.sleep(0.5)
    found = _health.check(entries(stack.container("app")), 10, fail_on="never")
    assert found["overall_status"] == "unhealthy"
    container = found["results"][0]["data"]["containers"][0]
    assert container["exit_code"] == 3 and container["log_tail"] == ["last words"]


def test_service_health_believes_a_young_container_only_after_a_second(stack):
    stack.run("app", [*SHELL, "sleep 60"])
    assert _health.check(entries(stack.container("app")), 10)["overall_status"] == "healthy"


# --- redis ------------------------------------------------------------------------------------------------------------


def test_redis_round_trip(data):
    found = _health.check(entries(data.redis(round_trip=True)), 10)
    assert found["results"][0]["status"] == "pass" and found["results"][0]["data"]["round_trip"] is True


def test_redis_that_cannot_write(stack):
    stack.run("redis", ["redis-server", "--replicaof", "127.0.0.1", "1", "--protected-mode", "no"])
    wait(stack.redis(login_password=None))
    error = refused(stack.redis(login_password=None, round_trip=True), timeout=1)
    assert "READONLY" in error.cause


# --- postgres ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def catalog(data):
    sql = (
        'CREATE TABLE catalog (id int); INSERT INTO catalog VALUES (1), (2); CREATE TABLE "Odd; name" (id int);'
        "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('a1');"
    )
    code, output = data.containers[1].exec_run(
        ["psql", "-U", "shop", "-d", "shop", "-c", sql], environment={"PGPASSWORD": PASSWORD}
    )
    assert code == 0, output
    return data


def test_postgres_tables_rows_pool_and_migration(catalog):
    target = catalog.postgres(
        tables=["catalog", "public.catalog", "Odd; name"], min_rows={"catalog": 2}, migration_head="a1"
    )
    result = _health.check(entries(target), 10)["results"][0]
    assert result["status"] == "pass"
    assert result["data"]["pool"]["max"] == 100 and result["data"]["pool"]["used"] >= 1
    assert result["data"]["rows_at_least"] == {"catalog": 2}


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"tables": ["catalog", "orders"]}, "table orders does not exist"),
        ({"min_rows": {"catalog": 3}}, "table catalog has 2 of at least 3 rows"),
        ({"migration_head": "b2"}, "the migration head is a1 instead of b2"),
        ({"migration_head": "b2", "migration_table": "no_table"}, "no migration has run"),
    ],
)
def test_postgres_shortfalls(catalog, options, expected):
    result = _health.check(entries(catalog.postgres(**options)), 10, fail_on="never")["results"][0]
    assert result["status"] == "fail" and expected in result["message"]


SCHEMA_CHANGES = [
    "ALTER TABLE shelf ADD COLUMN depth int",
    "ALTER TABLE shelf ALTER COLUMN id TYPE bigint",
    "ALTER TABLE shelf ALTER COLUMN name SET NOT NULL",
    "ALTER TABLE shelf ALTER COLUMN name SET DEFAULT 'x'",
    "ALTER TABLE shelf ALTER COLUMN name TYPE text COLLATE \"C\"",
    "ALTER TABLE shelf ADD CONSTRAINT low CHECK (id < 9)",
    "CREATE INDEX ON shelf (name)",
    "DROP INDEX shelf_id",
    "CREATE VIEW names AS SELECT name FROM shelf",
    "CREATE TRIGGER t BEFORE UPDATE ON shelf FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER TYPE mood ADD VALUE 'fine'",
    "ALTER DOMAIN few ADD CHECK (VALUE > 1)",
    "CREATE SCHEMA other; CREATE TABLE other.shelf (id int)",
]
NO_SCHEMA_CHANGES = [
    "INSERT INTO shelf VALUES (1)",
    "GRANT SELECT ON shelf TO PUBLIC",
    "ALTER TABLE shelf DROP COLUMN depth; ALTER TABLE shelf ADD COLUMN depth int",
    "ANALYZE",
    "CREATE TEMP TABLE passing (id int)",
]


def test_the_hash_of_a_schema_tells_every_change_of_it_and_no_other(data):
    def psql(*statements, database="marked"):
        argv = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "shop", "-d", database]
        argv += [part for statement in statements for part in ("-c", statement)]
        code, output = data.containers[1].exec_run(argv, environment={"PGPASSWORD": PASSWORD})
        assert code == 0, output

    def look():
        target = data.postgres(dbname="marked", tables=["shelf"], schema_hash=True)
        return _health.check(entries(target), 10)["results"][0]["data"]

    psql("CREATE DATABASE marked", database="shop")
    psql("CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN few AS int; CREATE TABLE shelf (id int, name text);"
         "CREATE INDEX shelf_id ON shelf (id)")
    assert look()["migration_head"] == [] and len(look()["schema_hash"]) == 64
    seen = {look()["schema_hash"]}
    for change in SCHEMA_CHANGES:
        psql(change)
        found = look()["schema_hash"]
        assert found not in seen, change
        seen.add(found)
    for change in NO_SCHEMA_CHANGES:
        psql(change)
        assert look()["schema_hash"] == found, change
    psql("CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('a1')")
    assert look()["migration_head"] == ["a1"]


def test_postgres_pool_warning(catalog):
    found = _health.check(entries(catalog.postgres(pool_max_percent=0.5)), 10)
    assert found["overall_status"] == "degraded" and "connections are in use" in found["results"][0]["message"]


def test_a_server_without_tls_ends_the_wait_of_who_wants_it_at_once(data):
    error = refused(data.postgres(sslmode="require"))
    assert error.details["elapsed"] < 2 and "does not support SSL" in error.cause and error.remedy


def test_postgres_is_not_ready_during_its_initialisation(stack):
    stack.run_postgres()
    found = wait(stack.postgres(), timeout=60)
    # ready means ready: the very next look, right away, is good too
    assert _health.check(entries(stack.postgres()), 10)["overall_status"] == "healthy"
    assert by_name(found)["database"]["data"]["flaps"] == 0
