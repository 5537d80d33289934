# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder for playbooks, for each test."""

from __future__ import annotations

import pathlib

import pytest
from view_runs import Plays


@pytest.fixture
def plays(tmp_path: pathlib.Path) -> Plays:
    return Plays(tmp_path)
