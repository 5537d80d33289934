# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the tools run, and how the container is found; Engine and tools are stand-ins."""

from __future__ import annotations

import os
import pathlib
import typing as t

import docker
import pytest

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._backup import locate, source
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Connection, Container, Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

SECRET = "s3cret 'q' $x"
CONNECTION = Connection("odd = 'name'", "tria", SECRET, port=5433)


def container(name: str = "tria-postgres-1", **state: t.Any) -> dict[str, t.Any]:
    return {
        "Id": f"id-{name}",
        "Name": f"/{name}",
        "State": {"Running": True, "Paused": False, "Status": "running", "ExitCode": 0, **state},
        "Config": {"Labels": {_docker.PROJECT: "tria", _docker.SERVICE: "postgres"}},
    }


class Engine:
    """Stands for `docker.APIClient`."""

    def __init__(self, *containers: dict[str, t.Any], volumes: t.Sequence[str] = ()) -> None:
        self._containers = {each["Id"]: each for each in containers}
        self._volumes = volumes

    def containers(self, **_filters: t.Any) -> list[dict[str, str]]:
        return [{"Id": each} for each in self._containers]

    def inspect_container(self, name: str) -> dict[str, t.Any]:
        found = self._containers.get(name) or self._containers.get(f"id-{name}")
        if found is None:
            raise docker.errors.NotFound("No such container")
        return found

    def volumes(self, **_filters: t.Any) -> dict[str, t.Any]:
        return {"Volumes": [{"Name": name} for name in self._volumes] or None}

    def logs(self, _container: str, **_options: t.Any) -> bytes:
        return b"starting\nFATAL: planted, password=hunter22\n"


SERVICE = {"project": "tria", "service": "postgres", "name": None}


@pytest.fixture
def tools(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str, str], None]:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    return make


def test_the_environment_holds_the_connection_and_nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    environment = Server(CONNECTION, "app-1").environment()
    assert {name: value for name, value in environment.items() if name.startswith("PG")} == {
        "PGDATABASE": "odd = 'name'",
        "PGUSER": "tria",
        "PGPASSWORD": SECRET,
        "PGPORT": "5433",
        "PGAPPNAME": "app-1",
        "PGCONNECT_TIMEOUT": "10",
    }
    assert (environment["LC_ALL"], environment["PATH"]) == ("C", os.environ["PATH"])


def test_docker_exec_gets_names_not_values() -> None:
    place = Container(CONNECTION, "app-1", container())
    command = place.command(["pg_restore", "--list"], sorted(CONNECTION.environment("app-1")), True)
    assert command[:3] == ["docker", "exec", "--interactive"]
    assert command[-3:] == ["id-tria-postgres-1", "pg_restore", "--list"]
    assert command[3:-3:2] == ["--env"] * (len(command[3:-3]) // 2)
    assert {"PGPASSWORD", "PGAPPNAME", "LC_ALL"} <= set(command[4:-3:2])
    assert not [word for word in command if SECRET in word]
    assert place.environment()["PGPASSWORD"] == SECRET


def test_identities() -> None:
    assert Server(CONNECTION, "a").identity == {"host": None, "port": 5433}
    assert Container(CONNECTION, "a", container()).identity == {"project": "tria", "service": "postgres"}
    alone = container("alone")
    alone["Config"]["Labels"] = None
    assert Container(CONNECTION, "a", alone).identity == {"container": "alone"}


def test_facts(tools: t.Any) -> None:
    tools("psql", """echo '{"server_version": "15.1", "database_size_bytes": 7, "tables": 2, "before": {}}'""")
    assert Server(CONNECTION, "a").facts(Deadline(10)) == source.Facts("15.1", 7, 2, {})


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("FATAL:  password authentication failed for user", "login_password"),
        ("fe_sendauth: no password supplied", "Set login_password"),
        ('FATAL:  database "x" does not exist', "dbname"),
        ("aborting because of server version mismatch", "at least as new"),
        ("permission denied for table x", "pg_read_all_data"),
        ("connection to server at host failed: Connection refused", "accepts connections"),
        ('exec: "pg_dump": executable file not found in $PATH', "client tools"),
        ("something else", "server's log"),
    ],
)
def test_a_failed_tool_is_quoted_with_a_remedy(tools: t.Any, said: str, remedy: str) -> None:
    tools("pg_dump", f"cat >&2 <<'END'\n{said}\npassword was {SECRET}\nEND\nexit 1")
    with pytest.raises(ProductionError) as caught:
        Server(CONNECTION, "a").run(["pg_dump"], Deadline(10))
    assert said.split()[0] in caught.value.cause and "status 1" in caught.value.cause
    assert remedy in caught.value.remedy
    assert SECRET not in str(caught.value.as_result())


def test_a_silent_end_by_a_signal(tools: t.Any) -> None:
    tools("docker", "exit 137")
    with pytest.raises(ProductionError, match="status 137: it said nothing") as caught:
        Container(CONNECTION, "a", container()).run(["pg_dump"], Deadline(10))
    assert "has stopped" in caught.value.remedy


def test_a_missing_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProductionError, match="psql: is not installed"):
        Server(CONNECTION, "a").facts(Deadline(10))


def test_terminate_returns_when_the_backend_is_gone(tools: t.Any, tmp_path: pathlib.Path) -> None:
    tools(
        "psql",
        f"""echo "$*" >> {tmp_path}/sql; echo "{{\\"left\\": $(( 3 - $(grep -c terminate {tmp_path}/sql) ))}}" """,
    )
    Server(CONNECTION, "a").terminate("it's me")
    asked = (tmp_path / "sql").read_text()
    assert "application_name = 'it''s me'" in asked and asked.count("pg_terminate_backend") == 3


def test_a_backend_that_does_not_go_is_an_error(tools: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_CLEANUP_SECONDS", 0.5)
    tools("psql", """echo '{"left": 1}'""")
    with pytest.raises(ProductionError, match="backend app-1 is still there"):
        Server(CONNECTION, "a").terminate("app-1")


def test_the_running_container_is_found() -> None:
    stopped = container("old", Running=False, Status="exited")
    running = container()
    assert locate.find(Engine(stopped, running), SERVICE, "fail") is running
    assert locate.find(Engine(running), {"name": "tria-postgres-1"}, "fail") is running


def test_two_running_containers_are_ambiguous() -> None:
    with pytest.raises(ProductionError, match="2 running containers: a, b"):
        locate.find(Engine(container("a"), container("b")), SERVICE, "fail")


@pytest.mark.parametrize("when_absent", ["fail", "skip_if_no_data", "skip"])
@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        ({"Running": False, "Status": "exited", "ExitCode": 1}, "docker start"),
        ({"Paused": True, "Status": "paused"}, "unpause"),
    ],
)
def test_a_container_that_does_not_run_is_always_an_error(
    when_absent: str, state: dict[str, t.Any], remedy: str
) -> None:
    with pytest.raises(ProductionError, match=state["Status"]) as caught:
        locate.find(Engine(container(**state)), SERVICE, when_absent)
    assert remedy in caught.value.remedy
    assert "FATAL: planted" in caught.value.details["log"][1] and "hunter22" not in str(caught.value.details)


@pytest.mark.parametrize(("when_absent", "volumes"), [("skip_if_no_data", []), ("skip", []), ("skip", ["tria_data"])])
def test_absence_that_is_allowed(when_absent: str, volumes: list[str]) -> None:
    with pytest.raises(locate.Absent, match="First deploy") as caught:
        locate.find(Engine(volumes=volumes), SERVICE, when_absent)
    assert all(name in str(caught.value) for name in volumes)


@pytest.mark.parametrize(
    ("when_absent", "volumes", "words"),
    [
        ("fail", [], "does not exist"),
        ("fail", ["tria_data"], "tria_data"),
        ("skip_if_no_data", ["tria_data"], "not be backed up"),
    ],
)
def test_absence_that_is_not(when_absent: str, volumes: list[str], words: str) -> None:
    with pytest.raises(ProductionError, match=words):
        locate.find(Engine(volumes=volumes), SERVICE, when_absent)
    with pytest.raises(ProductionError, match="container nobody: does not exist"):
        locate.find(Engine(), {"name": "nobody"}, "fail")


def test_an_engine_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: t.Any, **_kwargs: t.Any) -> None:
        raise docker.errors.APIError("planted")

    client = Engine()
    monkeypatch.setattr(client, "containers", broken)
    with pytest.raises(ProductionError, match="Docker Engine: failed: planted"):
        locate.find(client, SERVICE, "skip")
