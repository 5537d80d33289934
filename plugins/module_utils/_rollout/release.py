# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release as a rollout reads it: its services, in the order of their rollout. Private to the collection."""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _compose
from ansible_collections.tria.production.plugins.module_utils._compose_cli import Compose
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import services as _services
from ansible_collections.tria.production.plugins.module_utils._releases.store import RENDERED, Releases

_OF_A_RECORD = (
    "one_shot", "replicas", "critical", "generation", "parallelism", "delay", "monitor", "max_failure_ratio",
    "stop_grace_period", "depends_on", "migrations",
)


@dataclasses.dataclass(frozen=True)
class Edge:
    """How the edge of a service is told where its requests go: by a file, or without `content` by a link."""

    service: str
    path: str
    content: str = ""
    test: t.Sequence[str] = ()
    reload: t.Sequence[str] = ()
    confirm: t.Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Service:
    """One service of a release; times in seconds, `parallelism` 0 for all. `generation` is empty for one in place."""

    name: str
    image: str
    definition: str
    one_shot: bool = False
    replicas: int = 1
    critical: bool = True
    generation: str = ""
    parallelism: int = 0
    delay: float = 0.0
    monitor: float = 0.0
    max_failure_ratio: float = 0.0
    stop_grace_period: float = 10.0
    depends_on: t.Sequence[str] = ()
    edge: t.Optional[Edge] = None
    smoke: t.Sequence[t.Dict[str, t.Any]] = ()
    verify: t.Sequence[t.Dict[str, t.Any]] = ()
    max_p95_ms: t.Optional[float] = None
    drain: float = 10.0
    long_drain: float = 0.0
    migrations: t.Optional[t.Dict[str, t.Any]] = None

    @property
    def beside(self) -> bool:
        """Whether its new containers start beside the old ones."""
        return bool(self.generation)

    @property
    def upstream(self) -> str:
        """The network alias of this generation."""
        return f"{self.name}-{self.generation}"


class Release:
    """A release's record, folder and Compose command. Raises `ProductionError` when one of its files cannot be read.

    `legacy` is one that was staged before releases knew generations: every service of it is updated in place.
    """

    def __init__(self, root: str, release: str) -> None:
        releases = Releases(root)
        self.id = release
        self.folder = releases.path(release)
        self.record = releases.record(release)
        self.project: str = self.record["project"]
        self.compose = Compose(self.folder, self.record)
        self.legacy = not os.path.exists(os.path.join(self.folder, RENDERED))
        self.services = self._from_compose() if self.legacy else self._from_record()

    def ordered(self) -> list[Service]:
        """Every service after those that it needs; if that allows, first what needs no rollout, last what does."""
        needs = {name: self._needs(name) for name in self.services}
        left, found = set(needs), []
        while left:
            free = [name for name in left if not needs[name] & left - {name}] or list(left)  # a circle is cut somewhere
            name = min(free, key=lambda one: (self._rank(needs, one), one))
            found.append(self.services[name])
            left.discard(name)
        return found

    def _needs(self, name: str) -> set[str]:
        """An edge needs what is behind it: its file must be there before it starts."""
        behind = {one.name for one in self.services.values() if one.edge and one.edge.service == name}
        return (set(self.services[name].depends_on) | behind) & set(self.services)

    def _rank(self, needs: dict[str, set[str]], name: str) -> int:
        if self.services[name].beside:
            return 1
        reached, todo = set(), [name]
        while todo:
            new = needs[todo.pop()] - reached
            reached |= new
            todo += new
        return 2 if any(self.services[one].beside for one in reached) else 0

    def _from_record(self) -> dict[str, Service]:
        rendered = _read(os.path.join(self.folder, RENDERED))["services"]
        return {name: self._service(name, said, rendered[name]) for name, said in self.record["services"].items()}

    def _service(self, name: str, said: dict[str, t.Any], rendered: dict[str, t.Any]) -> Service:
        rollout = dict(said["rollout"] or {})
        edge = rollout.pop("edge", None)
        own = {key: value for key, value in said.items() if key in _OF_A_RECORD}
        return Service(
            name, self.record["images"][name], _services.generation(rendered),
            edge=Edge(**{key: value for key, value in edge.items() if value is not None}) if edge else None,
            **own, **rollout,
        )

    def _from_compose(self) -> dict[str, Service]:
        project = self.compose.config()
        optional = _compose.optional_services(project)
        return {
            name: Service(
                name, self.record["images"][name], _services.generation(service), _compose.is_one_shot(project, name),
                _compose.replicas(service), name not in optional, depends_on=tuple(service.get("depends_on") or ()),
            )
            for name, service in project["services"].items()
        }


def _read(path: str) -> dict[str, t.Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            return dict(json.load(stream))
    except (OSError, ValueError, TypeError) as exc:
        raise ProductionError(path, f"cannot be read: {exc}.", "Deploy again: another release replaces it.") from exc
