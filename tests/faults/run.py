# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plants faults: `python tests/faults/run.py --only readiness`. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import pathlib
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT / "tests"), str(_ROOT / ".build")]

from benchmarks import suites  # noqa: E402  (found through the path above)
from faults import backup, deploy, readiness  # noqa: E402

SUITES = {"readiness": readiness.run, "deploy": deploy.run, "backup": backup.run}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"one of {', '.join(SUITES)}; all without it")
    results = [run() for run in suites.chosen(SUITES, parser.parse_args().only)]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
