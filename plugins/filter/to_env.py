# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter `to_env`."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError

from ansible_collections.tria.production.plugins.module_utils._env import writer


def to_env(variables: t.Any) -> str:
    """A dict as the text of an env file; its documentation is in `to_env.yml`."""
    if not isinstance(variables, Mapping):
        raise AnsibleFilterError("to_env: a dictionary of variables is needed")
    try:
        # ansible-core before 2.19 hands vaulted values over as objects of their own
        return writer.dump(
            {name: str(value) if hasattr(value, "vault") else value for name, value in variables.items()}
        )
    except writer.WriteError as exc:
        raise AnsibleFilterError(f"to_env: {exc}") from None


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"to_env": to_env}
