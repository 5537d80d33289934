# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a run begins and is given up: its server, its end, what a killed one before left. Private to the collection."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._backup import (
    archive,
    databases,
    directory,
    locate,
    process,
    proof,
    retention,
    shrinkage,
    throwaway,
)
from ansible_collections.tria.production.plugins.module_utils._backup.folder import sweep
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Connection, Container, Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


@contextlib.contextmanager
def given_up(options: dict[str, t.Any], state: t.Callable[[], str]) -> t.Iterator[None]:
    """Turns what stops a run into `ProductionError`; `state` says how everything is left, after the clean-up."""
    try:
        with process.stop_signals():
            yield
    except process.TimedOut as exc:
        remedy = "Raise timeout, or see what slows the server or the disk down."
        raise ProductionError(options["dbname"], f"{exc}; {state()}", remedy) from exc
    except process.Interrupted as exc:
        raise ProductionError(options["dbname"], f"{exc}; {state()}", "Run it again.") from exc
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "Free disk space, or choose another dest." if full else "Check the path and its permissions."
        raise ProductionError(exc.filename or options["dest"], f"{exc.strerror or exc}; {state()}", remedy) from exc


def server_of(options: dict[str, t.Any]) -> Server:
    """The server that the module's `options` mean; raises `locate.Absent` and `ProductionError`."""
    application_name = f"pg_backup-{os.getpid()}-{secrets.token_hex(4)}"
    connection = Connection(
        dbname=options["dbname"],
        user=options["login_user"],
        password=options["login_password"],
        host=options["login_host"],
        port=options["login_port"],
    )
    if options["container"] is None:
        return Server(connection, application_name)
    client = _docker.connect()
    try:
        container = locate.find(client, options["container"], options["when_absent"])
    finally:
        client.close()
    return Container(connection, application_name, container, options["container"].get("scratch") or "/tmp")


def require_sane(options: dict[str, t.Any]) -> None:
    """What an argument spec cannot say."""
    _require_seconds(options, "timeout")
    if options["jobs"] is not None and options["jobs"] < 1:
        raise ProductionError("jobs", f"is {options['jobs']}.", "It must be more than zero.")
    if options["keep_before"] < 0:
        raise ProductionError("keep_before", f"is {options['keep_before']}.", "It must not be less than zero.")
    for name in ("dest", "dbname"):
        if not options[name]:
            raise ProductionError(name, "is empty.", "It needs a value.")


def require_makeable(options: dict[str, t.Any]) -> None:
    """As `require_sane`, of the options for making a backup: raises `ProductionError` before anything is done."""
    require_sane(options)
    _require_seconds(options, "lock_timeout")
    retention.Rules.of(options)
    shrinkage.require_sane(options["min_size_ratio"])
    archive.level(options["compression"], options["compression_level"])
    if options["verify_restore_up_to"] is not None:
        proof.bytes_of(options["verify_restore_up_to"])
    is_directory = options["format"] == "directory"
    if is_directory and options["age_recipients"]:
        raise ProductionError(
            "age_recipients", "cannot be used with format=directory.", "Use format=custom, which is one stream."
        )
    if (options["jobs"] or 1) > 1 and not is_directory:
        raise ProductionError("jobs", f"is {options['jobs']}.", "Only format=directory can be dumped by several jobs.")


def _require_seconds(options: dict[str, t.Any], name: str) -> None:
    if options[name] <= 0:
        raise ProductionError(name, f"is {options[name]:g}.", "It must be more than zero.")


def ender(server: Server, left_behind: list[str]) -> t.Callable[[], None]:
    """What ends our own backends when a tool has to be ended before its time.

    That this failed must not hide why it was necessary: it is noted in `left_behind`, and the next run tries again.
    """

    def end() -> None:
        try:
            server.terminate(server.application_name)
        except ProductionError as exc:
            left_behind.append(f"but the backend {server.application_name} may live on: {exc.cause}")

    return end


def clean_up_after(server: Server, dest: str, unfinished: dict[str, t.Any], deadline: Deadline) -> None:
    """Ends what a killed run left at work, and removes what it left half-made. Only for the holder of the lock."""
    if unfinished.get("application_name"):
        server.terminate(unfinished["application_name"])
    if unfinished.get("restoring") and unfinished.get("source") == server.identity:
        databases.drop(server, unfinished["restoring"], deadline)
    if unfinished.get("scratch") and unfinished.get("source") == server.identity:
        directory.remove_scratch(server, unfinished["scratch"], deadline)
    if isinstance(server, Container):
        throwaway.sweep(dest)
    sweep(dest, unfinished.get("stem"))
