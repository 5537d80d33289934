# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""under_load.py URL PATH COMMAND...: runs the command while PATH is asked for all the time; tells of both as JSON."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests"))

from load import Ask, Load  # noqa: E402

url, path, *command = sys.argv[1:]
with Load(url, connections=4, rate=40, asks=(Ask(path),)) as load:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    result = load.stop()
told = {"total": result.total, "failed": result.failed, "kinds": result.kinds, "longest_gap_s": result.longest_gap_s}
print(json.dumps({"status": done.returncode, "output": done.stdout, "requests": told}))
