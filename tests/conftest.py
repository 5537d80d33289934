# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for all tests."""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    """Whoever starts the tests in the background has them, and all that they start, ignore these; some tests send them."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture
def target_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a target, where a module has a process of its own.

    Tests of action plugins import the controller's side, which takes a module's warnings out of its result; earlier
    modules leave theirs.
    """
    from ansible.module_utils import _internal
    from ansible.module_utils.common import warnings

    monkeypatch.setattr(_internal, "is_controller", False, raising=False)
    monkeypatch.setattr(warnings, "_global_warnings", {})
