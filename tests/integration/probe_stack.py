# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers and servers to probe, and both engines run so that nothing they leave behind goes unnoticed.

As a program it reads one request (`targets`, `settings`) and prints what both engines say of it: in a process whose
name server, Engine or network is not this one's.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import typing as t
import uuid

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.tria.production.plugins.module_utils import _health, _probes, _waiting
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

PASSWORD = "probe-" + uuid.uuid4().hex
SHELL = ["/bin/sh", "-c"]
MODULES = "ansible_collections.tria.production.plugins.modules"
HERE = pathlib.Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
LATE = 1.0  # s after its deadline by which a verdict must be there


def entries(*targets):
    validated = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": list(targets)})
    assert not validated.error_messages
    return validated.validated_parameters["targets"]


def children(parent: int) -> set[int]:
    """The process IDs of all descendants of a process."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    found = {parent}
    while any(above in found and pid not in found for pid, above in parents.items()):
        found |= {pid for pid, above in parents.items() if above in found}
    return found - {parent}


def resources():
    return threading.active_count(), len(os.listdir("/proc/self/fd")), len(children(os.getpid()))


@contextlib.contextmanager
def nothing_left_behind():
    """No thread, no socket or other file and no process is there that was not there before, whatever the verdict."""
    before = resources()
    try:
        yield
    finally:
        after = resources()
        assert all(now <= then for now, then in zip(after, before)), f"threads, files, processes: {before} -> {after}"


def wait(*targets, timeout=20.0, secrets=(), **settings):
    with nothing_left_behind():
        return _waiting.wait(entries(*targets), _waiting.Settings(timeout, **settings), secrets)


def refused(*targets, timeout=20.0, secrets=(), **settings):
    """The error of a wait that must fail, and that never takes longer than its deadline and a second."""
    begun = time.monotonic()
    with pytest.raises(ProductionError) as caught:
        wait(*targets, timeout=timeout, secrets=secrets, **settings)
    caught.value.took = time.monotonic() - begun
    assert caught.value.took < timeout + LATE
    return caught.value


def health(*targets, timeout=2.0, secrets=()):
    """The results of one look, by name, within its deadline and a second."""
    begun = time.monotonic()
    with nothing_left_behind():
        found = _health.check(entries(*targets), timeout, "never", secrets)
    assert time.monotonic() - begun < timeout + LATE
    return by_name(found)


def never_ready(target, expected, phase, timeout=1.2, **settings):
    """Waiting and looking once agree that the target is bad, in these words; the wait lasts until its deadline."""
    error = refused(target, timeout=timeout, **settings)
    assert error.took >= timeout and not error.details["results"][0]["data"]["ready"]
    return _told(error, target, expected, phase)


def refused_at_once(target, expected, phase, within=1.0, **settings):
    """As `never_ready`, but the wait does not last: what is wrong does not get better."""
    error = refused(target, **settings)
    assert error.took < within
    return _told(error, target, expected, phase)


def _told(error, target, expected, phase):
    last_error = error.details["last_error"]
    assert error.culprit == target["name"] and last_error in error.cause and error.remedy
    assert expected in last_error and error.details["phase"] == phase
    seen = health(target)[target["name"]]
    assert seen["status"] in ("fail", "error") and expected in seen["message"] and seen["remedy"], seen
    return error


def by_name(found):
    return {one["name"]: one for one in found["results"]}


class Stack:
    """Containers with the labels that Compose gives them."""

    def __init__(self, engine):
        self.engine = engine
        self.project = "probes" + uuid.uuid4().hex[:8]
        self.containers = []

    def run(self, service, command, base="redis", **options):
        number = len(self.containers) + 1
        labels = {
            "com.docker.compose.project": self.project,
            "com.docker.compose.service": service,
            "com.docker.compose.oneoff": "False",
        }
        image, name = os.environ[f"TRIA_TEST_{base.upper()}_IMAGE"], f"{self.project}-{service}-{number}"
        container = self.engine.containers.create(image, command, labels=labels, name=name, **options)
        self.containers.append(container)
        container.start()
        container.reload()
        return container

    def container(self, service, name="app", **options):
        return {"name": name, "container": {"project": self.project, "service": service, **options}}

    def at(self, service, **options):
        return {"project": self.project, "service": service, **options}

    def redis(self, **options):
        return {"name": "cache", "redis": self.at("redis", **{"login_password": PASSWORD, **options})}

    def postgres(self, **options):
        login = {"dbname": "shop", "login_user": "shop", "login_password": PASSWORD}
        return {"name": "database", "postgres": self.at("postgres", **{**login, **options})}

    def run_redis(self, *arguments):
        return self.run("redis", ["redis-server", "--requirepass", PASSWORD, *arguments])

    def run_postgres(self, **options):
        environment = {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "shop"}
        return self.run("postgres", ["postgres"], base="postgres", environment=environment, **options)

    def remove(self):
        for container in self.containers:
            container.remove(force=True, v=True)


def http(port, name="api", scheme="http", host="127.0.0.1", timeout=5.0, **options):
    return {"name": name, "timeout": timeout, "http": {"url": f"{scheme}://{host}:{port}/", **options}}


@contextlib.contextmanager
def peer(*behaviour: str) -> t.Iterator[tuple[int, int]]:
    """A `peer_server.py` process: its port and its process ID."""
    argv = [sys.executable, str(HERE / "peer_server.py"), *behaviour]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


def start_module(name: str, options: dict[str, t.Any], *prefix: str, **environment: str) -> subprocess.Popen[bytes]:
    """A module as a process of its own, as Ansible runs it; `prefix` are commands that run another one."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", f"{MODULES}.{name}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**ENVIRONMENT, **environment},
    )
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode())
    process.stdin.close()
    process.stdin = None
    return process


def answer_of(process: subprocess.Popen[bytes]) -> dict[str, t.Any]:
    with process:
        out, err = process.communicate(timeout=60)
    assert out and not err, err.decode()
    return json.loads(out)


class SteppedClock:
    """readiness_wait as a process whose wall clock can be set; as a context it begins when the wait has begun."""

    def __init__(self, folder: pathlib.Path, options: dict[str, t.Any]) -> None:
        self._stamp = folder / uuid.uuid4().hex
        self._options = options

    def __enter__(self) -> SteppedClock:
        library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        self.set("+0")
        clock = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self._stamp), "FAKETIME_NO_CACHE": "1"}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(30)
        begun = {"name": "begun", "critical": False, "tcp": {"port": self._listener.getsockname()[1]}}
        options = {**self._options, "targets": [*self._options["targets"], begun]}
        self._process = start_module("readiness_wait", options, DONT_FAKE_MONOTONIC="1", **clock)
        self._listener.accept()[0].close()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._listener.close()
        self._process.kill()
        self._process.communicate()

    def set(self, step: str) -> None:
        """Sets the clock by so many seconds against the true time, for example `+3600`."""
        other = self._stamp.with_suffix(".new")
        other.write_text(f"{step}\n")
        other.replace(self._stamp)

    def answer(self) -> dict[str, t.Any]:
        return answer_of(self._process)


def elsewhere(request: dict[str, t.Any], *prefix: str) -> dict[str, t.Any]:
    """Runs this file as a program behind `prefix`; its answer, with `exited_after` its last word in seconds."""
    done = subprocess.run(
        [*prefix, sys.executable, __file__], input=json.dumps(request).encode(), stdout=subprocess.PIPE, check=True,
        timeout=60, env=ENVIRONMENT,
    )
    answer = json.loads(done.stdout)
    return {**answer, "exited_after": time.monotonic() - answer["now"]}


def main() -> None:
    request = json.load(sys.stdin)
    targets, begun = entries(*request["targets"]), time.monotonic()
    try:
        waited = _waiting.wait(targets, _waiting.Settings(**request["settings"]))
    except ProductionError as exc:
        waited = exc.as_result()
    between = time.monotonic()
    looked = _health.check(targets, request["settings"]["timeout"], "never")
    now = time.monotonic()
    took = {"took": between - begun, "looked_for": now - between, "now": now}
    print(json.dumps({"waited": waited, "looked": looked, **took}))


if __name__ == "__main__":
    main()
