# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`tls_certificate` from its arguments to its JSON."""

from __future__ import annotations

import json
import os
import sys

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tria.production.plugins.modules import tls_certificate


@pytest.fixture
def arguments(tmp_path):
    return {"path": str(tmp_path / "tls"), "source": "selfsigned", "names": ["localhost"], "owner": os.geteuid()}


def run(capsys, check_mode=False, **args):
    """The exit status of the module and what it printed."""
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        tls_certificate.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_a_certificate(capsys, arguments):
    code, result = run(capsys, **arguments)
    assert (code, result["changed"], result["certificate"]["names"]) == (0, True, ["localhost"])
    assert run(capsys, **arguments)[1]["changed"] is False


def test_check_mode(capsys, arguments):
    code, result = run(capsys, True, **arguments)
    assert (code, result["changed"]) == (0, True) and not os.path.exists(arguments["path"])


def test_what_is_wrong_is_named(capsys, arguments):
    code, result = run(capsys, **{**arguments, "source": "provided"}, certificate="", private_key="PRIVATE KEY-----")
    assert (code, result["culprit"]) == (1, "certificate")
    code, result = run(capsys, **{**arguments, "source": "provided"})
    assert code == 1 and "certificate, private_key" in result["msg"]


def test_a_folder_that_cannot_be_made(capsys, arguments, tmp_path):
    (tmp_path / "file").write_text("")
    code, result = run(capsys, **{**arguments, "path": str(tmp_path / "file" / "tls")})
    assert code == 1 and "must be writable" in result["remedy"]


def test_without_the_library(capsys, arguments, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)  # as if it were not installed
    code, result = run(capsys, **arguments)
    assert code == 1 and "python3-cryptography" in result["msg"] and result["culprit"] == "cryptography"
