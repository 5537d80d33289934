#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Docker image without a registry: the distribution's minimal root file system, imported."""

from __future__ import annotations

DOCUMENTATION = r"""
module: debian_image
short_description: Docker image of the distribution's minimal root file system, without a registry
version_added: 0.1.0
description:
  - Builds a minimal Debian or Ubuntu with C(mmdebstrap) from the archives this host itself uses, and imports it.
  - Does nothing when the image is there.
author:
  - tria.production contributors (@tria-production)
options:
  name:
    description: Name and tag of the image.
    type: str
    required: true
  suite:
    description: Code name of the release, one that this host's apt sources name.
    type: str
    required: true
requirements:
  - mmdebstrap
  - docker (Python library) >= 5.0
attributes:
  check_mode:
    description: Tells whether the image would be built.
    support: full
  diff_mode:
    description: An image has no textual form.
    support: none
"""

EXAMPLES = r"""
- name: Build the image that all others start from
  tria.production.debian_image:
    name: tria-base/debian:bookworm
    suite: bookworm
"""

RETURN = r"""
image:
  description: ID of the image, empty when check mode would build it.
  type: str
  returned: always
  sample: sha256:7d991b0efd2a58e37aa3e9a9403f3cbafd2e9d02080d118bee62d3fef7de426e
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._rootfs import ensure_image


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "suite": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        with _lock.beating():
            result = ensure_image(**module.params, write=not module.check_mode)
    except (ProductionError, MissingLibrary) as exc:
        module.fail_json(**exc.as_result())
    except OSError as exc:
        module.fail_json(**ProductionError.from_os(exc, "The image needs some 300 MB below /var/tmp and in the Engine.").as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
