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
  - Takes, renews or gives back the leased lock of a stack. The owner is the C(ansible-playbook) process on the controller;
    an action plugin of the same name fills it in.
  - A lock whose lease has run out, or whose process is known to be gone, is taken over, and a warning and RV(note) say so.
author:
  - tria.production contributors (@tria-production)
options:
  path:
    description: The lock file.
    type: path
    required: true
  state:
    description: V(present) takes or renews the lock, V(absent) gives it back if it is ours.
    type: str
    choices: [present, absent]
    default: present
  lease:
    description: Seconds after which a lock that was not renewed is free for others.
    type: int
    default: 3600
  owner:
    description: Who takes the lock. Filled in by the action plugin.
    type: dict
attributes:
  check_mode:
    description: Tells whether the lock is free, and takes nothing.
    support: full
  diff_mode:
    description: A lock leaves nothing behind.
    support: none
"""

EXAMPLES = r"""
- name: Let nobody else deploy this stack now
  tria.production.stack_lock:
    path: /opt/tria/lock

- name: Let others deploy again
  tria.production.stack_lock:
    path: /opt/tria/lock
    state: absent
"""

RETURN = r"""
note:
  description: A word on a stale lock that was taken over, else empty.
  type: str
  returned: when O(state=present)
owner:
  description: Who holds the lock.
  type: dict
  returned: on failure
  sample: {user: deploy, host: ci-runner-7, pid: 4711}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "lease": {"type": "int", "default": 3600},
            "owner": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    path, owner = module.params["path"], module.params["owner"] or {}
    try:
        if module.params["state"] == "absent":
            if not module.check_mode:
                _lock.release(path, owner)
            module.exit_json(changed=False)
        note = _lock.probe(path, owner) if module.check_mode else _lock.acquire(path, owner, module.params["lease"])
        if note:
            module.warn(f"{path}: {note}")
        # A lock is gone when the deploy ends: it is no change to the host.
        module.exit_json(changed=False, note=note)
    except ProductionError as exc:
        module.fail_json(**exc.as_result())
    except OSError as exc:
        module.fail_json(**ProductionError.from_os(exc, "The lock's folder must be writable, with room on it.").as_result())


if __name__ == "__main__":
    main()
