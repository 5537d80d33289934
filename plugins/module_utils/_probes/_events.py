# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Engine's container events, so that an exit is known when it happens. Private to the collection."""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import _base

_JOIN = 0.25  # s; only an Engine that does not answer at all makes the thread last longer
_EVENTS = ["create", "start", "restart", "die", "oom", "pause", "unpause", "destroy", "health_status"]


class ContainerEvents:
    """Calls `notify(project, service)` from a thread for every event of a container of Compose or Swarm, until `close`.

    `notify(None, None)` says that the subscription has begun or was lost: look at everything now. Without events, who
    waits still polls.
    """

    def __init__(self, notify: t.Callable[[str | None, str | None], None]) -> None:
        self._notify = notify
        self._stream: t.Any = None
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the subscription and its thread."""
        with self._lock:
            self._closed = True
            self._hang_up()
        self._thread.join(timeout=_JOIN)

    def _hang_up(self) -> None:
        if self._stream is not None:
            try:
                self._stream.close()
            except OSError:
                self._stream = None  # the Engine was first

    def _listen(self) -> None:
        try:
            client = _docker.connect(timeout=_base.DOCKER_SECONDS)
        except (ProductionError, _deps.MissingLibrary):
            return  # the probes say so themselves
        docker = _deps.load("docker")
        try:
            stream = client.events(decode=True, filters={"type": "container", "event": _EVENTS})
            with self._lock:
                self._stream = stream
                if self._closed:
                    self._hang_up()
            self._notify(None, None)
            for event in stream:
                labels = event.get("Actor", {}).get("Attributes", {})
                service = _docker.service_of(labels)
                if service:
                    self._notify(*service)
        except (docker.errors.DockerException, OSError, ValueError):
            pass  # ValueError: the stream was closed under the reader; either way the next line tells
        finally:
            client.close()
        if not self._closed:
            self._notify(None, None)
