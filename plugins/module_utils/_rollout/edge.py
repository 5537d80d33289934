# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge of a service: the file or link that says where its requests go, and the edge's word on it. Private.

It lies in `<root>/edge/<edge service>/`, which the edge's containers see read-only. A link leads to an empty folder
beside it that is called as the generation is: an edge that resolves it for each request needs no reload.
"""

from __future__ import annotations

import glob
import os
import posixpath
import shutil
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases.staging import EDGE
from ansible_collections.tria.production.plugins.module_utils._rollout import containers as _containers
from ansible_collections.tria.production.plugins.module_utils._rollout.containers import Container, Containers
from ansible_collections.tria.production.plugins.module_utils._rollout.release import Service

_UPSTREAM = "{upstream}"
_CONFIRM_SECONDS = 30.0  # in which a reload must be in force
_SHOWN = 1000  # characters of what a command of the edge said


class EdgeOf:
    """What leads requests to one service, which has an edge."""

    def __init__(self, root: str, service: Service, engine: Containers) -> None:
        self.service = service
        self._edge = service.edge
        self._engine = engine
        self._folder = folder(root, service.edge.service)
        self.path = os.path.join(self._folder, posixpath.basename(service.edge.path))
        content = service.edge.content.replace(_UPSTREAM, service.upstream).rstrip("\n") + "\n"
        self._wanted = _Said(service.upstream, "") if not service.edge.content else _Said("", content)

    def written(self) -> bool:
        """Whether what the edge sees names this generation."""
        return self._read() == self._wanted

    def write(self) -> None:
        """For an edge that is started, or started anew, afterwards."""
        os.makedirs(self._folder, mode=0o755, exist_ok=True)
        if not self.written():
            self._put(self._wanted)

    def reachable(self) -> bool:
        """Whether there are containers of the edge, all of which see the file: then a reload is enough to switch."""
        found = self._running()
        return bool(found) and all(self._sees(one) for one in found)

    def in_force(self) -> bool:
        """Whether requests go to this generation, as far as that is known: by the edge's word, or else by its file."""
        if not self.written() or not self.reachable():
            return False
        return all(self._confirmed(one)[0] for one in self._running()) if self._edge.confirm else True

    def switch(self) -> None:
        """Puts file or link in place, has it tested and loaded; returns once every container of the edge confirms it.

        What does not pass the test is put back at once. Raises `ProductionError`.
        """
        before = self._read()
        self.write()
        found = self._running()
        try:
            for one in found if self._edge.test else ():
                self._demand(one, self._edge.test, "test")
        except ProductionError:
            self._put(before)
            raise
        for one in found if self._edge.reload else ():
            self._demand(one, self._edge.reload, "reload")
        self.await_confirmation()

    def await_confirmation(self) -> None:
        deadline = time.monotonic() + _CONFIRM_SECONDS
        for one in self._running() if self._edge.confirm else ():
            good, said = self._confirmed(one)
            while not good:
                if time.monotonic() > deadline:
                    raise ProductionError(
                        self._edge.service,
                        f"{_containers.name_of(one)} does not confirm within {_CONFIRM_SECONDS:.0f} s that requests "
                        f"for {self.service.name} go to {self.service.upstream}; "
                        f"`{' '.join(self._edge.confirm)}` says: {said}",
                        "Its output must name the upstream (x-rollout.edge.confirm). Does reload take effect?",
                    )
                time.sleep(0.1)
                good, said = self._confirmed(one)

    def address(self) -> str:
        """Of a running container of the edge; raises `ProductionError` when there is none."""
        found = self._running()
        if not found:
            raise ProductionError(self._edge.service, "no container of the edge runs.", "Read its log.")
        return _containers.address(found[0])

    def _running(self) -> list[Container]:
        return [one for one in self._engine.look(self._edge.service) if _containers.running(one)]

    def _sees(self, container: Container) -> bool:
        source, destination = os.path.realpath(self._folder), posixpath.dirname(self._edge.path)
        mounts = [one for one in container["Mounts"] if posixpath.normpath(one["Destination"]) == destination]
        return any(os.path.realpath(one["Source"]) == source for one in mounts)

    def _confirmed(self, container: Container) -> tuple[bool, str]:
        status, said = self._engine.execute(container, self._edge.confirm)
        return status == 0 and self.service.upstream in said, said[-_SHOWN:].strip()

    def _demand(self, container: Container, argv: t.Sequence[str], what: str) -> None:
        status, said = self._engine.execute(container, argv)
        if status != 0:
            raise ProductionError(
                self._edge.service,
                f"`{' '.join(argv)}` (x-rollout.edge.{what} of {self.service.name}) ended with {status} in "
                f"{_containers.name_of(container)}: {said[-_SHOWN:].strip()}",
                "Correct x-rollout.edge, or the edge's own configuration.",
            )

    def _read(self) -> _Said | None:
        try:
            if os.path.islink(self.path):
                target = os.readlink(self.path)
                return _Said(target, "") if os.path.isdir(os.path.join(self._folder, target)) else None
            with open(self.path, encoding="utf-8") as stream:
                return _Said("", stream.read())
        except FileNotFoundError:
            return None

    def _put(self, said: _Said | None) -> None:
        if said is None:
            os.unlink(self.path)
        elif said.target:
            os.makedirs(os.path.join(self._folder, said.target), mode=0o755, exist_ok=True)
            _atomic.switch_link(self.path, said.target)
        else:
            _atomic.write_file(self.path, said.content, 0o644)


class _Said(t.NamedTuple):
    """What the edge is told, by a link's `target` or by a file's `content`."""

    target: str
    content: str


def folder(root: str, edge: str) -> str:
    return os.path.join(root, EDGE, edge)


def forget_files(root: str, services: t.Iterable[Service]) -> list[str]:
    """Removes what tells an edge of generations that are gone, and of services it has no more; returns the paths."""
    kept = set()
    for one in services:
        if one.edge:
            kept.add(os.path.join(folder(root, one.edge.service), posixpath.basename(one.edge.path)))
            kept.add(os.path.join(folder(root, one.edge.service), one.upstream))
    found = glob.glob(os.path.join(glob.escape(root), EDGE, "*", "*"))
    found += glob.glob(os.path.join(glob.escape(root), EDGE, "*", ".*"))  # of a killed run
    removed = sorted(path for path in found if path not in kept)
    for path in removed:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    return removed
