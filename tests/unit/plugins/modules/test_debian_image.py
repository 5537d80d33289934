# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`debian_image` from its arguments to its JSON; what it builds is in tests/integration."""

from __future__ import annotations

import json
import sys

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.module_utils import _docker, _rootfs
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.modules import debian_image

ARGS = {"name": "tria-base/debian:bookworm", "suite": "bookworm"}


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed, its own arguments aside."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        debian_image.main()
    result = json.loads(capsys.readouterr().out)
    del result["invocation"]
    return ended.value.code, result


@pytest.mark.parametrize(("present", "changed"), [("sha256:1", False), ("", True)])
def test_check_mode(capsys, monkeypatch, present, changed):
    monkeypatch.setattr(_docker, "connect", lambda timeout: None)
    monkeypatch.setattr(_docker, "image_id", lambda client, name: present)
    assert run(capsys, True, **ARGS) == (0, {"changed": changed, "image": present})


def test_a_failure(capsys, monkeypatch):
    def refuse(timeout):
        raise ProductionError("Docker Engine", "does not answer.", "Start it.")

    monkeypatch.setattr(_docker, "connect", refuse)
    code, result = run(capsys, **ARGS)
    assert code == 1 and result["culprit"] == "Docker Engine" and result["remedy"] == "Start it."


def test_a_missing_library(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    code, result = run(capsys, **ARGS)
    assert code == 1 and "python3-docker" in result["msg"]


def test_a_full_disk(capsys, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device", "/var/tmp")

    monkeypatch.setattr(_rootfs, "_bootstrap", full)
    monkeypatch.setattr(_docker, "connect", lambda timeout: None)
    monkeypatch.setattr(_docker, "image_id", lambda client, name: "")
    monkeypatch.setattr(_rootfs._apt, "sources", lambda codename: [{"line": "deb x bookworm main"}])
    monkeypatch.setattr(_rootfs.shutil, "which", lambda name: name)
    code, result = run(capsys, **ARGS)
    assert code == 1 and result["culprit"] == "/var/tmp" and "No space" in result["cause"]
