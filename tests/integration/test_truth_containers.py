# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The truth about containers that die, loop, hang or never come: verdict, time to it and words, of both modules."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import uuid

import docker
import pytest
from ansible_collections.tria.production.plugins.module_utils._probes import _compose
from probe_stack import (
    LATE,
    PASSWORD,
    SHELL,
    Stack,
    SteppedClock,
    by_name,
    elsewhere,
    health,
    never_ready,
    refused,
    refused_at_once,
    wait,
)

SECOND = 10**9  # as the Engine counts
ALWAYS = {"Name": "always"}


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


# --- containers that do not stay --------------------------------------------------------------------------------------


def test_crash_loop_without_healthcheck(stack):
    stack.run("app", [*SHELL, "sleep 0.3; echo phase redis: boom; exit 3"], restart_policy=ALWAYS)
    error = refused(stack.container("app"))
    assert error.took < 3.0 and error.culprit == "app" and error.details["phase"] == "container"
    assert "restart loop" in error.cause and "phase redis: boom" in error.cause
    assert "exit code 3" in error.cause or "exit code" not in error.cause, "it may run again already"
    assert error.details["exit_code"] in (3, None)
    seen = health(stack.container("app"))["app"]
    assert seen["status"] == "fail" and any(
        words in seen["message"] for words in ("restart loop", "has been running for", "exit code 3")
    )


def test_crash_loop_with_healthcheck(stack):
    check = {"test": ["CMD", "true"], "interval": SECOND, "start_period": SECOND, "start_interval": SECOND // 5}
    stack.run("app", [*SHELL, "sleep 1.5; exit 4"], restart_policy=ALWAYS, healthcheck=check)
    error = refused(stack.container("app"), stable_for=3)
    assert error.took < 3.5 and "restart loop" in error.cause and error.details["phase"] == "container"
    time.sleep(2.0)  # it runs again and its check says healthy, as it did before it died
    seen = health(stack.container("app"))["app"]
    told = ("of 10 s", "is starting", "restart loop")
    assert seen["status"] == "fail" and any(words in seen["message"] for words in told)


def test_two_of_three_replicas_dead(stack):
    stack.run("app", [*SHELL, "sleep 60"])
    stack.run("app", [*SHELL, "exit 1"])
    stack.run("app", [*SHELL, "exit 2"])
    dead = f"container {stack.project}-app-2 has ended (exit code 1); container {stack.project}-app-3 has ended"
    error = refused_at_once(stack.container("app", replicas=3), dead, "container")
    replicas = error.details["results"][0]["data"]["replicas"]
    assert replicas["found"] == 3 and replicas["ready"] < 2


def test_out_of_memory(stack):
    hog = "import time; time.sleep(0.5); held = b'x' * 200_000_000; time.sleep(9)"
    stack.run("app", ["python3", "-c", hog], base="python", mem_limit="32m", memswap_limit="32m")
    error = refused_at_once(stack.container("app"), "exit code 137, out of memory", "container", 3.0, stable_for=10)
    assert "memory limit" in error.remedy and error.details["exit_code"] == 137


def test_a_command_that_does_not_exist(stack):
    with pytest.raises(docker.errors.APIError):
        stack.run("app", ["no-such-command"])
    error = refused_at_once(stack.container("app"), "no-such-command", "container")
    assert "could not be started" in error.cause and "does not exist in the image" in error.remedy


def test_an_image_that_does_not_exist(tmp_path, stack):
    services = {
        "db": {"image": os.environ["TRIA_TEST_REDIS_IMAGE"], "command": ["sleep", "60"]},
        "backend": {"image": "tria.invalid/none:1", "pull_policy": "never", "depends_on": ["db"]},
    }
    (tmp_path / "compose.yml").write_text(json.dumps({"services": services}))
    compose = ["docker", "compose", "--project-name", stack.project, "--file", str(tmp_path / "compose.yml")]
    try:
        up = subprocess.run([*compose, "up", "--detach"], capture_output=True, check=False)
        assert up.returncode and b"No such image" in up.stderr
        missing = f"service backend of project {stack.project} has 0 of 1 containers; there are db (created)"
        error = refused_at_once(stack.container("backend", "app"), missing, "missing")
        assert f"no such image?): docker compose -p {stack.project} up -d backend" in error.remedy
        error = refused_at_once({"name": "port", "tcp": stack.at("backend", port=1)}, missing, "missing")
        assert refused(stack.container("dbb")).remedy.startswith("Is service db meant? ")
        graced = refused(stack.container("backend"), startup_grace=0.7)
        assert 0.7 <= graced.took < 1.7 and missing in graced.cause
    finally:
        subprocess.run([*compose, "down", "--timeout", "0"], capture_output=True, check=True)
    nowhere = {"name": "app", "container": {"project": stack.project[:-1], "service": "db"}}
    refused_at_once(nowhere, "has 0 of 1 containers; no container of that project exists", "missing")


# --- databases that are not there yet, or not for us ------------------------------------------------------------------


INIT_WINDOW = """
data=$(mktemp -d) && printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
initdb -D "$data" -U shop --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 > /dev/null
echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
pg_ctl -D "$data" -w -o "-c listen_addresses='' -k /tmp" -l /tmp/log start
psql -h /tmp -U shop -d postgres -c 'CREATE DATABASE shop'
psql -h /tmp -U shop -d shop -c 'SELECT pg_sleep(2)' -c 'CREATE TABLE made_last (id int)'
pg_ctl -D "$data" -m fast -w stop
exec postgres -D "$data" -k /tmp -c listen_addresses='*'
"""


def test_the_initialisation_of_a_postgres_image(stack):
    """As the official image does it: a first server, for the Unix socket alone, runs the scripts and is stopped."""
    stack.run(
        "postgres", ["-ec", INIT_WINDOW], base="postgres", entrypoint="/bin/sh",
        environment={"POSTGRES_PASSWORD": PASSWORD},
    )
    never_ready(stack.postgres(), "port 5432: Connection refused", "connect", timeout=1.0)
    inside = ["psql", "-h", "/tmp", "-U", "shop", "-d", "shop", "-c", "SELECT 1"]
    end = time.monotonic() + 30
    while stack.containers[0].exec_run(inside)[0]:
        assert time.monotonic() < end
    assert health(stack.postgres())["database"]["status"] == "fail", "pg_isready inside the container would say yes"
    found = wait(stack.postgres(), timeout=30)
    assert by_name(found)["database"]["data"]["flaps"] == 0
    assert health(stack.postgres(tables=["made_last"]))["database"]["status"] == "pass", "ready means: all of it"


@pytest.fixture(scope="module")
def data(engine):
    stack = Stack(engine)
    try:
        stack.run_redis()
        stack.run_postgres()
        wait(stack.redis(), stack.postgres(), timeout=60)
        yield stack
    finally:
        stack.remove()


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"dbname": "nothing"}, 'database "nothing" does not exist'),
        ({"login_password": "wrong-password"}, "password authentication failed for user"),
        ({"login_password": None}, "no password supplied"),
        ({"login_user": "nobody"}, "password authentication failed for user"),
    ],
)
def test_wrong_database_role_and_password_of_postgres(data, options, expected):
    error = refused_at_once(data.postgres(**options), expected, "login")
    assert "wrong-password" not in json.dumps(error.as_result())


@pytest.mark.parametrize("password, expected", [("wrong-password", "AUTH: WRONGPASS"), (None, "PING: NOAUTH")])
def test_redis_wants_another_password(data, password, expected):
    error = refused_at_once(data.redis(login_password=password), expected, expected.split(":")[0].lower())
    assert "login_password" in error.remedy and "wrong-password" not in json.dumps(error.as_result())


def test_redis_is_loading_and_then_ready(stack):
    stack.run("redis", ["redis-server", "--requirepass", PASSWORD, "--enable-debug-command", "yes"])
    wait(stack.redis())
    cli = f"export REDISCLI_AUTH={PASSWORD};"
    slowly = "config set key-load-delay 60; redis-cli config set loading-process-events-interval-bytes 1024"
    stack.containers[0].exec_run(
        [*SHELL, f"{cli} redis-cli debug populate 40000 k 100; redis-cli save; redis-cli {slowly}"]
    )
    stack.containers[0].exec_run([*SHELL, f"{cli} redis-cli debug reload nosave"], detach=True)
    time.sleep(0.3)
    never_ready(stack.redis(), "PING: LOADING", "ping", timeout=1.0)
    found = by_name(wait(stack.redis(), timeout=30))["cache"]["data"]
    assert found["flaps"] == 0 and found["ready"]


@pytest.mark.parametrize("service", ["redis", "postgres"])
def test_a_stopped_server(data, service):
    target = {**getattr(data, service)(), "timeout": 0.5}
    process = data.containers[service == "postgres"].attrs["State"]["Pid"]
    os.kill(process, signal.SIGSTOP)
    try:
        error = never_ready(target, "no answer within", "answer", timeout=1.2)
        assert "hang" in error.remedy
    finally:
        os.kill(process, signal.SIGCONT)
    begun = time.monotonic()
    wait(target)
    assert time.monotonic() - begun < LATE


# --- clocks and Engines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["+3600", "-3600"])
def test_a_clock_that_is_set_makes_no_crash_loop_look_old(tmp_path, stack, step):
    young, loop = stack.container("young", min_uptime=3.0), stack.container("loop", min_uptime=3.0)
    with SteppedClock(tmp_path, {"startup_grace": 30, "targets": [young]}) as first:
        with SteppedClock(tmp_path, {"startup_grace": 30, "targets": [loop]}) as second:
            begun = time.monotonic()
            stack.run("young", [*SHELL, "sleep 60"])
            stack.run("loop", [*SHELL, "sleep 1.5; exit 3"], restart_policy=ALWAYS)
            first.set(step)
            second.set(step)
            looped = second.answer()
            assert "restart loop" in looped["cause"] and 1.5 <= time.monotonic() - begun < 6.0
            assert first.answer()["overall_status"] == "healthy" and 3.0 <= time.monotonic() - begun < 8.0


def test_an_engine_that_does_not_answer(tmp_path):
    """Accepts connections and is silent, as an Engine does that hangs."""
    path = str(tmp_path / "docker.sock")
    targets = [
        {"name": name, "container": {"project": "shop", "service": name}} for name in ("one", "two", "three")
    ]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        request = {"targets": targets, "settings": {"timeout": 1.0}}
        found = elsewhere(request, "env", f"DOCKER_HOST=unix://{path}")
    assert found["took"] < 1.0 + LATE and found["looked_for"] < 1.0 + LATE and found["exited_after"] < LATE
    assert "Docker Engine: does not answer" in found["waited"]["cause"] and found["waited"]["phase"] == "engine"
    assert {one["status"] for one in found["waited"]["results"]} == {"error"}
    assert found["looked"]["overall_status"] == "unhealthy"


# --- errors people can act on -----------------------------------------------------------------------------------------


def test_every_part_of_an_error(stack):
    secret = uuid.uuid4().hex
    check = {"test": ["CMD-SHELL", f"echo no answer {secret}; exit 2"], "interval": SECOND // 5, "retries": 1}
    stack.run("app", [*SHELL, f"echo starting; echo key={secret}; sleep 1.5; exit 7"], healthcheck=check)
    stack.run("victim", [*SHELL, "sleep 60"])
    victim = {"name": "api", "tcp": stack.at("victim", port=9)}
    error = refused(victim, stack.container("app", "backend"), secrets=[secret])
    told = error.details
    assert error.took < 3.0 and error.culprit == "backend" and told["phase"] == "container"
    assert told["last_error"] == f"container {stack.project}-app-1 has ended (exit code 7)"
    assert told["attempts"] >= 2 and told["exit_code"] == 7
    assert told["health_log"] and set(told["health_log"]) == {"2: no answer ********"}
    assert told["log_tail"] == ["starting", "key=********"]
    assert error.remedy == "Read its last log lines (log_tail), correct the cause and start it again."
    assert "Not ready either: api (cannot connect" in error.cause and "starting | key=********" in error.cause
    assert secret not in json.dumps(error.as_result())
    results = by_name(told)
    assert list(results) == ["api", "backend"] and not any(one["data"]["ready"] for one in results.values())
    timeline = results["backend"]["data"]["timeline"]
    assert timeline[-1]["message"] == told["last_error"] and 0.5 < timeline[-1]["after"] < 3.0
    assert any("is unhealthy: no answer ********" in entry["message"] for entry in timeline)


def test_a_flood_of_log_is_bounded_and_still_redacted(stack):
    """A line of a megabyte; wherever it is cut, no part of a secret is left at the edge."""
    secret = "s3cret-" + uuid.uuid4().hex * 2
    line = f"import sys; print('{secret}' * 14000); print('the end', flush=True); sys.exit(5)"
    stack.run("app", ["python3", "-c", line], base="python")
    stack.containers[0].wait()
    error = refused(stack.container("app"), secrets=[secret])
    text = "\n".join(error.details["log_tail"])
    assert error.took < LATE and text.endswith("the end") and len(text.encode()) <= 8192
    assert len(json.dumps(error.as_result())) < 40000
    assert not any(secret[n : n + 12] in text for n in range(len(secret) - 12)) and "********" in text


def test_one_that_runs_again_is_told_with_the_exit_code_it_ended_with(engine_client, base_images):
    command, policy = ["sh", "-c", "sleep 1; exit 13"], {"Name": "always"}
    crashing = engine_client.containers.run(base_images["python"], command, detach=True, restart_policy=policy)
    try:
        said, deadline = "", time.monotonic() + 30
        while "restart loop" not in said and time.monotonic() < deadline:
            time.sleep(0.1)
            one = engine_client.api.inspect_container(crashing.id)
            if one["State"]["Status"] == "running" and one["RestartCount"]:  # 0 is all that its state knows then
                memory = {"restarts": {crashing.id: one["RestartCount"] - 1}}
                _compose.recall_exits(engine_client.api, [one], memory)
                said = _compose.fault(one, False, 1.0, memory).message
        assert "exit code 13" in said
    finally:
        crashing.remove(force=True)
