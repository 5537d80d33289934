# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine of `env_validate` in a process of its own: `ours.py <folder>` prints its seconds and what was wrong."""

from __future__ import annotations

import json
import pathlib
import sys
import time

from ansible_collections.tria.production.plugins.module_utils._env import engine, schema, sources


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    raw = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    begun = time.perf_counter()
    outcome = engine.validate([sources.from_file(str(folder / ".env"))], schema.load(raw))
    seconds = time.perf_counter() - begun
    print(outcome.table(), file=sys.stderr)
    wrong = {finding.variable or finding.file for finding in outcome.findings}
    print(json.dumps({"seconds": seconds, "wrong": len(wrong)}))


if __name__ == "__main__":
    main()
