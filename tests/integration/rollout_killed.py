# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs stack_rollout, and kills its process with SIGKILL right before its n-th deed; writes down what it does.

As a program: `rollout_killed.py <n> <file for the deeds> <file with the module's arguments>`; with n 0 it lives.
"""

from __future__ import annotations

import os
import signal
import sys

from ansible_collections.tria.production.plugins.module_utils import _compose_cli
from ansible_collections.tria.production.plugins.module_utils._rollout import containers, edge, journal
from ansible_collections.tria.production.plugins.modules import stack_rollout

DEEDS = [
    (_compose_cli.Compose, "up"),
    (journal, "write"),
    (journal, "remove"),
    (edge.EdgeOf, "_put"),
    (edge.EdgeOf, "_demand"),
    (edge.EdgeOf, "await_confirmation"),
    (containers.Containers, "stop"),
    (containers.Containers, "remove"),
    (containers.Containers, "note_applied"),
]


def main():
    last, log = int(sys.argv.pop(1)), sys.argv.pop(1)
    done = []

    def counted(name, deed):
        def act(*arguments, **options):
            done.append(name)
            with open(log, "a", encoding="utf-8") as stream:
                stream.write(f"{name}\n")
            if len(done) == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return deed(*arguments, **options)

        return act

    for owner, name in DEEDS:
        setattr(owner, name, counted(name, getattr(owner, name)))
    stack_rollout.main()


main()
