# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the areas that were asked for and grades what they saw. Private to the collection."""

from __future__ import annotations

import collections
import concurrent.futures
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _result
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes._base import ProbeFailure
from ansible_collections.tria.production.plugins.module_utils._result import ERROR, FAIL, SKIP, WARN, CheckResult
from ansible_collections.tria.production.plugins.module_utils._security import compose, containers, front, host, rules
from ansible_collections.tria.production.plugins.module_utils._security.observation import (
    CATEGORY,
    Observation,
    Unseen,
    Waivers,
    grade,
    load_waivers,
)
from ansible_collections.tria.production.plugins.module_utils._security.workload import Workload

Area = t.Callable[[], t.Iterable[Observation]]


def check(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """The module's return values: `overall_status`, `results`, `violations` by severity.

    Raises `ProductionError` for wrong options, and, by `fail_on`, for a stack with violations, with the same details.
    """
    results = _Run(options, load_waivers(options["waivers"])).results()
    counted = collections.Counter(one.data["severity"] for one in results if one.status in (FAIL, WARN))
    found = {
        "overall_status": _result.overall(results),
        "violations": {severity: counted[severity] for severity in rules.SEVERITIES},
        "results": [one.as_dict() for one in results],
    }
    fail_on = options["fail_on"]
    bad = [one for one in results if one.blocks or (fail_on == "degraded" and one.degrades)]
    if bad and fail_on != "never":
        raise _refusal(bad, found)
    return found


class _Run:
    """One run; what one area learns of the project, the next one compares with."""

    def __init__(self, options: dict[str, t.Any], waivers: Waivers) -> None:
        self._options = options
        self._waivers = waivers
        self._project = options["project_name"] or ""
        self._services: dict[str, Workload] | None = None

    def results(self) -> list[CheckResult]:
        areas = {
            rules.COMPOSE: self._compose,
            rules.CONTAINERS: self._containers,
            rules.HOST: lambda: host.observe(self._options),
            rules.FRONT: self._front,
        }
        # what is known of the project serves its containers; the others have nothing to do with each other
        groups = ((rules.COMPOSE, rules.CONTAINERS), (rules.HOST,), (rules.FRONT,))
        with concurrent.futures.ThreadPoolExecutor(len(groups)) as pool:
            found = pool.map(lambda names: self._of_areas([(name, areas[name]) for name in names]), groups)
            return [one for results in found for one in results]

    def _of_areas(self, areas: list[tuple[str, Area]]) -> list[CheckResult]:
        wanted = self._options["areas"]
        return [one for name, area in areas if name in wanted for one in self._graded(name, area)]

    def _graded(self, name: str, area: Area) -> list[CheckResult]:
        """An area's results. What keeps a whole area from being looked at is its one result."""
        try:
            return grade(list(area()), name, self._waivers)
        except Unseen as exc:
            return [CheckResult(f"Security of {name}", CATEGORY, SKIP, message=str(exc), data={"area": name})]
        except ProductionError as exc:
            told, remedy = f"{exc.culprit}: {exc.cause}", exc.remedy
        except ProbeFailure as exc:
            told, remedy = str(exc), exc.remedy
        except _deps.MissingLibrary as exc:
            told, remedy = str(exc), f"Install it: apt-get install {exc.package}"
        return [CheckResult(f"Security of {name}", CATEGORY, ERROR, message=told, remedy=remedy, data={"area": name})]

    def _compose(self) -> t.Iterable[Observation]:
        definition = compose.load(self._options, self._options["timeout"])
        if definition is None:
            raise Unseen("no Compose configuration is given (project_src or config_path)")
        services = compose.workloads(definition.resolved, self._image_configs(definition.resolved))
        self._services = {one.service: one for one in services}
        self._project = self._project or definition.resolved.get("name") or ""
        return compose.observe(definition, services, self._options["public_ports"])

    def _image_configs(self, resolved: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
        """What the images say themselves. Without an Engine that tells, the rules that need it say so."""
        if rules.CONTAINERS not in self._options["areas"]:
            return {}
        references = [str(one.get("image")) for one in resolved["services"].values() if one.get("image")]
        try:
            with containers.Engine(self._options["timeout"]) as engine:
                return engine.image_configs(references)
        except (ProductionError, _deps.MissingLibrary):
            return {}  # area containers reports it

    def _containers(self) -> t.Iterable[Observation]:
        if not self._project:
            raise Unseen("no project is given (project_name)")
        with containers.Engine(self._options["timeout"]) as engine:
            found = engine.containers(self._project)
            image_ids = engine.image_ids(one["Config"]["Image"] for one in found)
        if not found:
            raise Unseen(f"project {self._project} has no containers on this host")
        options = self._options
        return containers.observe(found, image_ids, self._services, options["public_ports"], options["max_restarts"])

    def _front(self) -> t.Iterable[Observation]:
        if not self._options["url"]:
            raise Unseen("no url is given")
        return front.observe(self._options)


def _refusal(bad: list[CheckResult], found: dict[str, t.Any]) -> ProductionError:
    told = "; ".join(f"{one.name}: {one.message}" for one in bad)
    remedies = " ".join(dict.fromkeys(f"{one.data.get('rule') or one.name}: {one.remedy}" for one in bad if one.remedy))
    return ProductionError("Security", f"{len(bad)} checks are not good. {told}.", remedies, **found)
