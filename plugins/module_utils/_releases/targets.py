# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The targets of a Compose file, held against what a playbook's targets may say. Private to the collection."""

from __future__ import annotations

import copy
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.tria.production.plugins.module_utils import _probes
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def check(services: dict[str, dict[str, t.Any]]) -> None:
    """Raises `ProductionError` for the first target of any service's `smoke` and `verify` that could not be asked.

    A typing error is to show before anything is touched, not once the new containers are up.
    """
    for name, service in services.items():
        for key in ("smoke", "verify"):
            targets = (service["rollout"] or {}).get(key)
            if targets:
                result = ArgumentSpecValidator(_probes.argument_spec()).validate({"targets": copy.deepcopy(targets)})
                if result.error_messages:
                    cause = f"x-rollout.{key}: {'; '.join(result.error_messages)}."
                    raise ProductionError(name, cause, "Correct the Compose file.")
                _parse(name, key, result.validated_parameters["targets"])


def _parse(service: str, key: str, targets: list[dict[str, t.Any]]) -> None:
    try:
        _probes.parse(targets)
    except ProductionError as exc:
        raise ProductionError(service, f"x-rollout.{key}: {exc.culprit} {exc.cause}", exc.remedy) from exc
