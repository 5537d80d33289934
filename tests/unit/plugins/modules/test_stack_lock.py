# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`stack_lock` from its arguments to its JSON."""

from __future__ import annotations

import json
import os

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._rollout import journal
from ansible_collections.tria.production.plugins.modules import stack_lock

ANNA = {"user": "anna", "host": "laptop", "pid": 4711, "started": "1", "process_space": "laptop"}
BEN = {"user": "ben", "host": "ci-7", "pid": 815, "started": "2", "process_space": "ci-7"}


@pytest.fixture
def warned(monkeypatch):
    """What the module warns of."""
    texts = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: texts.append(text))
    return texts


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "tria" / "lock")


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed, its own arguments aside."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        stack_lock.main()
    result = json.loads(capsys.readouterr().out)
    del result["invocation"]
    return ended.value.code, result


def test_take_renew_and_give_back(capsys, path):
    given = {"changed": False, "note": "", "lock": path, "journal": {}}
    for state, renewed in (("present", False), ("present", True), ("renewed", True)):
        code, result = run(capsys, path=path, owner=ANNA, state=state)
        environment = result.pop("environment")
        assert (code, result) == (0, {**given, "renewed": renewed})
        lock = json.loads(environment[_lock.VARIABLE])
        assert (lock["path"], lock["owner"], lock["lease"]) == (path, ANNA, 600)
    assert _lock.read(path)["owner"] == ANNA
    assert run(capsys, path=path, owner=ANNA, state="absent") == (0, {"changed": False, "environment": {}})
    assert not os.path.exists(path)


def test_a_second_owner_is_refused(capsys, path):
    run(capsys, path=path, owner=ANNA)
    for check_mode in (False, True):
        code, result = run(capsys, check_mode, path=path, owner=BEN)
        assert code == 1 and "anna@laptop" in result["msg"] and result["owner"] == ANNA and result["remedy"]
    run(capsys, path=path, owner=BEN, state="absent")
    assert _lock.read(path)["owner"] == ANNA


def test_an_expired_lock_is_taken_over(capsys, path, warned):
    run(capsys, path=path, owner=ANNA, lease=0)
    code, result = run(capsys, path=path, owner=BEN)
    assert code == 0 and "anna@laptop" in result["note"] and _lock.read(path)["owner"] == BEN
    assert warned == [f"{path}: {result['note']}"]


@pytest.mark.parametrize("committed", [False, True])
def test_what_an_interrupted_rollout_left(capsys, path, committed):
    root = os.path.dirname(path)
    os.makedirs(root)
    begun = journal.begin(root, "deploy-1", "release-1", "", [])
    if committed:
        os.symlink("releases/release-1", os.path.join(root, "current"))
    for check_mode in (True, False):
        code, result = run(capsys, check_mode, path=path, owner=ANNA)
        assert code == 0 and result["journal"] == {**begun, "committed": committed}


def test_a_lost_lock(capsys, path):
    run(capsys, path=path, owner=ANNA, lease=0)
    run(capsys, path=path, owner=BEN)
    code, result = run(capsys, path=path, owner=ANNA, state="renewed")
    assert code == 1 and result["lock_lost"] and result["owner"] == BEN and "ben@ci-7" in result["msg"]


def test_a_lock_that_was_removed_by_hand(capsys, path, warned):
    run(capsys, path=path, owner=ANNA)
    os.unlink(path)
    code, result = run(capsys, path=path, owner=ANNA, state="renewed")
    assert code == 0 and "taken again" in result["note"] and not result["renewed"] and warned


def test_an_owner_that_the_controller_knows_to_be_gone(capsys, path, warned):
    run(capsys, path=path, owner=ANNA)
    code, result = run(capsys, path=path, owner=BEN, dead=ANNA)
    assert code == 0 and "process is gone" in result["note"] and warned


def test_check_mode_takes_and_gives_back_nothing(capsys, path):
    for state in ("present", "renewed"):
        code, result = run(capsys, True, path=path, owner=ANNA, state=state)
        assert code == 0 and result["environment"] == {} and not os.path.exists(os.path.dirname(path))
    run(capsys, path=path, owner=ANNA)
    run(capsys, True, path=path, owner=ANNA, state="absent")
    assert _lock.read(path)["owner"] == ANNA


def test_a_folder_that_cannot_be_made(capsys, tmp_path):
    (tmp_path / "tria").write_text("")
    code, result = run(capsys, path=str(tmp_path / "tria" / "lock"), owner=ANNA)
    assert code == 1 and result["culprit"].startswith(str(tmp_path / "tria")) and result["remedy"]
