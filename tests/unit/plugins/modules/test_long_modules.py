# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules that work for long do it under the deploy's lock: when that is lost, they begin nothing."""

from __future__ import annotations

import importlib
import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.module_utils import _lock

ANNA = {"user": "anna", "host": "laptop", "pid": 4711, "started": "1", "process_space": "laptop"}
BEN = {"user": "ben", "host": "ci-7", "pid": 815, "started": "2", "process_space": "ci-7"}
NO_SERVER = {"dest": "/nowhere", "dbname": "none", "login_host": "127.0.0.1", "login_port": 1}
NOBODY = {"targets": [{"name": "nobody", "tcp": {"port": 1}}]}


@pytest.mark.parametrize(
    "name, args",
    [
        ("pg_backup", NO_SERVER),
        ("pg_backup_schedule", {**NO_SERVER, "name": "none", "cron": "10 3 * * *"}),
        ("pg_restore", NO_SERVER),
        ("readiness_wait", NOBODY),
        ("service_health", NOBODY),
        ("debian_image", {"name": "none", "suite": "none"}),
    ],
)
def test_a_lost_lock(capsys, tmp_path, monkeypatch, name, args):
    path = str(tmp_path / "lock")
    _lock.acquire(path, BEN, 60)
    monkeypatch.setenv(_lock.VARIABLE, _lock.environment(path, ANNA, 60)[_lock.VARIABLE])
    module = importlib.import_module(f"ansible_collections.tria.production.plugins.modules.{name}")
    with patch_module_args(args), pytest.raises(SystemExit) as ended:
        module.main()
    result = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1 and result["lock_lost"] and result["owner"] == BEN, result["msg"]
