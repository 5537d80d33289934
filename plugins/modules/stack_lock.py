#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One deploy of a stack at a time."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_lock
short_description: Lock a stack on a host for one deploy
version_added: 0.1.0
description:
  - Takes, renews or gives back the leased lock of a stack. The owner is the C(ansible-playbook) process on the
    controller; an action plugin of the same name fills it in.
  - A lock whose lease has run out, or whose process is known to be gone, is taken over; a warning and RV(note) say so.
    What such a process left at work on the host is waited for, at most until its lease is over.
  - With RV(environment) as the environment of a play, its longer tasks keep the lock while they work.
author:
  - tria.production contributors (@tria-production)
options:
  path:
    description: The lock file.
    type: path
    required: true
  state:
    description:
      - V(present) takes or renews the lock, V(absent) gives it back if it is ours.
      - V(renewed) is for who has it already, and fails when somebody else has had it meanwhile. A lock that was removed
        by hand, and that nobody else took, is taken again; a warning and RV(note) say so.
    type: str
    choices: [present, renewed, absent]
    default: present
  lease:
    description: Seconds after which a lock that was not renewed is free for others.
    type: int
    default: 600
  owner:
    description: Who takes the lock. Filled in by the action plugin.
    type: dict
  dead:
    description: An owner that the controller knows to be gone. Filled in by the action plugin.
    type: dict
attributes:
  check_mode:
    description: Tells whether the lock is free, and takes nothing.
    support: full
  diff_mode:
    description: A lock is no change to the host.
    support: none
"""

EXAMPLES = r"""
- name: Let nobody else deploy this stack now
  tria.production.stack_lock:
    path: /opt/tria/lock

- name: Go on, unless somebody else has taken it meanwhile
  tria.production.stack_lock:
    path: /opt/tria/lock
    state: renewed

- name: Let others deploy again
  tria.production.stack_lock:
    path: /opt/tria/lock
    state: absent
"""

RETURN = r"""
note:
  description: A word on a stale lock that was taken over or a missing one that was taken again, else empty.
  type: str
  returned: unless O(state=absent)
renewed:
  description: Whether the lock was ours already.
  type: bool
  returned: unless O(state=absent)
lock:
  description: The lock file.
  type: str
  returned: unless O(state=absent)
environment:
  description:
    - What lets the tasks of a play keep the lock while they work. Empty in check mode and with O(state=absent).
  type: dict
  returned: success
renewed_at:
  description: When the task ended, in seconds by the controller's clock.
  type: float
  returned: success
journal:
  description:
    - What an interrupted rollout left, empty when there is none. Its key C(committed) says whether the release is current.
  type: dict
  returned: unless O(state=absent)
  sample: {deploy: 20260101T120000Z-5f3c1a, release: 20260101T120000Z-5891b5b522d5, phase: rollout, committed: false}
owner:
  description: Who holds the lock.
  type: dict
  returned: on failure
  sample: {user: deploy, host: ci-runner-7, pid: 4711}
lock_lost:
  description:
    - V(true) when this deploy has lost its lock to the RV(owner). The stack is theirs then; nothing is to be put back.
  type: bool
  returned: on failure
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases.store import Releases
from ansible_collections.tria.production.plugins.module_utils._rollout import journal


def interrupted(root: str) -> dict[str, t.Any]:
    """The journal of a rollout that did not come to its end."""
    begun = journal.read(root)
    return {**begun, "committed": Releases(root).current() == begun["release"]} if begun else {}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "renewed", "absent"], "default": "present"},
            "lease": {"type": "int", "default": 600},
            "owner": {"type": "dict"},
            "dead": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    options = {**module.params, "owner": module.params["owner"] or {}}
    try:
        result = _lock.ensure(**options, write=not module.check_mode)
        if options["state"] != "absent":
            result["journal"] = interrupted(os.path.dirname(options["path"]))
    except ProductionError as exc:
        module.fail_json(**exc.as_result())
    except OSError as exc:
        module.fail_json(**_lock.refused_by_system(exc).as_result())
    if result.get("note"):
        module.warn(f"{module.params['path']}: {result['note']}")
    # A lock is gone when the deploy ends: it is no change to the host.
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
