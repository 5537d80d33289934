#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a staged release brought to run without a dropped request, and a host put back on the good one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_rollout
short_description: Replace the containers of a Compose stack without a dropped request, and put them back
version_added: 0.1.0
description:
  - Brings a release that M(tria.production.stack_release) has staged to run on a host. A service with
    C(deploy.update_config.order) V(start-first) gets new containers beside the old ones; they are ready and stay so,
    the smoke targets ask them directly, the edge is pointed at them, and for a while they are watched through it with
    the old ones still warm. Every other service is updated in place by Compose, and only when its definition changed.
  - How a service is rolled out is said in C(deploy.update_config), C(stop_grace_period) and C(x-rollout) of its
    Compose file.
  - Every state can be asked for again after a run that failed or was killed, whenever that was. The stack serves all
    the while. C(journal.json) in O(root) tells of a rollout that was neither finished nor reverted.
  - One rollout works on a host at a time; another one waits for it, and for the commands that a killed one left behind.
extends_documentation_fragment:
  - tria.production.targets.verify
options:
  state:
    description:
      - V(present) brings O(release) to run. What it replaces runs on, so that there is a way back.
      - V(finished) takes away what O(release) has replaced, once nobody is connected to it any more, and what belongs
        to no service of it.
      - V(reverted) puts the host on O(release), the good one. Migrations that ran are undone with the image of the
        release that brought them. When one cannot be undone, nothing is reverted and the module fails.
    type: str
    choices: [present, finished, reverted]
    default: present
  root:
    description: The stack's folder on the host.
    type: path
    required: true
  release:
    description:
      - ID of the release.
      - Empty with O(state=reverted) when nothing ran before. Then all containers of the project are removed; volumes
        stay.
    type: str
    default: ""
  backup:
    description: Path of the dump that was made before, for who has to restore it. Goes into the journal.
    type: str
    default: ""
  deploy:
    description: What names this deploy on all of its hosts, for the journal.
    type: str
    default: ""
  timeout:
    description: Seconds that each service has to get ready.
    type: float
    default: 300.0
  secrets:
    description: Values that must not show in any output, such as those that containers may write to their logs.
    type: list
    elements: str
    default: []
requirements:
  - docker (Docker SDK for Python)
  - Docker Compose v2
author:
  - tria.production contributors (@tria-production)
attributes:
  check_mode:
    description: Tells for each service what would be done, also on a host that has no Docker Engine yet.
    support: full
  diff_mode:
    description: Returns what changed in diff mode.
    support: none
  idempotent:
    description: Running it again changes nothing, and runs no command but the edge's own C(confirm).
    support: full
seealso:
  - module: tria.production.stack_release
  - module: tria.production.readiness_wait
"""

EXAMPLES = r"""
- name: Bring the release to run beside the old one
  tria.production.stack_rollout:
    root: /opt/shop
    release: 20260101T120000Z-5891b5b522d5
    deploy: 20260101T120000Z-7d3f
    secrets: ["{{ postgres_password }}"]
    verify:
      - name: front page
        http: {url: "http://{edge}:8080/", max_ms: 500}

- name: Take the old containers away, once the release is committed on every host
  tria.production.stack_rollout:
    state: finished
    root: /opt/shop
    release: 20260101T120000Z-5891b5b522d5

- name: Put the host back on the release before
  tria.production.stack_rollout:
    state: reverted
    root: /opt/shop
    release: 20251224T180000Z-0a4d55a8d778
"""

RETURN = r"""
services:
  description:
    - What was done to each service. C(action) is V(none), V(updated) (in place), V(ran) (a one-shot), V(replaced) (new
      containers beside the old), V(switched) (its requests go elsewhere), V(removed) (containers of another release)
      or V(undone) (migrations). C(seconds) is how long that took. C(window) is what the observation window saw.
  returned: always
  type: dict
  sample:
    postgres: {action: none, seconds: 0.0}
    backend: {action: replaced, seconds: 17.2, window: {requests: 50, failed: 0, p95_ms: 12.1}}
timings:
  description: Seconds that the steps of each kind took altogether.
  returned: always
  type: dict
  sample: {in_place: 0.6, start: 6.3, switch: 0.4, window: 10.1}
switched_at:
  description: When requests were last led elsewhere; empty when they were not.
  returned: always
  type: str
  sample: "2026-01-01T12:00:41.123+00:00"
cut:
  description: Connections that were still there when their container was told to stop.
  returned: always
  type: int
  sample: 0
window:
  description: What the observation windows of all services saw; C(p95_ms) is that of the slowest.
  returned: always
  type: dict
  sample: {requests: 50, failed: 0, p95_ms: 12.1}
culprit:
  description: The service at fault.
  returned: failure
  type: str
  sample: backend
cause:
  description: What was found wrong with it.
  returned: failure
  type: str
  sample: "3 of 12 requests through the edge failed (25.0%), max_failure_ratio is 1.0%; the last: GET answered 502."
remedy:
  description: What to do.
  returned: failure
  type: str
  sample: Correct the cause and deploy again. The old containers still run.
log_tail:
  description: Last log lines of the container at fault, without secrets.
  returned: failure of a container
  type: list
  elements: str
  sample: ["OSError: address already in use"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.tria.production.plugins.module_utils import _lock, _probes, _redact
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._rollout import foreseen, revert, rollout, told

STATES = {"present": rollout.present, "finished": rollout.finished, "reverted": revert.reverted}


def validated(targets: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Targets of a Compose file, with defaults as those of a playbook have them; raises `ProductionError`."""
    result = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": targets})
    if result.error_messages:
        raise ProductionError(
            "x-rollout", f"{'; '.join(result.error_messages)}.", "Write smoke and verify as option verify says."
        )
    return result.validated_parameters["targets"]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STATES), "default": "present"},
            "root": {"type": "path", "required": True},
            "release": {"type": "str", "default": ""},
            "deploy": {"type": "str", "default": ""},
            "backup": {"type": "str", "default": ""},
            "verify": {**_probes.argument_spec()["targets"], "required": False, "default": []},
            "timeout": {"type": "float", "default": 300.0},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        supports_check_mode=True,
    )
    asked = {name: module.params[name] for name in told.Options._fields if name in module.params}
    options = told.Options(validate=validated, **asked)
    state = module.params["state"]
    try:
        if not options.release and state != "reverted":
            raise ProductionError("release", f"is empty with state {state}.", "Name the release.")
        with _lock.beating() as lock:
            options = options._replace(go_on=lock.check)
            result = foreseen.foreseen(options, state) if module.check_mode else STATES[state](options)
    except (ProductionError, MissingLibrary) as exc:
        module.fail_json(**_redact.redact_tree(exc.as_result(), options.secrets, guess=False))
    except OSError as exc:
        remedy = "Old containers and the edge are as they were; see what is written to the stack's folder."
        module.fail_json(**ProductionError.from_os(exc, remedy).as_result())
    module.exit_json(**_redact.redact_tree(result, options.secrets, guess=False))


if __name__ == "__main__":
    main()
