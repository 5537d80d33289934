# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind command inside a real container: output, input, user, directory, and no program that goes on afterwards."""

from __future__ import annotations

import os
import threading
import time
import uuid

import docker
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.tria.production.plugins.module_utils import _health, _probes
from ansible_collections.tria.production.plugins.module_utils._probes._base import Session


@pytest.fixture(scope="module")
def container():
    """A container without a network, as a Compose service."""
    engine = docker.from_env()
    project = "exec" + uuid.uuid4().hex[:8]
    labels = {"project": project, "service": "app", "oneoff": "False"}
    one = engine.containers.run(
        os.environ["TRIA_TEST_REDIS_IMAGE"], ["600"], entrypoint=["sleep"], detach=True, name=f"{project}-app-1",
        network_mode="none", labels={f"com.docker.compose.{key}": value for key, value in labels.items()},
    )
    yield one
    one.remove(force=True)
    engine.close()


def target(container, *argv, timeout=5.0, **options):
    place = {"project": container.labels["com.docker.compose.project"], "service": "app"}
    entry = {"name": "it", "timeout": timeout, "command": {"argv": list(argv), **place, **options}}
    validated = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": [entry]})
    assert not validated.error_messages
    return validated.validated_parameters["targets"]


def look(container, *argv, timeout=5.0, **options):
    one = _probes.parse(target(container, *argv, timeout=timeout, **options))[0]
    with Session() as session:
        return _probes.observe(one, session, timeout)


def running(container, mark):
    return [row for row in container.top()["Processes"] if mark in " ".join(row)]


def test_output_input_user_directory_environment(container):
    script = 'cat; pwd; id -un; echo "$GREETING"; echo careful >&2'
    seen = look(container, "sh", "-c", script, stdin="hello\n", user="redis", chdir="/tmp", environment={"GREETING": 7})
    assert seen.status == "pass", seen.message
    assert seen.data["stdout_tail"] == ["hello", "/tmp", "redis", "7"] and seen.data["stderr_tail"] == ["careful"]
    assert seen.data["container"] == container.name


def test_no_output_is_lost(container):
    for _time in range(30):
        assert look(container, "echo", "x").data["stdout_tail"] == ["x"]
    assert "only the last 65536 bytes" in look(container, "sh", "-c", "yes | head -c 300000", contains="z").message


def test_exit_code_and_what_cannot_be_run(container):
    seen = look(container, "sh", "-c", "echo oops >&2; exit 3")
    assert "exit code 3 instead of 0: oops" in seen.message and not seen.permanent
    for program, options in (("no-such-program", {}), ("true", {"chdir": "/none"}), ("true", {"user": "nobody-here"})):
        seen = look(container, program, **options)
        assert seen.status == "fail" and seen.permanent and seen.phase == "start", seen


@pytest.mark.parametrize("script", ["sleep 77", "exec >&- 2>&-; sleep 77", "yes", "sleep 77 & wait"])
def test_one_that_hangs_is_killed(container, script):
    mark, before = uuid.uuid4().hex, (threading.active_count(), len(os.listdir("/proc/self/fd")))
    begun = time.monotonic()
    seen = look(container, "sh", "-c", f"{script}; :", mark, timeout=0.6)
    assert time.monotonic() - begun < 1.6
    assert seen.status == "fail" and seen.phase == "answer" and "did not end within 0.6 s" in seen.message
    after = threading.active_count(), len(os.listdir("/proc/self/fd"))
    assert all(now <= then for now, then in zip(after, before))
    assert "may still" not in seen.message and not running(container, mark)


def test_the_end_of_a_run_kills_it(container):
    mark = uuid.uuid4().hex
    found = _health.check(target(container, "sh", "-c", "sleep 77; :", mark, timeout=60.0), 0.8, "never")
    assert found["overall_status"] == "unhealthy" and not running(container, mark)


def test_a_service_that_is_not_there(container):
    entries = target(container, "true")
    entries[0]["command"]["service"] = "other"
    found = _health.check(entries, 5, "never")["results"][0]
    assert "service other" in found["message"] and "there are app (running)" in found["message"]
