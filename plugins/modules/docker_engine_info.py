#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of a host's Docker Engine, in one read-only call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_info
short_description: State of a host's Docker Engine, installed or not
version_added: 0.1.0
description:
  - Tells in one call what the role P(tria.production.docker_engine#role) decides by. Needs no library on the target.
author:
  - tria.production contributors (@tria-production)
options:
  config_file:
    description: The daemon's configuration file.
    type: path
    default: /etc/docker/daemon.json
  libraries:
    description: Python modules to look for, in the interpreter that runs this module.
    type: list
    elements: str
    default: []
  timeout:
    description: How many seconds to wait for an Engine that does not answer yet.
    type: float
    default: 0
attributes:
  check_mode:
    description: Reads only, so that it is the same in check mode.
    support: full
  diff_mode:
    description: Nothing is changed.
    support: none
"""

EXAMPLES = r"""
- name: Look at the Engine
  tria.production.docker_engine_info:
    libraries: [docker, psycopg2]
  register: engine

- name: Wait until a daemon that was just started answers
  tria.production.docker_engine_info:
    timeout: 30
"""

RETURN = r"""
installed:
  description: Whether a C(dockerd) is on the path.
  type: bool
  returned: always
engine:
  description: Version of the Engine that answers, empty if none does.
  type: str
  returned: always
  sample: 26.1.5
compose:
  description: Version of the Compose plugin, empty if there is none.
  type: str
  returned: always
  sample: 2.26.1
daemon_config:
  description: What the configuration file holds, parsed.
  type: dict
  returned: always
  sample: {live-restore: true}
missing_libraries:
  description: Those of O(libraries) that cannot be imported.
  type: list
  elements: str
  returned: always
stale_pid_files:
  description: Left by a daemon that no longer runs; they would keep a new one from starting.
  type: list
  elements: str
  returned: always
cgroup_version:
  description: Version of the control groups that the Engine finds.
  type: int
  returned: always
  sample: 2
apt_sources:
  description: Suites that this host gets its distribution from, the release itself first.
  type: list
  elements: dict
  returned: always
  contains:
    uri:
      description: Address of the archive.
      type: str
    suite:
      description: Suite of the archive.
      type: str
      sample: bookworm-updates
    components:
      description: Components in use.
      type: list
      elements: str
    signed_by:
      description: Key ring, empty if the sources name none.
      type: str
    line:
      description: The source in apt's one-line form.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils._engine import engine_info
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "config_file": {"type": "path", "default": "/etc/docker/daemon.json"},
            "libraries": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **engine_info(**module.params))
    except ProductionError as exc:
        module.fail_json(**exc.as_result())


if __name__ == "__main__":
    main()
