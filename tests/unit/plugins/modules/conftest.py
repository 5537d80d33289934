# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module runs on a target, in a process of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def on_a_target(target_process: None) -> None:
    """See there."""
