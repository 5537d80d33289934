# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entry point (`python -m main`): start in order, serve, stop in order; the exit status says how it ended.

0: stopped by a signal. 1: an unforeseen error. Others: a startup phase failed, see `startup_orchestrator.EXIT_CODES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator

import uvicorn

from api.app import VERSION, create_app
from application import Application
from config.logs import configure_logging
from production.lifecycle_manager import LifecycleManager
from production.startup_orchestrator import StartupError

_log = logging.getLogger("main")
_LAST_REQUESTS_SECONDS = 0.1


class Server(uvicorn.Server):
    """uvicorn under our lifecycle: it takes no signals itself and says when it listens."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _log.info("ready to accept traffic")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self.servers:
            listener.close()
        # uvicorn closes connections without a request at once: whoever just connected may have one on its way.
        await asyncio.sleep(_LAST_REQUESTS_SECONDS)
        await super().shutdown(sockets)

    def force(self) -> None:
        """Do not wait for running requests any longer."""
        self.should_exit = self.force_exit = True


def bind(port: int) -> socket.socket:
    """The socket to serve on, bound only now that everything else is up; raises StartupError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("0.0.0.0", port))
    except OSError as error:
        listener.close()
        raise StartupError("listen", f"port {port}: {error.strerror}") from error
    return listener


async def serve(application: Application) -> None:
    """Serve until a signal, then drain and finish the running requests."""
    settings, lifecycle = application.settings, application.lifecycle
    config = uvicorn.Config(
        create_app(application),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.shutdown_timeout),
    )
    server = Server(config)
    lifecycle.on_second_signal(server.force)

    async def stop_on_signal() -> None:
        await lifecycle.stopping.wait()
        await asyncio.sleep(settings.shutdown_drain)
        server.should_exit = True

    listener = bind(settings.port)
    stopper = asyncio.ensure_future(stop_on_signal())
    try:
        await server.serve(sockets=[listener])
    finally:
        stopper.cancel()
        listener.close()


async def run() -> int:
    """The whole life of the process; returns its exit status."""
    logs = configure_logging()
    lifecycle = LifecycleManager()
    lifecycle.install_signal_handlers()
    application = Application(os.environ, lifecycle, logs, VERSION)
    failure: StartupError | None = None
    try:
        if await lifecycle.unless_stopped(application.start()):
            await serve(application)
    except StartupError as error:
        failure = error
    finally:
        await lifecycle.run_shutdown()
    if failure:
        _log.critical("startup failed: %s", failure)
    else:
        _log.info("stopped")
    await application.errors.flush()
    return failure.exit_code if failure else 0


def main() -> int:
    """`run`, with an unforeseen error logged like everything else, on one line."""
    try:
        return asyncio.run(run())
    except Exception:
        _log.critical("unforeseen error", exc_info=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
