# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make bench ONLY=deploy`: what a deploy costs."""

from __future__ import annotations

from benchmarks.deploy import load, noop


def run(rounds: int, ours_only: bool) -> None:
    """Measures and prints everything; `rounds` of ours, fewer of the peers, none with `ours_only`."""
    noop.run(rounds, ours_only)
    load.run(rounds, ours_only)
