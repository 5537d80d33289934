#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thin module over `module_utils/_host.py`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Check whether a host can carry a stack
version_added: 0.1.0
author: tria.production contributors (@tria-production)
description:
  - Holds a host against the requirements of a stack, and reports every shortfall at once with its remedy.
  - Reads only. It works on a bare machine, with nothing but Python's standard library.
  - Fails when a critical check fails or could not be run. A check that does not apply is C(skip) with its reason.
attributes:
  check_mode:
    description: Does the same in check mode.
    support: full
  diff_mode:
    description: Nothing is ever changed.
    support: none
options:
  distributions:
    description:
      - Supported distributions, each with its supported versions, in the words of C(ID) and C(VERSION_ID) of
        C(/etc/os-release). An empty list means every version.
    type: dict
    default:
      Debian: ["12", "13"]
      Ubuntu: ["20.04", "22.04", "24.04"]
  architectures:
    description: Supported machine architectures, in the words of C(uname -m).
    type: list
    elements: str
    default: [x86_64, aarch64]
  min_cores:
    description: Least number of CPU cores. Four are recommended.
    type: int
    default: 2
  min_memory_mb:
    description:
      - Least memory in MB (1,048,576 bytes), as the kernel counts it.
      - The default is what a machine of 4 GB has left after the kernel and the firmware took theirs. 8 GB are recommended.
    type: int
    default: 3800
  min_disk_gb:
    description: Least free disk space in GB (1,000,000,000 bytes) of each file system in O(disk_paths). 50 GB are recommended.
    type: float
    default: 20
  disk_paths:
    description:
      - Paths whose file systems need O(min_disk_gb) and O(min_inodes_percent).
      - The nearest existing parent stands for a path that does not exist yet; paths of one file system are one check.
    type: list
    elements: path
    default: [/opt, /var/lib/docker]
  min_inodes_percent:
    description: Least share of free inodes in percent. File systems without a fixed number of inodes are skipped.
    type: float
    default: 5
  ports:
    description: TCP ports that the stack will publish, which must be free.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port.
        type: int
        required: true
      host:
        description: The IP address it will be published on.
        type: str
        default: 0.0.0.0
  ports_owned_by:
    description:
      - A Compose project whose containers may already publish these ports, because this is the stack about to be deployed.
      - The Docker Engine is asked who publishes a port, when it is there and the Python library C(docker) as well.
        A port published by a container of any other project is a failure, even when no process listens on it.
    type: str
  clock_sync:
    description:
      - What it means when nothing synchronises the kernel's clock. V(required) is a failure, V(recommended) a warning,
        V(ignored) is not looked at.
    type: str
    choices: [required, recommended, ignored]
    default: recommended
  controller_time:
    description:
      - The controller's time in seconds since the epoch, to compare this host's clock with.
      - Up to 15 seconds that this host seems ahead are taken for the way from there to here.
    type: float
  max_clock_offset:
    description: Greatest difference to O(controller_time) in seconds.
    type: float
    default: 30
  resolve_names:
    description: Names that must resolve on this host. All are resolved at the same time.
    type: list
    elements: str
    default: []
  resolve_timeout:
    description: How long to wait for the resolver, in seconds, for all names together.
    type: float
    default: 5
  writable_paths:
    description:
      - Paths that must be writable for the user this module runs as. Nothing is written; permissions and mount flags are read.
      - The nearest existing parent stands for a path that does not exist yet.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Check that the host meets the minimum
  tria.production.host_check:

- name: Check everything a stack needs before anything is touched
  tria.production.host_check:
    min_disk_gb: 50
    disk_paths: [/opt/tria, /var/lib/docker]
    writable_paths: [/opt/tria, /etc/ansible/facts.d]
    ports: [{port: 8080, host: 127.0.0.1}]
    ports_owned_by: tria
    resolve_names: [api.openai.com]
    controller_time: "{{ now().timestamp() }}"
"""

RETURN = r"""
results:
  description: Every check, graded, also when the module fails.
  returned: always
  type: list
  elements: dict
  sample:
    - category: Preflight
      critical: true
      data: {recommended: 7600}
      duration_ms: 0.1
      message: 2048 MB found, 3800 MB needed
      name: Memory
      remedy: Give this machine at least 3800 MB of memory (7600 MB recommended).
      status: fail
host:
  description: What later steps need to know of the host.
  returned: always
  type: dict
  sample:
    architecture: x86_64
    codename: bookworm
    cores: 4
    distribution: Debian
    init: systemd
    kernel: 6.1.0-28-amd64
    memory_mb: 7941
    version: "12"
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _host
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def argument_spec() -> dict:
    """The options of `DOCUMENTATION`."""
    port = {"port": {"type": "int", "required": True}, "host": {"type": "str", "default": "0.0.0.0"}}
    distributions = {"Debian": ["12", "13"], "Ubuntu": ["20.04", "22.04", "24.04"]}
    return {
        "distributions": {"type": "dict", "default": distributions},
        "architectures": {"type": "list", "elements": "str", "default": ["x86_64", "aarch64"]},
        "min_cores": {"type": "int", "default": 2},
        "min_memory_mb": {"type": "int", "default": 3800},
        "min_disk_gb": {"type": "float", "default": 20},
        "disk_paths": {"type": "list", "elements": "path", "default": ["/opt", "/var/lib/docker"]},
        "min_inodes_percent": {"type": "float", "default": 5},
        "ports": {"type": "list", "elements": "dict", "default": [], "options": port},
        "ports_owned_by": {"type": "str"},
        "clock_sync": {"type": "str", "choices": ["required", "recommended", "ignored"], "default": "recommended"},
        "controller_time": {"type": "float"},
        "max_clock_offset": {"type": "float", "default": 30},
        "resolve_names": {"type": "list", "elements": "str", "default": []},
        "resolve_timeout": {"type": "float", "default": 5},
        "writable_paths": {"type": "list", "elements": "path", "default": []},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        module.exit_json(changed=False, **_host.check_host(module.params))
    except ProductionError as error:
        module.fail_json(**error.as_result())


if __name__ == "__main__":
    main()
