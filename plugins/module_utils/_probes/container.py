# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `container`: every container of a service of Compose or Swarm runs, is healthy, stays up. Private."""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import _base, _compose, _swarm

DOCUMENTATION = r"""
container:
  description:
    - All containers of a service of Docker Compose or of a Docker Swarm stack. Each of them must run and, where it has
      a healthcheck, be healthy; one dead replica is a failure.
    - Of a Swarm stack the newest task of every slot counts, on whatever node, if this host is a manager; a task that
      Swarm itself replaced, as in a rolling update, does not. A service whose tasks fail again and again, or are
      rejected, will never be ready, nor will one whose update Swarm gave up. A host that is not a manager knows its own
      containers only.
  type: dict
  suboptions:
    project:
      description: Compose project, or name of the Swarm stack (C(docker stack deploy)).
      type: str
      required: true
    service:
      description: The service as the Compose or stack file names it.
      type: str
      required: true
    replicas:
      description:
        - How many containers there are at least; all that exist count in any case.
        - Without it, as many as a Swarm service is to have, where a manager is asked; else one.
      type: int
    one_shot:
      description: The containers end by themselves. Good is then exit code 0, and nothing else.
      type: bool
      default: false
    min_uptime:
      description:
        - Seconds that a container without a healthcheck must have been running before that counts.
        - A container that was restarted, or that replaces one that failed, must have been running for 10 seconds in
          any case.
      type: float
      default: 1.0
    labels:
      description:
        - Labels with the values that containers of Compose must have, or else are not looked at. A container without a
          label is one whose value is empty.
      type: dict
      default: {}
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
        "labels": {"type": "dict", "default": {}},
    }
}


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Inspects every container of the service; one dead replica is a failure however many others there are."""
    project, service = options["project"], options["service"]
    with attempt.session.docker(attempt.budget.remaining()) as client:
        containers = _compose.find(client, attempt.session, project, service, options.get("labels"))
        in_swarm = _swarm.look(client, project, service, containers)
        others = None if containers or in_swarm else _compose.neighbours(client)
        _compose.recall_exits(client, [] if in_swarm else containers, attempt.memory)
    if in_swarm:
        return _swarm.probe(in_swarm, options, attempt.memory)
    expected = 1 if options["replicas"] is None else options["replicas"]
    data = {"replicas": {"found": len(containers), "expected": expected}}
    ready, faults = _compose.judge(containers, options, attempt.memory)
    data["replicas"]["ready"] = len(ready)
    data["containers"] = [_compose.summary(one) for one in containers]
    if faults:
        raise _compose.failure(faults, data, ready)
    if len(containers) < expected:
        raise _compose.absent(project, service, expected, len(containers), others)
    done = "finished" if options["one_shot"] else "ready"
    return _base.Outcome(f"{len(ready)} of {len(containers)} containers {done}", data)


def locate(session: _base.Session, project: str, service: str, memory: dict[str, t.Any], seconds: float) -> str:
    """The address of a running container of the service; raises `ProbeFailure`, final when its containers are dead."""
    with session.docker(seconds) as client:
        try:
            return _docker.service_address(client, project, service)
        except ProductionError:
            containers = _compose.find(client, session, project, service)
            in_swarm = _swarm.look(client, project, service, containers)
            others = None if containers or in_swarm else _compose.neighbours(client)
    if in_swarm:
        raise _swarm.nowhere(in_swarm, memory)
    if not containers:
        raise _compose.absent(project, service, others=others)
    faults = _compose.judge(containers, {"one_shot": False, "min_uptime": 0.0}, memory)[1]
    if faults:
        raise _compose.failure(faults, {})
    raise _base.ProbeFailure(
        f"service {service} of project {project} has no address",
        "Attach it to a network of this host.",
        _compose.CONTAINER,
    )
