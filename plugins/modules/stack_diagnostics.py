#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thin module over `module_utils/_diagnostics.py`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_diagnostics
short_description: Collect what explains the state of a stack on a host
version_added: 0.1.0
author: tria.production contributors (@tria-production)
description:
  - Collects the containers of a Compose project with their exit codes, health checks and last log lines, the Docker Engine,
    and the host's load, memory and disks, in one call.
  - Writes the outcome as local facts, so that the next run finds it in C(ansible_local).
  - Meant for the moment when something is wrong already. An Engine that does not answer and facts that cannot be written are
    told in the result (C(engine.error), a warning); they do not make the module fail.
  - Everything containers say is cut to a bounded size, freed from control characters, and redacted.
attributes:
  check_mode:
    description: Collects as always, does not write O(facts_path).
    support: full
  diff_mode:
    description: The facts carry times and percentages that differ every time.
    support: none
  idempotent:
    description: >-
      RV(ignore:changed) is true only when something other than times and percentages differs from the facts that are there.
    support: full
options:
  project:
    description: The Compose project.
    type: str
    required: true
  release:
    description: The release that runs, for the facts.
    type: str
    default: ""
  status:
    description: The verdict of the run, such as V(healthy) or V(failed), for the facts.
    type: str
    default: ""
  checks:
    description: Counts of the run's checks, such as C(total) and C(passed), for the facts.
    type: dict
    default: {}
  secrets:
    description:
      - Values that must not appear in anything collected. Passwords in URLs, and what looks like the value of a password
        in a log, are masked without being listed.
    type: list
    elements: str
    default: []
  logs:
    description: Whose last log lines are collected.
    type: str
    choices: [all, failed, none]
    default: failed
  log_lines:
    description: How many log lines of a container.
    type: int
    default: 30
  root:
    description: Folder of the stack, whose disk is measured besides V(/) and the Engine's.
    type: path
    default: /opt
  facts_path:
    description:
      - File for the facts, such as V(/etc/ansible/facts.d/tria.fact). It is readable by everybody and holds no text that a
        container wrote. Without it no facts are written.
    type: path
"""

EXAMPLES = r"""
- name: See what is wrong with a stack
  tria.production.stack_diagnostics:
    project: tria
    root: /opt/tria
    secrets: "{{ stack_secrets }}"
  register: found

- name: Show it
  ansible.builtin.debug:
    msg: "{{ found.summary.splitlines() }}"

- name: Keep the outcome of a deploy for the next run
  tria.production.stack_diagnostics:
    project: tria
    release: 20250124-103000-3f1c9a
    status: healthy
    checks: {total: 15, passed: 15}
    logs: none
    facts_path: /etc/ansible/facts.d/tria.fact
"""

RETURN = r"""
diagnostics:
  description: What was collected.
  returned: always
  type: dict
  contains:
    project: {description: The Compose project., type: str, returned: always, sample: tria}
    release: {description: As given., type: str, returned: always, sample: 20250124-103000-3f1c9a}
    status: {description: As given., type: str, returned: always, sample: failed}
    collected_at: {description: When., type: str, returned: always, sample: "2025-01-24T10:30:00Z"}
    engine:
      description: The Docker Engine; C(engine.error) says why when it does not answer.
      returned: always
      type: dict
      sample:
        answers: true
        api_version: "1.45"
        containers: {paused: 0, running: 4, stopped: 1}
        error: ""
        images: 9
        root_dir: /var/lib/docker
        storage_driver: overlay2
        version: 26.1.5
    containers:
      description: The containers of the project. RV(diagnostics.containers[].trouble) is empty for one that does well.
      returned: always
      type: list
      elements: dict
      contains:
        trouble: {description: What is wrong., type: str, returned: always, sample: "exited (exit code 1)"}
      sample:
        - error: ""
          exit_code: 1
          finished_at: "2025-01-24T10:30:00.123456789Z"
          health: none
          health_log: []
          id: 3f1c9a5d0b7e
          image: tria/backend:3f1c9a
          image_id: sha256:7ccfb0b7bebd
          logs: ["phase redis: authentication failed"]
          name: tria-backend-1
          oom_killed: false
          restarts: 0
          service: backend
          started_at: "2025-01-24T10:29:58.123456789Z"
          state: exited
          trouble: exited (exit code 1)
    host:
      description: Load, CPU, memory and disks of the host.
      returned: always
      type: dict
      sample:
        cores: 2
        cpu_percent: 15.2
        disk_percent: 23.1
        disks: [{free_gb: 79.2, inodes_percent: 2.8, path: /opt/tria, percent: 23.1, total_gb: 252.0}]
        hostname: app1
        load: [0.3, 0.2, 0.1]
        memory_available_mb: 4096
        memory_mb: 7941
        memory_percent: 45.8
summary:
  description: The same for a person, containers in trouble first.
  returned: always
  type: str
  sample: |-
    tria: 1 of 4 containers in trouble
    ❌ backend (tria-backend-1): exited (exit code 1)
        | phase redis: authentication failed
facts:
  description: The content of O(facts_path), whether it was written or not.
  returned: always
  type: dict
  sample:
    checked_at: "2025-01-24T10:30:00Z"
    checks: {passed: 15, total: 15}
    current: 20250124-103000-3f1c9a
    last_good: 20250117-091500-77d02e
    not_good: [20250121-120000-5ea911]
    host: {cpu_percent: 15.2, disk_percent: 23.1, memory_percent: 45.8}
    release: 20250124-103000-3f1c9a
    services: {backend: {exit_code: 0, health: healthy, image: "tria/backend:3f1c9a", restarts: 0, state: running}}
    status: healthy
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _diagnostics
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def argument_spec() -> dict:
    """The options of `DOCUMENTATION`."""
    return {
        "project": {"type": "str", "required": True},
        "release": {"type": "str", "default": ""},
        "status": {"type": "str", "default": ""},
        "checks": {"type": "dict", "default": {}},
        "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
        "logs": {"type": "str", "choices": ["all", "failed", "none"], "default": "failed"},
        "log_lines": {"type": "int", "default": 30},
        "root": {"type": "path", "default": "/opt"},
        "facts_path": {"type": "path"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = _diagnostics.diagnose(module.params, module.check_mode)
    except ProductionError as error:
        module.fail_json(**error.as_result())
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
