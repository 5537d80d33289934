# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wait engine in a process of its own: what `readiness_wait` does, without Ansible around it.

Reads `targets` and `settings` as JSON; prints when the wait returned, its outcome and its processor time.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

from ansible_collections.tria.production.plugins.module_utils import _waiting
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def cpu() -> float:
    """Seconds of processor time so far, children's too."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    order = json.load(sys.stdin)
    before, begun, message = cpu(), time.monotonic(), ""
    try:
        _waiting.wait(order["targets"], _waiting.Settings(**order["settings"]))
    except ProductionError as exc:
        message = str(exc)
    returned = time.monotonic()
    answer = {
        "ready": not message, "message": message, "begun": begun, "returned": returned, "wait_cpu": cpu() - before,
    }
    print(json.dumps(answer), flush=True)
    os._exit(0)  # the interpreter's tidying up takes tens of milliseconds, and is no part of a wait


if __name__ == "__main__":
    main()
