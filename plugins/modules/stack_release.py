#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases of a stack on a host: immutable folders, and a link that is switched by rename."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_release
short_description: Plan, stage, commit and discard releases of a Compose stack
version_added: 0.1.0
description:
  - A release is a folder below C(releases) in O(root) that holds a project's files, its env file (0600), the images it
    runs and its record. Its ID carries a hash of all of that, so that "is there anything to do?" is a comparison.
author:
  - tria.production contributors (@tria-production)
options:
  state:
    description:
      - V(planned) only tells what a deploy would do.
      - V(staged) writes the folder of O(release), whole or not at all.
      - V(current) records that O(release) passed every gate and switches C(current) to it.
      - V(failed) records that O(release) did not pass.
    type: str
    choices: [planned, staged, current, failed]
    required: true
  root:
    description: The stack's folder on the host.
    type: path
    required: true
  project:
    description: Compose project name. Needed to plan and to stage.
    type: str
  compose:
    description: The parsed Compose file, not interpolated. Needed to plan and to stage.
    type: dict
  compose_files:
    description: Paths of the Compose files inside the project, in order.
    type: list
    elements: str
    default: [compose.yaml]
  profiles:
    description: Compose profiles that are on.
    type: list
    elements: str
    default: []
  source_sha256:
    description: Hash of the project's files, from M(tria.production.source_archive). Needed to plan and to stage.
    type: str
  contexts:
    description: Hashes of the build contexts, from M(tria.production.source_archive).
    type: dict
    default: {}
  base_images:
    description: Images that stand in for a registry's, by service; see P(tria.production.stack#role).
    type: dict
    default: {}
  env_content:
    description: Text of the env file. Needed to plan and to stage.
    type: str
  offline:
    description: Whether Compose must never pull an image of this release.
    type: bool
    default: false
  archive:
    description: Archive with the project's files, on the host. Needed to stage; removed once its files are in the release.
    type: path
  release:
    description: ID of the release. Needed for every state but V(planned).
    type: str
  keep:
    description: How many releases to keep. The current one and the one before it always stay.
    type: int
    default: 5
  failure:
    description: Why the release failed.
    type: str
    default: ""
requirements:
  - docker (Python library) >= 5.0
attributes:
  check_mode:
    description: Planning is the same; the other states tell what they would change.
    support: full
  diff_mode:
    description: Planning shows the images before and after.
    support: full
"""

EXAMPLES = r"""
- name: Ask what a deploy would do
  tria.production.stack_release:
    state: planned
    root: /opt/tria
    project: tria
    compose: "{{ lookup('ansible.builtin.file', 'compose.yaml') | from_yaml }}"
    source_sha256: "{{ source.sha256 }}"
    contexts: "{{ source.contexts }}"
    env_content: "{{ environment_content }}"
  register: plan

- name: Switch to the release that passed
  tria.production.stack_release:
    state: current
    root: /opt/tria
    release: "{{ plan.release }}"
"""

RETURN = r"""
action:
  description:
    - V(none) when the release is current and runs, V(start) when it is current but not all of it runs, else V(deploy).
  type: str
  returned: when O(state=planned)
  sample: deploy
reasons:
  description: Why there is something to do.
  type: list
  elements: str
  returned: when O(state=planned)
  sample: ["changed: image of backend"]
release:
  description: ID of the release that is wanted.
  type: str
  returned: when O(state=planned)
  sample: 20260101T120000Z-5891b5b522d5
path:
  description: Folder of that release.
  type: str
  returned: when O(state=planned)
current:
  description: ID of the release that is current, empty before the first deploy.
  type: str
  returned: when O(state=planned)
current_path:
  description: Folder of the current release, empty before the first deploy.
  type: str
  returned: when O(state=planned)
current_record:
  description: Record of the current release, empty before the first deploy.
  type: dict
  returned: when O(state=planned)
images:
  description: Image of every service.
  type: dict
  returned: when O(state=planned)
  sample: {backend: "tria/backend:5891b5b522d5"}
build:
  description: Images that do not exist yet, with what to build them from.
  type: list
  elements: dict
  returned: when O(state=planned)
targets:
  description: A C(container) target for every service, for M(tria.production.readiness_wait).
  type: list
  elements: dict
  returned: when O(state=planned)
removed:
  description: Releases that retention removed.
  type: list
  elements: str
  returned: when O(state=current)
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._release import Desired, Releases

DESIRED = ("project", "compose", "source_sha256", "env_content")


def planned(module: AnsibleModule, releases: Releases) -> dict[str, t.Any]:
    try:
        engine = _docker.connect()
    except (ProductionError, MissingLibrary):
        engine = None  # a host that is not provisioned yet: everything is to be done
    plan = releases.plan(desired(module), engine)
    before = plan["current_record"].get("images", {})
    return {"changed": False, **plan, "diff": {"before": _lines(before), "after": _lines(plan["images"])}}


def staged(module: AnsibleModule, releases: Releases) -> dict[str, t.Any]:
    missing = not releases.is_staged(module.params["release"])
    if missing and not module.check_mode:
        releases.stage(module.params["release"], desired(module), module.params["archive"], module.params["offline"])
    return {"changed": missing}


def current(module: AnsibleModule, releases: Releases) -> dict[str, t.Any]:
    if releases.current() == module.params["release"]:
        return {"changed": False, "removed": []}
    if module.check_mode:
        return {"changed": True, "removed": []}
    engine = _docker.connect()
    return {"changed": True, "removed": releases.make_current(module.params["release"], engine, module.params["keep"])}


def failed(module: AnsibleModule, releases: Releases) -> dict[str, t.Any]:
    if not module.check_mode:
        releases.mark_failed(module.params["release"], module.params["failure"])
    return {"changed": True}


def desired(module: AnsibleModule) -> Desired:
    names = ("project", "compose", "compose_files", "profiles", "source_sha256", "contexts", "base_images", "env_content")
    return Desired(**{name: module.params[name] for name in names})


def _lines(images: dict[str, str]) -> str:
    return "".join(f"{name}: {image}\n" for name, image in sorted(images.items()))


STATES = {"planned": planned, "staged": staged, "current": current, "failed": failed}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "root": {"type": "path", "required": True},
            "project": {"type": "str"},
            "compose": {"type": "dict"},
            "compose_files": {"type": "list", "elements": "str", "default": ["compose.yaml"]},
            "profiles": {"type": "list", "elements": "str", "default": []},
            "source_sha256": {"type": "str"},
            "contexts": {"type": "dict", "default": {}},
            "base_images": {"type": "dict", "default": {}},
            "env_content": {"type": "str", "no_log": True},
            "offline": {"type": "bool", "default": False},
            "archive": {"type": "path"},
            "release": {"type": "str"},
            "keep": {"type": "int", "default": 5},
            "failure": {"type": "str", "default": ""},
        },
        required_if=[
            ("state", "planned", DESIRED),
            ("state", "staged", (*DESIRED, "archive", "release")),
            ("state", "current", ("release",)),
            ("state", "failed", ("release",)),
        ],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**STATES[module.params["state"]](module, Releases(module.params["root"])))
    except (ProductionError, MissingLibrary) as exc:
        module.fail_json(**exc.as_result())
    except OSError as exc:
        module.fail_json(**ProductionError.from_os(exc, "The releases before it are untouched.").as_result())


if __name__ == "__main__":
    main()
