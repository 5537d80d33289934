# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wait engine as a program to run: see waiter.py."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.tria.production.plugins.module_utils import _probes

from benchmarks.process import Ended, Program

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_WAITER = pathlib.Path(__file__).with_name("waiter.py")


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the engine said. `begun` and `returned` are on the monotonic clock, `wait_cpu` is of the wait alone (s)."""

    ready: bool
    message: str
    begun: float
    returned: float
    wait_cpu: float


def start(targets: list[dict[str, t.Any]], timeout: float = 60.0, **settings: t.Any) -> Program:
    """Starts a wait for targets as a playbook would write them."""
    validated = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": targets})
    if validated.error_messages:
        raise ValueError(", ".join(validated.error_messages))
    order = {"targets": validated.validated_parameters["targets"], "settings": {"timeout": timeout, **settings}}
    env = {"PYTHONPATH": str(_ROOT / ".build")}
    return Program([sys.executable, str(_WAITER)], json.dumps(order), env, timeout=timeout + 30)


def answer(ended: Ended) -> Answer:
    """What the ended program said; raises `RuntimeError` when it broke."""
    if ended.code:
        raise RuntimeError(f"the wait broke (status {ended.code}): {ended.stderr.strip()[-2000:]}")
    return Answer(**json.loads(ended.stdout))
