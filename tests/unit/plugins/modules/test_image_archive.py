# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`image_archive` from its arguments to its JSON; what travels between two Engines is in tests/integration."""

from __future__ import annotations

import json
import sys

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.module_utils import _shipping
from ansible_collections.tria.production.plugins.modules import image_archive

SAVED = {"state": "saved", "images": ["app:1"], "layers": [], "architecture": "amd64", "path": "/x/images.tar.gz"}
LOADED = {"state": "loaded", "images": ["app:1"], "path": "/x/images.tar.gz"}


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed, its own arguments aside."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        image_archive.main()
    result = json.loads(capsys.readouterr().out)
    del result["invocation"]
    return ended.value.code, result


@pytest.mark.parametrize("arguments", [SAVED, LOADED])
def test_check_mode_touches_nothing(capsys, arguments):
    code, result = run(capsys, True, **arguments)
    assert code == 0 and result["changed"]


def test_a_full_disk(capsys, monkeypatch):
    def full(**_arguments):
        raise OSError(28, "No space left on device", "/var/tmp")

    monkeypatch.setattr(_shipping, "save", full)
    code, result = run(capsys, **SAVED)
    assert code == 1 and result["culprit"] == "/var/tmp" and "room" in result["remedy"]


def test_a_missing_library(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    code, result = run(capsys, state="wanted", images=["app:1"])
    assert code == 1 and "python3-docker" in result["msg"]


@pytest.mark.parametrize(("state", "missing"), [("saved", "architecture, path"), ("loaded", "path")])
def test_what_is_needed(capsys, state, missing):
    code, result = run(capsys, state=state, images=["app:1"])
    assert code == 1 and missing in result["msg"]
