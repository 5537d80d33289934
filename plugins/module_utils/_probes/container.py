# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `container`: every container of a Compose service runs, is healthy, stays up. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._probes import _base, _compose

DOCUMENTATION = r"""
container:
  description:
    - All containers of a Compose service. Each of them must run and, where it has a healthcheck, be healthy; one
      dead replica is a failure.
  type: dict
  suboptions:
    project:
      description: Compose project.
      type: str
      required: true
    service:
      description: Compose service.
      type: str
      required: true
    replicas:
      description: How many containers there are at least. Without it, one; all that exist count in any case.
      type: int
    one_shot:
      description: The containers end by themselves. Good is then exit code 0, and nothing else.
      type: bool
      default: false
    min_uptime:
      description:
        - Seconds that a container without a healthcheck must have been running before that counts.
        - A container that was restarted must have been running for 10 seconds in any case.
      type: float
      default: 1.0
"""
CATEGORY = "Container"
LIBRARIES = ("docker",)
SPEC: dict[str, t.Any] = {
    "options": {
        "project": {"type": "str", "required": True},
        "service": {"type": "str", "required": True},
        "replicas": {"type": "int"},
        "one_shot": {"type": "bool", "default": False},
        "min_uptime": {"type": "float", "default": 1.0},
    }
}


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Inspects every container of the service; one dead replica is a failure however many others there are."""
    project, service = options["project"], options["service"]
    with attempt.session.docker() as client:
        containers = _docker.compose_containers(client, project, service)
    expected = 1 if options["replicas"] is None else options["replicas"]
    data = {"replicas": {"found": len(containers), "expected": expected}}
    ready, faults = _compose.judge(containers, options, attempt.memory)
    data["replicas"]["ready"] = len(ready)
    data["containers"] = [_compose.summary(one) for one in containers]
    if faults:
        raise _compose.failure(faults, data)
    if len(containers) < expected:
        raise _compose.absent(project, service, expected, len(containers))
    done = "finished" if options["one_shot"] else "ready"
    return _base.Outcome(f"{len(ready)} of {len(containers)} containers {done}", data)
