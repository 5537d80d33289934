#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packs a folder of the controller, and says by hashes whether anything in it changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: source_archive
short_description: Pack a project's folder with its Python wheels, reproducibly
version_added: 0.1.0
description:
  - Packs a folder into one archive in a cache. The same content gives the same archive, whatever its times and owners.
  - Runs on the controller, in the task's own process, whatever host the task is for. The archive then goes to the hosts in one task, and its hashes tell which
    images have to be built again.
author:
  - tria.production contributors (@tria-production)
options:
  src:
    description: The folder to pack.
    type: path
    required: true
  cache:
    description: Folder that keeps archives and wheels. The last three archives of a folder are kept.
    type: path
    default: ~/.cache/tria.production
  contexts:
    description:
      - Folders inside O(src) whose own hashes are wanted, usually the build contexts of the Compose file. What a
        context's C(.dockerignore) leaves out does not count.
    type: list
    elements: str
    default: []
  exclude:
    description: Names (shell patterns) of files and folders to leave out, at any depth.
    type: list
    elements: str
    default: [.git, .venv, __pycache__, "*.pyc", .pytest_cache, .env, .secrets, reports, wheels]
  wheels:
    description: Requirements files whose wheels go into the archive, so that no image build needs a network.
    type: list
    elements: dict
    default: []
    suboptions:
      requirements:
        description: Path of the requirements file inside O(src).
        type: str
        required: true
      dest:
        description: Folder inside the archive that receives the wheels.
        type: str
        required: true
      python_version:
        description: Python of the image that installs them.
        type: str
        required: true
      architecture:
        description: Machine of the image that installs them.
        type: str
        default: x86_64
attributes:
  check_mode:
    description: Computes the hashes; wheels that are missing are fetched, because the hashes depend on them.
    support: full
  diff_mode:
    description: The hashes say what changed.
    support: none
"""

EXAMPLES = r"""
- name: Pack the project
  tria.production.source_archive:
    src: "{{ playbook_dir }}/tria"
    contexts: [backend, edge]
    wheels:
      - {requirements: backend/requirements.txt, dest: backend/wheels, python_version: "3.11"}
  delegate_to: localhost
  register: source
"""

RETURN = r"""
archive:
  description: Path of the archive.
  type: str
  returned: always
sha256:
  description: Hash of the whole tree.
  type: str
  returned: always
contexts:
  description: Hash of each of O(contexts), by its normalised path.
  type: dict
  returned: always
  sample: {backend: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03}
files:
  description: Hash of each file that is in none of O(contexts), or left out of it.
  type: dict
  returned: always
  sample: {backend/Dockerfile: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._source import pack

EXCLUDE = [".git", ".venv", "__pycache__", "*.pyc", ".pytest_cache", ".env", ".secrets", "reports", "wheels"]


def argument_spec() -> dict:
    """The options of `DOCUMENTATION`."""
    wheels = {
        "requirements": {"type": "str", "required": True},
        "dest": {"type": "str", "required": True},
        "python_version": {"type": "str", "required": True},
        "architecture": {"type": "str", "default": "x86_64"},
    }
    return {
        "src": {"type": "path", "required": True},
        "cache": {"type": "path", "default": "~/.cache/tria.production"},
        "contexts": {"type": "list", "elements": "str", "default": []},
        "exclude": {"type": "list", "elements": "str", "default": EXCLUDE},
        "wheels": {"type": "list", "elements": "dict", "default": [], "options": wheels},
    }


def packed(options: dict, check_mode: bool) -> dict:
    """The module's result; raises `ProductionError`."""
    try:
        return pack(**options, write=not check_mode)
    except OSError as exc:
        raise ProductionError.from_os(exc, "Every file must be readable, and the cache have room.") from exc


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        module.exit_json(**packed(module.params, module.check_mode))
    except ProductionError as exc:
        module.fail_json(**exc.as_result())


if __name__ == "__main__":
    main()
