# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of every module that probes targets; those of a kind are described in its own file."""

from __future__ import annotations

import textwrap

from ansible_collections.tria.production.plugins.module_utils import _probes

_KINDS = textwrap.indent("".join(kind.DOCUMENTATION.lstrip("\n") for kind in _probes.KINDS.values()), " " * 6)


class ModuleDocFragment:
    """Fragment C(tria.production.targets)."""

    DOCUMENTATION = r"""
requirements:
  - dnspython, for targets of kind dns
  - psycopg2, for targets of kind postgres
  - docker (Docker SDK for Python), for targets of kind container and for those with project and service
author:
  - tria.production contributors (@tria-production)
attributes:
  check_mode:
    description: Can run in C(check_mode) and give the same answer. What would write something is left out.
    support: full
  diff_mode:
    description: Returns what changed in diff mode.
    support: N/A
    details: Nothing is ever changed.
  idempotent:
    description: Running it again changes nothing.
    support: full
options:
  secrets:
    description:
      - Values that must not show in any output, such as those that containers may write to their logs. Passwords among
        the options of targets are masked without that.
    type: list
    elements: str
    default: []
  targets:
    description:
      - What to probe. Each target has a name of its own and exactly one kind.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the target in results and messages.
        type: str
        required: true
      critical:
        description:
          - Whether the stack is C(unhealthy) without this target.
          - A failure of a target that is not critical is a C(warn), and the stack is C(degraded).
        type: bool
        default: true
      max_ms:
        description:
          - Performance budget in milliseconds. A target that is good but slower is a C(warn).
        type: float
      timeout:
        description: Seconds that one attempt may take, whatever the other side does.
        type: float
        default: 5.0
      category:
        description:
          - Category of the result in reports.
          - By default that of the kind, such as V(API) for O(targets[].http) and V(Database) for O(targets[].postgres).
        type: str
      skip:
        description:
          - The reason why the target is not looked at. Its result is then C(skip) with this text as its message.
          - It counts as good for those that depend on it, and nobody waits for it. An empty text skips nothing.
        type: str
        default: ""
      invert:
        description:
          - Good is then that the target is gone. It is, when nothing listens there, when its name does not resolve, or
            when its containers have ended or do not exist.
          - What hangs, answers badly or refuses the password is still there.
        type: bool
        default: false
      depends_on:
        description:
          - Names of targets that this one cannot be good without. When both fail, the error names the other one as the
            culprit, and this one as its victim.
        type: list
        elements: str
        default: []
"""


# The kinds are further suboptions of `targets`, which is last for that reason.
ModuleDocFragment.DOCUMENTATION += _KINDS


# Fragment C(tria.production.targets.verify): the same vocabulary as option `verify`.
_VERIFY = """\
options:
  verify:
    description:
      - What is asked through the edge in the observation window, C({edge}) being the address of one of its containers,
        and what must be good again after going back.
      - Targets that are not critical are left out of the window.
      - Each target has a name of its own and exactly one kind.
    type: list
    elements: dict
    default: []
"""
_SUBOPTIONS = ModuleDocFragment.DOCUMENTATION.partition("  targets:\n")[2].partition("    suboptions:\n")
ModuleDocFragment.VERIFY = _VERIFY + "".join(_SUBOPTIONS[1:]).replace("O(targets[]", "O(verify[]")
