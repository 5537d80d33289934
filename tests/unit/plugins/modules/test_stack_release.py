# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`stack_release` from its arguments to its JSON, through a whole deploy."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import stat
import sys
import tarfile

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.module_utils import _atomic, _docker
from ansible_collections.tria.production.plugins.module_utils._compose_cli import Compose
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import store
from ansible_collections.tria.production.plugins.modules import stack_release

SECRET = "PASSWORD=hunter2-secret"


DB = {"services": {"db": {"image": "postgres:15"}}}


class Engine:
    """An Engine without containers, on which every image exists."""

    def containers(self, **_filters):
        return []

    def inspect_image(self, name):
        return {"Id": f"sha256:{name}"}


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    monkeypatch.setattr(_docker, "connect", Engine)
    monkeypatch.setattr(Compose, "config", lambda self: {"services": {"db": {"image": "postgres:15"}}})


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "tria")


def copy_archive(tmp_path):
    """The project's archive as it comes to the host; staging removes it."""
    with tarfile.open(tmp_path / "source.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("compose.yaml"))


@pytest.fixture
def desired(root, tmp_path):
    """What planning and staging need."""
    copy_archive(tmp_path)
    return {
        "root": root,
        "project": "tria",
        "compose": [DB],
        "compose_sources": ["services: {}\n"],
        "env_content": SECRET + "\n",
    }


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        stack_release.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


@pytest.fixture
def deploy(capsys, desired, tmp_path):
    """Plan, stage and commit; gives the three results."""

    def through(**fields):
        plan = run(capsys, state="planned", **{**desired, **fields})[1]
        args = {"release": plan["release"], "archive": str(tmp_path / "source.tar"), **desired, **fields}
        copy_archive(tmp_path)
        staged = run(capsys, state="staged", **args)[1]
        assert not os.path.exists(args["archive"])
        return plan, staged, run(capsys, state="current", root=desired["root"], release=plan["release"])[1]

    return through


def test_a_deploy(deploy, root):
    plan, staged, current = deploy()
    assert (plan["changed"], plan["action"], plan["reasons"]) == (False, "deploy", ["first deploy"])
    assert "Images:\n  + db: postgres:15\n" in plan["diff"]["prepared"] and staged["diff"] == plan["diff"]
    assert staged["changed"] and current["changed"] and current["removed"] == []
    env = os.path.join(root, "current", ".env")
    assert stat.S_IMODE(os.stat(env).st_mode) == 0o600
    with open(env, encoding="utf-8") as stream:
        assert stream.read() == SECRET + "\n"


def test_once_more(capsys, desired, deploy, tmp_path):
    release = deploy()[0]["release"]
    plan = run(capsys, state="planned", **desired)[1]
    assert (plan["action"], plan["release"], plan["current"]) == ("start", release, release)  # there are no containers
    assert plan["diff"] == {}
    staged = run(capsys, state="staged", release=release, archive=str(tmp_path / "source.tar"), **desired)[1]
    assert not staged["changed"]
    code, current = run(capsys, state="current", root=desired["root"], release=release)
    assert (code, current["changed"], current["removed"]) == (0, False, [])


def test_the_next_deploy_shows_the_difference(deploy):
    deploy()
    plan = deploy(compose=[{"services": {"db": {"image": "postgres:16"}}}])[0]
    assert plan["reasons"] == ["changed: image of db"]
    assert "Images:\n  ~ db: postgres:15 -> postgres:16\n" in plan["diff"]["prepared"]


def test_the_env_file_is_in_no_output(capsys, desired, deploy, tmp_path):
    seen = list(deploy()) + [run(capsys, state="planned", **desired)[1]]
    (tmp_path / "source.tar").write_bytes(b"damaged")
    args = {"release": "r9", "archive": str(tmp_path / "source.tar")}
    code, failure = run(capsys, state="staged", **args, **desired)
    assert code == 1 and failure["culprit"].endswith("source.tar")
    for result in [*seen, failure]:
        assert "hunter2" not in json.dumps(result)


def test_check_mode_writes_nothing(capsys, desired, root):
    plan = run(capsys, True, state="planned", **desired)[1]
    assert plan["action"] == "deploy"
    for state in ("staged", "current", "failed", "bad"):
        code, result = run(capsys, True, state=state, release=plan["release"], archive="/nonexistent", **desired)
        assert (code, result["changed"], state) == (0, True, state)
    assert not os.path.exists(root)


def test_a_failed_release(capsys, desired, deploy, root, tmp_path):
    good = deploy()[0]["release"]
    args = {"release": "29990101T000000Z-x", "archive": str(tmp_path / "source.tar")}
    copy_archive(tmp_path)
    run(capsys, state="staged", **args, **desired)
    code, result = run(capsys, state="failed", root=root, release="29990101T000000Z-x", failure="readiness: no")
    assert (code, result["changed"]) == (0, True) and os.readlink(os.path.join(root, "current")).endswith(good)
    with open(os.path.join(root, "releases", "29990101T000000Z-x", "outcome.json"), encoding="utf-8") as stream:
        state = json.load(stream)
    assert (state["status"], state["events"][-1]["why"]) == ("failed", "readiness: no")


def test_the_way_back(capsys, deploy, monkeypatch, root):
    seconds = itertools.count()
    start = store.now()
    monkeypatch.setattr(store, "now", lambda: start + datetime.timedelta(seconds=next(seconds)))
    by = {"user": "anna", "host": "laptop"}
    first, second = (deploy(env_content=f"N={number}\n", by=by, deploy="d7")[0]["release"] for number in "12")
    code, found = run(capsys, state="target", root=root)
    assert (code, found["changed"], found["release"], found["action"]) == (0, False, first, "deploy")
    assert (found["record"]["created_by"], found["record"]["deploy"]) == (by, "d7")
    known = {"migration_head": "0004", "gates": [{"name": "readiness"}]}
    assert run(capsys, state="current", root=root, release=first, by=by, **known)[1]["changed"]
    assert run(capsys, state="bad", root=root, release=second, failure="slow", by=by)[1]["changed"]
    code, found = run(capsys, state="history", root=root)
    assert [(one["status"], one["current"], one["why"]) for one in found["releases"]] == [
        ("bad", False, "slow"), ("good", True, ""),
    ]
    assert found["releases"][1]["migration_head"] == "0004" and len(found["summary"]) == 3
    code, found = run(capsys, state="target", root=root, release=second)
    assert code == 1 and "is bad: slow" in found["cause"] and first in found["remedy"]
    deploy(env_content="N=3\n")
    assert run(capsys, state="target", root=root)[1]["outcome"]["migration_head"] == "0004"


def test_retention(deploy, root):
    releases = [deploy(env_content=f"N={number}\n")[0]["release"] for number in range(2)]
    assert sorted(os.listdir(os.path.join(root, "releases"))) == sorted(releases)


@pytest.mark.parametrize("state", ["current", "failed", "bad"])
def test_a_release_that_was_never_staged(capsys, root, state):
    code, result = run(capsys, state=state, root=root, release="r1")
    assert code == 1 and "releases/r1/" in result["culprit"] and result["remedy"]


def test_planning_without_an_engine_or_its_library(capsys, desired, monkeypatch):
    def refuse():
        raise ProductionError("Docker Engine", "does not answer.")

    monkeypatch.setattr(_docker, "connect", refuse)
    assert run(capsys, state="planned", **desired)[1]["action"] == "deploy"
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "docker", None)
    assert run(capsys, state="planned", **desired)[1]["action"] == "deploy"


def test_committing_without_an_engine(capsys, desired, monkeypatch, tmp_path):
    run(capsys, state="staged", release="r1", archive=str(tmp_path / "source.tar"), **desired)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "docker", None)
    code, result = run(capsys, state="current", root=desired["root"], release="r1")
    assert code == 1 and "python3-docker" in result["msg"]
    assert not os.path.lexists(os.path.join(desired["root"], "current"))


def test_a_full_disk(capsys, desired, monkeypatch, root, tmp_path):
    def full(path, *_args):
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(_atomic, "write_file", full)
    code, result = run(capsys, state="staged", release="r1", archive=str(tmp_path / "source.tar"), **desired)
    assert code == 1 and result["culprit"].startswith(root) and "No space" in result["cause"] and result["remedy"]
    assert os.listdir(os.path.join(root, "releases")) == []


@pytest.mark.parametrize(
    ("args", "missing"),
    [
        ({"state": "planned"}, "project"),
        ({"state": "staged", "project": "x", "compose": [], "env_content": ""}, "archive"),
        ({"state": "current"}, "release"),
        ({"state": "failed"}, "release"),
        ({"state": "bad"}, "release"),
        ({"state": "gone"}, "state"),
    ],
)
def test_missing_arguments(capsys, root, args, missing):
    code, result = run(capsys, root=root, **args)
    assert code == 1 and missing in result["msg"]


def test_a_mistake_in_the_compose_file(capsys, desired):
    code, result = run(
        capsys, state="planned", **{**desired, "compose": [{"services": {"db": {"image": "db:${TAG:?}"}}}]}
    )
    assert code == 1 and result["culprit"] == "db" and result["remedy"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"name": "a", "htpp": {"url": "http://{address}/"}}, "htpp"),
        ({"name": "a", "http": {"url": "http://{address}/", "statuses": [200]}}, "statuses"),
        ({"name": "a"}, "one of the following is required"),
        ({"name": "a", "timeout": 0, "http": {"url": "http://{address}/"}}, "timeout is not above 0"),
        ({"name": "a", "timeout": 1, "http": {"url": "http://{address}/"}}, None),
    ],
)
@pytest.mark.parametrize("key", ["smoke", "verify"])
def test_a_mistake_in_a_target_of_the_compose_file(capsys, desired, key, target, said):
    db = {"image": "db", "deploy": {"update_config": {"order": "start-first"}}, "x-rollout": {key: [target]}}
    code, result = run(capsys, state="planned", **{**desired, "compose": [{"services": {"db": db}}]})
    assert code == (1 if said else 0)
    if said:
        assert result["culprit"] == "db" and said in result["cause"]
        assert result["cause"].startswith(f"x-rollout.{key}: ")
