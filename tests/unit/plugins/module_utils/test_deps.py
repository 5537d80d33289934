# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Libraries that are there, and that are not."""

from __future__ import annotations

import json
import sys

import pytest

from ansible_collections.tria.production.plugins.module_utils import _deps


def test_a_library_that_is_there():
    assert _deps.load("yaml").safe_load("a: 1") == {"a": 1}


@pytest.mark.parametrize("name", sorted(_deps.LIBRARIES))
def test_a_library_that_is_missing(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(_deps.MissingLibrary) as raised:
        _deps.load(name)
    result = raised.value.as_result()
    distribution, package = _deps.LIBRARIES[name]
    assert result["culprit"] == distribution and distribution in result["msg"] and package in result["msg"]
    assert "ImportError" in result["exception"] or "ModuleNotFoundError" in result["exception"]
    assert json.dumps(result)
