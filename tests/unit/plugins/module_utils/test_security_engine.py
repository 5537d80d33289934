# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Areas run together, graded, waived; the configuration that Compose gives; the table of rules in the documentation."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
from security_subjects import SECRET, container, project

from ansible_collections.tria.production.plugins.module_utils import _deps
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._security import containers, engine, observation, rules

OPTIONS = {
    "areas": ["compose"], "project_src": None, "files": [], "env_files": [], "profiles": [], "project_name": None,
    "config_path": None, "public_ports": [443], "max_restarts": 3, "waivers": [], "timeout": 5.0, "fail_on": "never",
    "url": None,
}


@pytest.fixture()
def check(tmp_path):
    """Runs the engine on a configuration."""

    def run(resolved=None, **options):
        if resolved is not None:
            (tmp_path / "config.json").write_text(json.dumps(resolved), encoding="utf-8")
            options["config_path"] = str(tmp_path / "config.json")
        return engine.check({**OPTIONS, **options})

    return run


@pytest.fixture()
def docker(tmp_path, monkeypatch):
    """A `docker` that prints what is in `resolved`, `written` and `version`; its arguments are in `asked`."""
    (tmp_path / "version").write_text("2.26.1-4", encoding="utf-8")
    script = tmp_path / "bin" / "docker"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$PWD $*" >> {tmp_path}/asked\n'
        f'case "$*" in *--no-interpolate*) asked=written;; *version*) asked=version;; *) asked=resolved;; esac\n'
        f'cat {tmp_path}/$asked\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return tmp_path


def statuses(found):
    return {row["data"].get("rule", row["name"]): row["status"] for row in found["results"] if row["status"] != "pass"}


def test_a_good_project(check):
    found = check(project())
    assert found["overall_status"] == "healthy" and not any(found["violations"].values())
    assert statuses(found) == {"SEC133": "skip"}  # the Compose file itself was not given
    names = {row["data"]["rule"] for row in found["results"]}
    assert names == {rule.id for title, group in rules.GROUPS.items() if "(compose" in title for rule in group}
    assert all(row["category"] == "Security" for row in found["results"])


def test_grades(check):
    resolved = project(privileged=True, ipc="host", read_only=False, restart=None)
    found = check(resolved)
    assert found["violations"] == {"critical": 1, "high": 1, "medium": 1, "low": 1}
    assert found["overall_status"] == "unhealthy"
    rows = {row["data"]["rule"]: row for row in found["results"] if row["status"] in ("fail", "warn")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "SEC102": "fail", "SEC106": "fail", "SEC117": "warn", "SEC119": "warn"
    }
    assert rows["SEC102"]["name"] == "SEC102 No privileged containers (compose)"
    assert rows["SEC102"]["message"] == "app: is privileged" and rows["SEC102"]["remedy"]
    assert rows["SEC102"]["data"]["subjects"] == ["app"] and rows["SEC102"]["data"]["cis"] == "5.5"


@pytest.mark.parametrize("fail_on, change, refused", [
    ("unhealthy", {"privileged": True}, True), ("unhealthy", {"read_only": False}, False),
    ("degraded", {"read_only": False}, True), ("never", {"privileged": True}, False),
])
def test_what_fails(check, fail_on, change, refused):
    if not refused:
        assert check(project(**change), fail_on=fail_on)["overall_status"] in ("degraded", "unhealthy")
        return
    with pytest.raises(ProductionError) as raised:
        check(project(**change), fail_on=fail_on)
    assert "app: " in raised.value.cause and raised.value.remedy and raised.value.details["results"]


def test_waivers(check):
    resolved = project(read_only=False)
    resolved["services"]["db"]["read_only"] = False
    waiver = {"rule": "SEC119", "subject": "app", "reason": "writes beside its program"}
    rows = [row for row in check(resolved, waivers=[waiver])["results"] if row["data"]["rule"] == "SEC119"]
    assert [(row["status"], row["message"]) for row in rows] == [
        ("warn", "db: has a writable root file system"),
        ("skip", "waived: app: has a writable root file system (writes beside its program)"),
    ]
    assert rows[1]["data"]["waived"] == [{"subject": "app", "reason": "writes beside its program"}]
    for name in ("read_only", "SEC119"):
        found = check(resolved, waivers=[{**waiver, "rule": name, "subject": "*"}])
        assert not any(found["violations"].values()) and statuses(found)["SEC119"] == "skip"


@pytest.mark.parametrize("waiver", [{"rule": "SEC999", "reason": "x"}, {"rule": "SEC119", "reason": " "}])
def test_waivers_that_are_none(check, waiver):
    with pytest.raises(ProductionError, match=r"waivers\[0\]"):
        check(project(), waivers=[{"subject": "app", **waiver}])


def test_no_value_of_a_secret_is_told(check):
    environment = {
        "API_TOKEN": SECRET, "SECRET_KEY": "hunter2", "DEBUG": "1", "DATABASE_URL": "postgresql://owner:hunter2@db/x"
    }
    command = ["app", f"--token={SECRET}", "--reload"]
    resolved = project(environment=environment, command=command, labels={"token": SECRET})
    found = check(resolved)
    assert {"SEC134", "SEC135", "SEC136", "SEC138"} <= set(statuses(found))
    assert SECRET not in repr(found) and "hunter2" not in repr(found)


def test_areas_without_their_input(check):
    found = check(areas=["compose", "containers", "front"])
    assert statuses(found) == {f"Security of {name}": "skip" for name in ("compose", "containers", "front")}
    assert found["overall_status"] == "healthy"


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"services": {"app": []}}', None])
def test_a_configuration_that_is_none(check, tmp_path, content):
    path = tmp_path / "given.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    found = check(config_path=str(path))
    assert statuses(found) == {"Security of compose": "error"} and found["overall_status"] == "unhealthy"


def test_an_unexpected_form_is_an_error_of_its_rule(check):
    found = check(project(security_opt=[5]))
    assert {statuses(found)[name] for name in ("SEC107", "SEC112")} == {"error"}


def test_a_project_is_asked_for_twice(check, docker):
    (docker / "resolved").write_text(json.dumps(project()), encoding="utf-8")
    literal = {"environment": {"API_TOKEN": SECRET}}
    (docker / "written").write_text(json.dumps({"services": {"app": literal, "db": {}, "cache": {}}}), encoding="utf-8")
    found = check(
        project_src=str(docker), project_name="shop", files=["a.yaml"], env_files=["x.env"], profiles=["p"]
    )
    assert statuses(found) == {"SEC133": "fail"} and SECRET not in repr(found)
    asked = (docker / "asked").read_text(encoding="utf-8").splitlines()
    first = f"{docker} compose --project-name shop --file a.yaml --env-file x.env --profile p config --format json"
    assert asked == [first, f"{docker} compose version --short", f"{first} --no-interpolate"]


@pytest.mark.parametrize("version, told", [
    ("2.26.1-4", False), ("v2.34.0", False), ("dev", False),
    ("v2.35.0", True), ("2.40.3-desktop.1", True), ("5.5.0", True),
])
def test_env_files_are_no_part_of_what_is_written(check, docker, version, told):
    (docker / "version").write_text(version + "\n", encoding="utf-8")
    (docker / "resolved").write_text(json.dumps(project()), encoding="utf-8")
    (docker / "written").write_text(json.dumps({"services": {"app": {}, "db": {}, "cache": {}}}), encoding="utf-8")
    assert not statuses(check(project_src=str(docker)))
    last = (docker / "asked").read_text(encoding="utf-8").splitlines()[-1]
    assert last.endswith(" --no-interpolate --no-env-resolution" if told else " --no-interpolate")


def test_an_env_file_that_compose_leaves_alone_is_read(check, docker):
    (docker / "app.env").write_text("API_TOKEN=changeme\nSECRET_KEY='$short$'\n", encoding="utf-8")
    files = [{"path": str(docker / "app.env"), "required": True}, {"path": str(docker / "none.env"), "required": False}]
    resolved = project(env_file=files, environment={"API_TOKEN": SECRET})  # `environment` wins
    (docker / "resolved").write_text(json.dumps(resolved), encoding="utf-8")
    (docker / "written").write_text(json.dumps({"services": {"app": {}, "db": {}, "cache": {}}}), encoding="utf-8")
    rows = [row for row in check(project_src=str(docker))["results"] if row["status"] == "fail"]
    assert [row["message"] for row in rows] == ["app: SECRET_KEY is shorter than 16 characters"]
    (docker / "app.env").unlink()
    row = check(project_src=str(docker))["results"][0]
    assert row["status"] == "error" and "app.env: No such file" in row["message"]


@pytest.mark.parametrize("script, told", [
    ("echo 'variable PW is not set: password=hunter2' >&2; exit 15", "variable PW is not set"),
    ("echo nonsense", "printed no JSON"),
    ("exec sleep 5", "did not end within 0.2 s"),
])
def test_compose_fails(check, docker, script, told):
    (docker / "bin" / "docker").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    row = check(project_src=str(docker), timeout=0.2)["results"][0]
    assert row["status"] == "error" and told in row["message"] and "hunter2" not in row["message"]


def test_compose_is_not_there(check, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert statuses(check(project_src=str(tmp_path))) == {"Security of compose": "error"}


class Engine:
    """Stands in for the Docker Engine."""

    def __init__(self, found, image_ids=None, configs=None):
        self.found, self.ids, self.configs = found, image_ids or {}, configs or {}

    def __call__(self, _timeout):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        return None

    def containers(self, project_name):
        assert project_name == "shop"
        return self.found

    def image_ids(self, references):
        return {name: self.ids.get(name, "sha256:1") for name in references}

    def image_configs(self, _references):
        return self.configs


def test_containers_against_the_configuration(check, monkeypatch):
    monkeypatch.setattr(containers, "Engine", Engine([container(HostConfig={"Privileged": True})]))
    found = check(project(), areas=["containers", "compose"])
    assert statuses(found) == {"SEC133": "skip", "SEC102": "fail", "SEC137": "skip", "SEC138": "skip"}
    assert [row["message"] for row in found["results"] if row["status"] == "fail"] == ["shop-app-1: is privileged"]


def test_images_tell_what_the_configuration_leaves_to_them(check, monkeypatch):
    resolved = project(user=None)
    image = resolved["services"]["app"]["image"]
    monkeypatch.setattr(containers, "Engine", Engine([], configs={image: {"User": ""}}))
    found = check(resolved, areas=["containers", "compose"])
    assert statuses(found) == {"SEC133": "skip", "SEC111": "warn", "Security of containers": "skip"}


def test_an_engine_that_cannot_be_asked(check, monkeypatch):
    def silent(_timeout):
        raise ProductionError("Docker Engine", "does not answer.", "Start it.")

    monkeypatch.setattr(containers, "Engine", silent)
    found = check(project(), areas=["compose", "containers"])
    assert statuses(found) == {"SEC133": "skip", "Security of containers": "error"}

    def missing(_timeout):
        raise _deps.MissingLibrary("docker")

    monkeypatch.setattr(containers, "Engine", missing)
    rows = check(areas=["containers"], project_name="shop")["results"]
    assert rows[0]["status"] == "error" and "python3-docker" in rows[0]["remedy"]


def test_a_container_in_an_unknown_form(check, monkeypatch):
    broken = container()
    del broken["HostConfig"]
    monkeypatch.setattr(containers, "Engine", Engine([broken]))
    rows = check(areas=["containers"], project_name="shop")["results"]
    assert [(row["status"], row["message"]) for row in rows] == [
        ("error", "/shop-app-1: is described in an unknown form (KeyError).")
    ]


def test_a_url_that_is_none(check):
    options = {"ca_path": None, "paths": [], "hidden_paths": [], "protected_paths": [], "http_url": None}
    found = check(areas=["front"], url="ftp://shop", **options)
    assert statuses(found) == {"Security of front": "error"}


def test_what_concerns_nobody_is_told_once():
    inapplicable = observation.Observation(rules.RULES["database_auth"], "app", observation.INAPPLICABLE, "is none")
    assert [row.status for row in observation.grade([inapplicable], "compose", {})] == ["skip"]
    good = observation.Observation(rules.RULES["database_auth"], "db", "pass")
    assert [row.status for row in observation.grade([inapplicable, good], "compose", {})] == ["pass"]


def test_documentation_of_the_rules_is_current():
    # to renew it: write what markdown() returns
    documented = pathlib.Path(__file__).parents[4] / "docs" / "security-rules.md"
    assert documented.read_text(encoding="utf-8") == rules.markdown()
