#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release's images of registries: which digest each name has now, and pulling what is missing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_images
short_description: Resolve the images of a Compose stack to digests, and pull them
version_added: 0.1.0
description:
  - A release names its images by digest, so that a tag that was moved makes a new release and changes none that runs.
  - The host's Engine asks the registries, with its own settings for TLS. A login goes with each request; nothing of it
    is stored. For a registry without one here, what was logged in to on the host by hand counts.
author:
  - tria.production contributors (@tria-production)
options:
  state:
    description:
      - V(resolved) only tells which digest each image has now.
      - V(present) pulls those of O(images) that this host lacks, several at a time.
    type: str
    choices: [resolved, present]
    required: true
  root:
    description:
      - The stack's folder on the host. When a registry cannot be reached, the digests of the current release there count,
        as long as the host has those images. Needed to resolve.
    type: path
  project:
    description: Compose project name. Needed to resolve.
    type: str
  compose:
    description: The parsed Compose files, not interpolated, in order. Needed to resolve.
    type: list
    elements: dict
  profiles:
    description: Compose profiles that are on.
    type: list
    elements: str
    default: []
  base_images:
    description: Images that stand in for a registry's, by service; see P(tria.production.stack#role).
    type: dict
    default: {}
  env_content:
    description: Text of the env file. Needed to resolve.
    type: str
  images:
    description: Images that the host must have. Needed for V(present).
    type: list
    elements: str
  registries:
    description: Logins.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: Host and port of the registry, with or without C(https://); C(docker.io) is Docker Hub.
        type: str
        required: true
      username:
        description: Who to be there.
        type: str
        required: true
      password:
        description: Password or token.
        type: str
        required: true
  timeout:
    description: Seconds that a registry may take to answer, or an image to be pulled.
    type: float
    default: 600
requirements:
  - docker (Python library) >= 5.0
attributes:
  check_mode:
    description: Tells what would be pulled. Where no Engine answers yet, nothing is resolved, with a warning.
    support: full
  diff_mode:
    description: Images have no textual form.
    support: none
"""

EXAMPLES = r"""
- name: Ask which digest each image has now
  tria.production.stack_images:
    state: resolved
    root: /opt/tria
    project: tria
    compose: ["{{ lookup('ansible.builtin.file', 'compose.yaml') | from_yaml }}"]
    env_content: "{{ environment_content }}"
    registries:
      - {url: registry.example.org, username: deployer, password: "{{ vault_registry_password }}"}
  register: resolved

- name: Pull what is missing
  tria.production.stack_images:
    state: present
    images: "{{ resolved.digests.values() | list }}"
"""

RETURN = r"""
digests:
  description: What each image of a registry is now, by the name that the project gives it.
  type: dict
  returned: when O(state=resolved)
  sample: {"redis:7": "redis:7@sha256:3f5e4ff1b4d60e9aef24a9a69d29a4f03d83ea7334cd60367fb8c1c2750ce160"}
kept:
  description: Images that stay those of the current release because their registry cannot be reached, with the reason.
  type: dict
  returned: when O(state=resolved)
pulled:
  description: Images that were missing.
  type: list
  elements: str
  returned: when O(state=present)
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _compose, _docker, _lock, _registry
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases.store import Releases


def resolved(module: AnsibleModule) -> dict[str, t.Any]:
    given = module.params
    compose = _compose.interpolated(_compose.merged(given["compose"]), given["project"], given["env_content"])
    references = _compose.registry_references(compose, given["profiles"], given["base_images"])
    if module.check_mode:
        try:
            _docker.connect().close()
        except (ProductionError, MissingLibrary) as exc:  # a host that is not provisioned yet
            module.warn(f"The images' digests are not known: {exc}")
            return {"changed": False, "digests": {}, "kept": {}}
    found = _registry.resolve(references, given["registries"], Releases(given["root"]).digests(), given["timeout"])
    for reference, cause in found["kept"].items():
        module.warn(f"{reference} stays what it is in the current release: {cause}")
    return {"changed": False, **found}


def present(module: AnsibleModule) -> dict[str, t.Any]:
    given = module.params
    return _registry.ensure(given["images"], given["registries"], given["timeout"], write=not module.check_mode)


STATES = {"resolved": resolved, "present": present}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "root": {"type": "path"},
            "project": {"type": "str"},
            "compose": {"type": "list", "elements": "dict"},
            "profiles": {"type": "list", "elements": "str", "default": []},
            "base_images": {"type": "dict", "default": {}},
            "env_content": {"type": "str", "no_log": True},
            "images": {"type": "list", "elements": "str"},
            "registries": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "url": {"type": "str", "required": True},
                    "username": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                },
            },
            "timeout": {"type": "float", "default": 600},
        },
        required_if=[
            ("state", "resolved", ("root", "project", "compose", "env_content")),
            ("state", "present", ("images",)),
        ],
        supports_check_mode=True,
    )
    try:
        with _lock.beating():
            result = STATES[module.params["state"]](module)
        module.exit_json(**result)
    except (ProductionError, MissingLibrary) as exc:
        module.fail_json(**exc.as_result())


if __name__ == "__main__":
    main()
