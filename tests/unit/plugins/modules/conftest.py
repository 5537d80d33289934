# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module runs on a target, in a process of its own."""

from __future__ import annotations

import pytest
from ansible.module_utils import _internal
from ansible.module_utils.common import warnings


@pytest.fixture(autouse=True)
def target_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of action plugins import the controller's side, which takes a module's warnings out of its result; earlier
    modules leave theirs."""
    monkeypatch.setattr(_internal, "is_controller", False, raising=False)
    monkeypatch.setattr(warnings, "_global_warnings", {})
