# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures, side by side with peers: `python tests/benchmarks/run.py --only readiness`. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import pathlib
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT / "tests"), str(_ROOT / ".build")]

from benchmarks import suites  # noqa: E402  (found through the path above)
from benchmarks.backup import suite as backup  # noqa: E402
from benchmarks.deploy import suite as deploy  # noqa: E402
from benchmarks.env import suite as env  # noqa: E402
from benchmarks.readiness import suite as readiness  # noqa: E402

SUITES = {"readiness": readiness.run, "deploy": deploy.run, "backup": backup.run, "env": env.run}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"one of {', '.join(SUITES)}; all without it")
    parser.add_argument("--rounds", type=int, default=10, help="of ours; peers get fewer")
    parser.add_argument("--ours", action="store_true", help="leave the peers out")
    options = parser.parse_args()
    for run in suites.chosen(SUITES, options.only):
        run(options.rounds, options.ours)


if __name__ == "__main__":
    main()
