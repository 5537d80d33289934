#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images from one host to another through the controller, only the layers that are missing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_archive
short_description: Ship images between hosts, only the layers that are missing
version_added: 0.1.0
description:
  - Brings images that one host built to another, without a registry. The host that wants them says what it lacks and
    what it has (V(wanted)), the other one packs that (V(saved)), the first one takes it in (V(loaded)).
  - Layers that the other host has are left out, unless its Engine keeps images in containerd, which reads every layer.
author:
  - tria.production contributors (@tria-production)
options:
  state:
    description:
      - V(wanted) only tells what this host lacks of O(images), and what it has.
      - V(saved) packs O(images) of this host without O(layers) into O(path) on the controller.
      - V(loaded) takes in O(path) of the controller and removes it there.
    type: str
    choices: [wanted, saved, loaded]
    required: true
  images:
    description: Names of the images, with their tags.
    type: list
    elements: str
    required: true
  layers:
    description: Layers to leave out, from RV(layers).
    type: list
    elements: str
    default: []
  architecture:
    description: Architecture of the host that wants the images, from RV(architecture). Needed for V(saved).
    type: str
  path:
    description: The archive on the controller (0600). Needed for V(saved) and V(loaded).
    type: path
requirements:
  - docker (Python library) >= 5.0
attributes:
  action:
    description: The archive travels between host and controller.
    support: full
  check_mode:
    description: Nothing is packed or taken in.
    support: full
  diff_mode:
    description: Images have no textual form.
    support: none
"""

EXAMPLES = r"""
- name: Ask what this host lacks
  tria.production.image_archive:
    state: wanted
    images: [tria/backend:5891b5b522d5]
  register: wanted

- name: Pack it on the host that built it
  tria.production.image_archive:
    state: saved
    images: "{{ wanted.images }}"
    layers: "{{ wanted.layers }}"
    architecture: "{{ wanted.architecture }}"
    path: "~/.cache/tria.production/images-{{ inventory_hostname }}.tar.gz"
  delegate_to: app1.example.org
  when: wanted.images | length > 0

- name: Take it in
  tria.production.image_archive:
    state: loaded
    images: "{{ wanted.images }}"
    path: "~/.cache/tria.production/images-{{ inventory_hostname }}.tar.gz"
  when: wanted.images | length > 0
"""

RETURN = r"""
images:
  description: Those of O(images) that this host lacks.
  type: list
  elements: str
  returned: when O(state=wanted)
layers:
  description: Chain IDs of the layers that this host has; empty when it lacks none of O(images), or needs every layer.
  type: list
  elements: str
  returned: when O(state=wanted)
architecture:
  description: Architecture of this host's Engine.
  type: str
  returned: when O(state=wanted)
  sample: amd64
size:
  description: Size of the archive in bytes.
  type: int
  returned: when O(state=saved)
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _lock, _shipping
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def wanted(module: AnsibleModule) -> dict[str, t.Any]:
    return {"changed": False, **_shipping.wanted(module.params["images"])}


def saved(module: AnsibleModule) -> dict[str, t.Any]:
    if module.check_mode:
        return {"changed": True, "size": 0}
    names = ("images", "layers", "architecture", "path")
    return _shipping.save(**{name: module.params[name] for name in names})


def loaded(module: AnsibleModule) -> dict[str, t.Any]:
    return {"changed": True} if module.check_mode else _shipping.load(module.params["images"], module.params["path"])


STATES = {"wanted": wanted, "saved": saved, "loaded": loaded}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "images": {"type": "list", "elements": "str", "required": True},
            "layers": {"type": "list", "elements": "str", "default": []},
            "architecture": {"type": "str"},
            "path": {"type": "path"},
        },
        required_if=[("state", "saved", ("architecture", "path")), ("state", "loaded", ("path",))],
        supports_check_mode=True,
    )
    try:
        with _lock.beating():
            result = STATES[module.params["state"]](module)
        module.exit_json(**result)
    except (ProductionError, MissingLibrary) as exc:
        module.fail_json(**exc.as_result())
    except OSError as exc:
        remedy = "Both hosts need room for the images, below /var/tmp and in Ansible's folder for temporary files."
        module.fail_json(**ProductionError.from_os(exc, remedy).as_result())


if __name__ == "__main__":
    main()
