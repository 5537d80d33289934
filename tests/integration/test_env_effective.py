# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each service gets, against the real Docker Compose: not one variable of difference."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import random
import subprocess
import sys

import env_projects
import pytest

from ansible_collections.tria.production.plugins.module_utils._env import compose_yaml, effective, engine, names, parser
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

ROOT = pathlib.Path(__file__).parents[2]
OPTIONS = {"schema": {}, "waive": [], "recommended": [], "process_environment": True}


def written(project, folder):
    for path, text in project.files.items():
        target = folder / "shop" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode("utf-8"))
        target.chmod(0o600)
    return folder / "shop"


def config(project, folder):
    """`docker compose config` in the folder of a project."""
    command = ["docker", "compose"]
    for flag, given in (("-f", project.compose), ("--profile", project.profiles), ("--env-file", project.env_files)):
        command += [word for one in given for word in (flag, one)]
    command += ["-p", project.name] if project.name else []
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **env_projects.SHELL}
    command += ["config", "--format", "json"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=60
    )


def theirs(done):
    """{service: {name: value}} of what Compose wrote; without the bare keys that no container gets."""
    services = json.loads(done.stdout)["services"] or {}
    return {
        name: {
            key.replace("$$", "$"): value.replace("$$", "$")
            for key, value in (service.get("environment") or {}).items()
            if value is not None
        }
        for name, service in services.items()
    }


def ours(project, folder, monkeypatch):
    """The outcome, and {service: {name: value}} of what it was worked out from."""
    found = {}
    real = effective.of_project

    def kept(*arguments):
        result = real(*arguments)
        found.update(
            {name: {key: setting.value for key, setting in one.items()} for name, one in result.services.items()}
        )
        return result

    compose = {
        "files": [str(folder / path) for path in project.compose],
        "env_files": [str(folder / path) for path in project.env_files],
        "profiles": list(project.profiles) or None,
        "project_name": project.name,
    }
    with monkeypatch.context() as patch:
        patch.setattr(effective, "of_project", kept)
        outcome = engine.check({**OPTIONS, "compose": compose}, env_projects.SHELL)
    return outcome, found


@pytest.fixture(scope="module", name="answers")
def fixture_answers(tmp_path_factory):
    """What Compose says of every project, asked two at a time: {name: (folder, what was run)}."""
    folders = {}
    for name, project in {**env_projects.ACCEPTED, **env_projects.REFUSED}.items():
        folders[name] = project, written(project, tmp_path_factory.mktemp("project"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = pool.map(lambda item: config(*item), folders.values())
        return {name: (folder, answer) for (name, (_project, folder)), answer in zip(folders.items(), done)}


@pytest.mark.parametrize("name", env_projects.ACCEPTED)
def test_every_service_gets_what_compose_gives_it(answers, monkeypatch, name):
    folder, done = answers[name]
    assert done.returncode == 0, done.stderr
    outcome, found = ours(env_projects.ACCEPTED[name], folder, monkeypatch)
    assert found == theirs(done)
    assert outcome.valid, outcome.table()
    assert {service: len(origins) for service, origins in outcome.services.items()} == {
        service: len({names.shown(name, ()) for name in settings})
        for service, settings in found.items()
    }
    told = {line.split('\\"')[1] for line in done.stderr.splitlines() if "variable is not set" in line}
    rules = {"compose_unset", "compose_dollar", "unset_reference"}
    assert bool(told) == bool(rules & {one.rule.name for one in outcome.findings})


@pytest.mark.parametrize("name", env_projects.REFUSED)
def test_what_compose_refuses_is_an_error(answers, monkeypatch, name):
    folder, done = answers[name]
    assert done.returncode != 0
    try:
        outcome, _found = ours(env_projects.REFUSED[name], folder, monkeypatch)
    except ProductionError as error:
        pytest.fail(str(error))
    assert not outcome.valid


_PIECES = "0 00 1 9 7 12 2020 - - + . _ e E+ e- x 0x 0o 0b : f 2020-1-2 2001-12-14 T t".split()
_PIECES += [" ", *"1:2:3 21:59:43 .5 Z +01:00 ~ true null".split()]


def as_plain_scalars(source, count):
    """Texts that look like numbers and times, as far as YAML reads them as one plain scalar."""
    found = set()
    while len(found) < count:
        text = "".join(source.choices(_PIECES, k=source.randrange(1, 7))).strip()
        if text and ": " not in text and not text.endswith(":") and not text.startswith("- ") and text != "-":
            found.add(text)
    return sorted(found)


def test_generated_scalars_are_what_compose_makes_of_them(tmp_path, monkeypatch):
    texts = as_plain_scalars(random.Random(7), 3000)
    text = (
        env_projects.ONE_SERVICE + "    environment:\n" + "".join(f"      V{n}: {one}\n" for n, one in enumerate(texts))
    )
    assert compose_yaml.compose(text)
    project = env_projects.Project({"compose.yaml": text})
    folder = written(project, tmp_path)
    _outcome, found = ours(project, folder, monkeypatch)
    expected = theirs(config(project, folder))
    assert not [
        (one, found["s"].get(f"V{n}"), expected["s"].get(f"V{n}"))
        for n, one in enumerate(texts)
        if found["s"].get(f"V{n}") != expected["s"].get(f"V{n}")
    ]


_VARIABLES = ["A", "B", "C", "DOT", "KEY", "OUTSIDE", "BOTH", "NOPE"]
_VALUES = ["x", "", " y ", "$A", "${B}", "${C:-$A}", "${NOPE-d}", "$$A", "a'b", '"q"', "${BOTH:+p}", "#z", "p$w"]
_VALUES += ["${DOT}\n"]


def a_service(source, paths):
    """Some of the names and files, in every form that Compose knows."""
    pairs = {
        source.choice(_VARIABLES): source.choice([*_VALUES, None, 1, 1.5, True]) for _pair in range(source.randrange(5))
    }
    listed = [name if value is None else f"{name}={value}" for name, value in pairs.items()]
    chosen = [
        source.choice([path, {"path": path, "required": False}, {"path": "gone.env", "required": False}])
        for path in source.sample(paths, k=source.randrange(4))
    ]
    return {"environment": source.choice([pairs, listed]), "env_file": chosen}


def generated(source):
    """A project of many services that share env files and names, in two files."""
    files = {".env": env_projects.DOT + "A=of env\n"}
    while len(files) < 12:
        lines = [
            f"{source.choice(_VARIABLES)}={''.join(source.choices(_VALUES, k=2))}" for _line in range(source.randrange(5))
        ]
        lines += source.sample(_VARIABLES, k=source.randrange(3))
        text = "".join(f"{line}\n" for line in lines)
        if not parser.parse(text).failed:
            files[f"{len(files)}.env"] = text
    paths = [path for path in files if path != ".env"] + [".env", "./1.env"]
    for number in (1, 2):
        services = {f"s{one}": {"image": "x", **a_service(source, paths)} for one in range(150)}
        for one in range(75, 150):
            services[f"s{one}"]["extends"] = {"service": f"s{source.randrange(one)}"}
        files[f"{number}.yaml"] = json.dumps({"services": services})
    return env_projects.Project(files, ("1.yaml", "2.yaml"))


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_services_of_generated_projects_get_what_compose_gives_them(tmp_path, monkeypatch, seed):
    project = generated(random.Random(seed))
    folder = written(project, tmp_path)
    done = config(project, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    outcome, found = ours(project, folder, monkeypatch)
    assert {name: one for name, one in theirs(done).items() if found[name] != one} == {}
    assert outcome.valid and len(found) == 150


def test_there_are_enough_of_them():
    assert len(env_projects.ACCEPTED) >= 40 and len(env_projects.REFUSED) >= 25


@pytest.mark.parametrize("files", [True, False])
def test_inline_values_are_shown_nowhere(tmp_path, files):
    (tmp_path / "app.env").write_text("A=other\n", encoding="utf-8")
    task = {
        "environment": {"A": "c4n4ryQ7zx9w", "ONE": 1, "TEXT": "E"},
        "schema": {"variables": {"A": {"type": "int"}}},
    }
    task.update({"files": [str(tmp_path / "app.env")]} if files else {})
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"tria.production.env_validate": task}]}]
    (tmp_path / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build"),
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
    }
    (tmp_path / "ansible.cfg").write_text("", encoding="utf-8")
    command = [sys.executable, "-m", "ansible", "playbook", "play.yml", "-vvvv", "--diff"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=120
    )
    assert done.returncode != 0 and "type: not a whole number" in done.stdout
    assert "c4n4ry" not in done.stdout + done.stderr
