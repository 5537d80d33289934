# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every role promises: documents, defaults that its argument specs repeat by value, and variables of its own."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

COLLECTION = pathlib.Path(__file__).parents[3]
ROLES = sorted(path.name for path in (COLLECTION / "roles").iterdir() if path.is_dir())


def load(role, *path):
    """A YAML file of a role; Jinja expressions stay text."""
    return yaml.safe_load((COLLECTION / "roles" / role).joinpath(*path).read_text(encoding="utf-8"))


def defaults(role):
    return load(role, "defaults", "main.yml") or {}


def entry_points(role):
    return load(role, "meta", "argument_specs.yml")["argument_specs"]


def options(role):
    """(entry point, name, specification) of every option."""
    found = []
    for entry_point, spec in entry_points(role).items():
        found += [(entry_point, name, option) for name, option in spec.get("options", {}).items()]
    return found


def sources(folder, *patterns):
    for pattern in patterns:
        for path in sorted(folder.rglob(pattern)):
            yield path, path.read_text(encoding="utf-8")


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_specs_say_the_same(role):
    specified = {}
    for entry_point, name, option in options(role):
        assert ("default" in option) is not option.get("required", False), f"{entry_point}: {name}"
        if "default" in option:
            assert specified.setdefault(name, option["default"]) == option["default"], f"{entry_point}: {name}"
    assert specified == defaults(role)


@pytest.mark.parametrize("role", ROLES)
def test_entry_points(role):
    assert "main" in entry_points(role)
    for entry_point, spec in entry_points(role).items():
        assert (COLLECTION / "roles" / role / "tasks" / f"{entry_point}.yml").is_file(), entry_point
        assert spec["short_description"] and spec["description"], entry_point
    for entry_point, name, option in options(role):
        assert option["description"] and option["type"], f"{entry_point}: {name}"
        assert name.startswith(f"{role}_"), f"{entry_point}: {name}"


@pytest.mark.parametrize("role", ROLES)
def test_the_readme(role):
    text = (COLLECTION / "roles" / role / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {role}\n")
    everything_else = f"ansible-doc -t role tria.production.{role}" in text
    required = {name for _entry_point, name, option in options(role) if option.get("required")}
    missing = {name for name in required | set(defaults(role)) if f"`{name}`" not in text}
    assert not missing or everything_else and not missing & required


@pytest.mark.parametrize("role", ROLES)
def test_metadata(role):
    info = load(role, "meta", "main.yml")["galaxy_info"]
    assert info["author"] and info["description"] and info["license"] == "GPL-3.0-or-later"
    assert info["min_ansible_version"] == "2.16" and {each["name"] for each in info["platforms"]} == {
        "Debian",
        "Ubuntu",
    }


@pytest.mark.parametrize("role", ROLES)
def test_no_role_reads_the_internals_of_another(role):
    for path, text in sources(COLLECTION / "roles" / role, "*.yml", "*.j2"):
        for name in re.findall(r"(?<![\w.])__\w+", text):
            assert name.startswith(f"__{role}_"), f"{path}: {name}"


def test_no_playbook_reads_the_internals_of_a_role():
    for path, text in sources(COLLECTION / "playbooks", "*.yml"):
        assert not re.findall(r"(?<![\w.])__\w+", text), path


def test_the_planned_release_is_the_one_that_is_written():
    """A release's ID holds the time of its plan: nothing but the registered plan may name it."""
    for path, text in sources(COLLECTION / "roles" / "stack" / "tasks", "*.yml"):
        states = re.findall(r"^    state: (staged|current|failed|bad|target|present|finished|reverted)$", text, re.MULTILINE)
        named = re.findall(r'^    release: "\{\{ (.+) \}\}"$', text, re.MULTILINE)
        built = len(re.findall(r"tria\.production\.(?:stack_images|image_archive):", text))  # their states name no release
        assert len(states) - built <= len(named) <= len(states), path
        assert set(named) <= {
            "stack_plan.release", "stack_plan.current", "stack_interrupted.release", "stack_interrupted.previous",
            "stack_target | default(omit, true)",
        }, path
        assert path.name == "plan.yml" or "state: planned" not in text, path


def test_a_scheduled_backup_is_made_as_one_of_a_deploy():
    """But for what a deploy alone knows: its release, and whether there has been one."""

    def given(entry_point, module):
        tasks = load("database_backup", "tasks", f"{entry_point}.yml")
        (arguments,) = (task[module] for task in tasks if module in task)
        return arguments

    main, schedule = given("main", "tria.production.pg_backup"), given("schedule", "tria.production.pg_backup_schedule")
    of_a_deploy = {"when_absent", "label", "pin"}
    of_a_schedule = {"name", "calendar", "cron", "delay", "metrics", "label"}
    assert main.keys() - of_a_deploy == schedule.keys() - of_a_schedule
    assert all(main[name] == schedule[name] for name in main.keys() - of_a_deploy)
