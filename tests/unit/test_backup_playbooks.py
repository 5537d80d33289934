# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whoever backs a stack up leaves alone what was dumped before a release that is still there."""

from __future__ import annotations

import pathlib

import pytest
import yaml

PLAYBOOKS = pathlib.Path(__file__).parents[2] / "playbooks"


def play_vars(name):
    loaded = yaml.safe_load((PLAYBOOKS / name).read_text(encoding="utf-8"))
    return (
        loaded if isinstance(loaded, dict) else {key: value for play in loaded for key, value in play["vars"].items()}
    )


@pytest.mark.parametrize("name", ["backup.yml", "vars/deploy.yml"])
def test_labels_of_releases_are_kept(name):
    root = play_vars(name)["database_backup_dest"].removesuffix("/backups")
    assert play_vars(name)["database_backup_keep_labels_in"] == f"{root}/releases"


def test_a_backup_before_a_restore_removes_none():
    kept = play_vars("restore.yml")
    assert kept["database_backup_pin"] and kept["database_backup_keep_last"] >= 1000000
