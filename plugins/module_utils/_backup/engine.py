# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes one backup: plan, dump, verify, publish, retain. Private to the collection."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import secrets
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import (
    archive,
    guard,
    locate,
    manifest,
    reading,
    retention,
    shrinkage,
)
from ansible_collections.tria.production.plugins.module_utils._backup.folder import (
    Draft,
    Lock,
    free_bytes,
    remove,
)
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Facts, conninfo
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_MARGIN = 1.25  # on the size that the last backup lets us expect
_RESERVE_BYTES = 1 << 20  # for the globals, the manifest, and what a nearly empty database takes
_GLOBALS_END = b"PostgreSQL database cluster dump complete"


def create(options: dict[str, t.Any], check_mode: bool = False) -> dict[str, t.Any]:
    """Makes a backup as the module's `options` say; returns the module's result.

    With `check_mode` only what reads is done. Raises `ProductionError` and `MissingLibrary`; nothing half-made is left.
    """
    left_behind: list[str] = []
    try:
        with guard.given_up(options, lambda: _given_up(left_behind)):
            job = Job(options, left_behind)
            return job.preview() if check_mode else job.run()
    except locate.Absent as exc:
        return {"changed": False, "msg": str(exc), "skipped_reason": str(exc), "deleted": []}


def _given_up(left_behind: list[str]) -> str:
    state = " ".join(left_behind) or "nothing half-made is left"
    return f"the backup was given up, older ones are as they were, {state}."


class Job:
    """One run of the module; the steps in their order."""

    def __init__(self, options: dict[str, t.Any], left_behind: list[str]) -> None:
        guard.require_sane(options)
        shrinkage.require_sane(options["min_size_ratio"])
        self.options = options
        self.dest = os.path.abspath(options["dest"])
        self.compression = options["compression"]
        self.level = _level(self.compression, options["compression_level"])
        self.deadline = Deadline(options["timeout"])
        self.started = time.monotonic()
        self.source = guard.server_of(options)
        self.source.on_abort = guard.ender(self.source, left_behind)

    def preview(self) -> dict[str, t.Any]:
        """Everything that `run` decides, nothing that it writes."""
        facts = self.source.facts(self.deadline)
        siblings = self._siblings()
        self._need_space(facts, siblings)
        plan = self._plan(facts)
        expired = self._expired(siblings, plan)
        return self._result(plan, expired, "would be backed up")

    def run(self) -> dict[str, t.Any]:
        facts = self.source.facts(self.deadline)  # before the lock: a wrong password leaves no folder behind
        with Lock(self.dest) as lock:
            guard.clean_up_after(self.source, self.dest, lock.unfinished, self.deadline)
            siblings = self._siblings()
            self._need_space(facts, siblings)
            plan = self._plan(facts)
            stem = plan.dump.file.split(".dump")[0]
            lock.record({"pid": os.getpid(), "stem": stem, "application_name": self.source.application_name})
            with Draft(self.dest) as draft:
                self._dump(draft, plan)
                self._verify(draft, plan, facts)
                shrinkage.refuse(plan, siblings, self.options["min_size_ratio"], self.source.name)
                if self.options["globals"]:
                    plan.globals = self._dump_globals(draft, f"{stem}.globals.sql")
                plan.duration_s = round(time.monotonic() - self.started, 3)
                draft.publish(plan)
            expired = self._expired(siblings, plan)
            result = self._result(plan, expired, "backed up")
            self._remove(expired, result)
        return result

    def _expired(self, siblings: list[manifest.Manifest], plan: manifest.Manifest) -> list[manifest.Manifest]:
        keep_last, keep_labels = self.options["keep_last"], self.options["keep_labels"]
        return retention.expired(siblings + [plan], keep_last, plan.dump.file, keep_labels)

    def _remove(self, expired: list[manifest.Manifest], result: dict[str, t.Any]) -> None:
        for each in expired:
            try:
                remove(self.dest, each)
            except OSError as exc:
                raise ProductionError(
                    os.path.join(self.dest, each.dump.file),
                    f"is no longer to be kept, but cannot be removed: {exc.strerror}. The new backup is complete.",
                    "Remove it, or raise keep_last.",
                    **result,
                ) from exc

    def _siblings(self) -> list[manifest.Manifest]:
        """The backups of the same database of the same source, oldest first; a folder may hold those of several."""
        mine = (self.source.identity, self.options["dbname"])
        return [each for each in manifest.published(self.dest) if (each.source, each.dbname) == mine]

    def _need_space(self, facts: Facts, siblings: list[manifest.Manifest]) -> None:
        """Fails when the dump is not expected to fit.

        Expected is what the last backup took for each byte of the database and a quarter more; for a first one as much
        as the database has, twice that without compression (a dump is text, and stored values may be compressed).
        """
        ratio = 2.0 if self.compression == "none" else 1.0
        like = [each for each in siblings if each.compression == self.compression]
        if like:
            ratio = _MARGIN * like[-1].dump.size_bytes / like[-1].database_size_bytes
        need, free = int(facts.database_size_bytes * ratio) + _RESERVE_BYTES, free_bytes(self.dest)
        if free < need:
            raise ProductionError(
                self.dest,
                f"has {_mib(free)} free, the backup of {self.source.name} is expected to take {_mib(need)}.",
                "Free disk space, lower keep_last, or choose another dest.",
                free_bytes=free,
                needed_bytes=need,
            )

    def _plan(self, facts: Facts) -> manifest.Manifest:
        """The manifest as far as it is known before the dump."""
        now = datetime.datetime.now(datetime.timezone.utc)
        database = re.sub(r"[^A-Za-z0-9_]+", "_", self.options["dbname"])[:63]
        stem = f"{database}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        return manifest.Manifest(
            created_at=f"{now:%Y-%m-%dT%H:%M:%S.%f}Z",
            dbname=self.options["dbname"],
            source=self.source.identity,
            dump=manifest.File(f"{stem}.dump{archive.EXTENSIONS[self.compression]}", 0, ""),
            globals=None,
            compression=self.compression,
            archive_bytes=0,
            database_size_bytes=facts.database_size_bytes,
            server_version=facts.server_version,
            pg_dump_version="",
            entries=0,
            tables=facts.tables,
            verified=self.options["verify"],
            duration_s=0.0,
            label=self.options["label"],
            pinned=self.options["pin"],
        )

    def _dump(self, draft: Draft, plan: manifest.Manifest) -> None:
        wait_ms = int(self.options["lock_timeout"] * 1000)
        argv = ["pg_dump", "--no-password", "--format=custom", "--compress=0", f"--lock-wait-timeout={wait_ms}"]
        with draft.create(plan.dump.file) as file:
            writer = archive.Writer(file, self.compression, self.level)
            try:
                self.source.run(argv, self.deadline, sink=writer.write)
            except ProductionError as exc:
                raise self._explained(exc) from exc
            writer.finish()
        plan.dump.size_bytes, plan.dump.sha256 = writer.size_bytes, writer.sha256
        plan.archive_bytes = writer.archive_bytes

    def _explained(self, error: ProductionError) -> ProductionError:
        """A lock that was waited for in vain is somebody's: says whose."""
        if "LOCK TABLE" not in error.cause or "timeout" not in error.cause:
            return error
        holders = self.source.blockers(Deadline(10))
        return ProductionError(
            self.source.name,
            f"a table stayed locked for {self.options['lock_timeout']:g} seconds, so the dump was given up."
            f" Exclusive locks are held on: {'; '.join(holders) or 'none any more'}.",
            "Let that transaction finish (a migration, VACUUM FULL), or raise lock_timeout.",
            **error.details,
        )

    def _verify(self, draft: Draft, plan: manifest.Manifest, facts: Facts) -> None:
        """Holds what is on the disk against what was dumped; fills in what the archive says of itself."""
        path, compression = draft.path(plan.dump.file), plan.compression
        feed = archive.checked_chunks(path, compression, plan.dump.size_bytes, plan.dump.sha256, plan.archive_bytes)
        try:
            contents = reading.contents(self.source, path, compression, self.deadline)
            if plan.verified == "archive":
                reading.read_fully(self.source, feed, self.deadline)
        except archive.Damaged as exc:
            raise ProductionError(
                self.dest, f"the dump is damaged: {exc}", "Check the disk and its file system; nothing was published."
            ) from exc
        if facts.tables and not contents.tables:
            raise ProductionError(
                self.source.name,
                f"the dump is empty, but the database has {facts.tables} tables.",
                "Check what login_user is allowed to see; nothing was published.",
            )
        for name, value in dataclasses.asdict(contents).items():
            setattr(plan, name, value)

    def _dump_globals(self, draft: Draft, name: str) -> manifest.File:
        """Roles and tablespaces, which no database dump holds; without the roles' passwords."""
        argv = ["pg_dumpall", "--no-password", "--globals-only", "--no-role-passwords"]
        argv.append(f"--database={conninfo(self.options['dbname'])}")
        text = reading.Collector()
        self.source.run(argv, self.deadline, sink=text.write)
        if _GLOBALS_END not in text.data[-512:]:
            raise ProductionError(
                self.source.name, "pg_dumpall's output has no end.", "Run again, or set globals: false."
            )
        with draft.create(name) as file:
            meter = archive.Meter(file)
            meter.write(text.data)
        return manifest.File(name, meter.size, meter.sha256)

    def _result(self, made: manifest.Manifest, expired: list[manifest.Manifest], verb: str) -> dict[str, t.Any]:
        path = os.path.join(self.dest, made.dump.file)
        backup = {
            key: value for key, value in dataclasses.asdict(made).items() if key not in ("dump", "globals", "source")
        }
        backup.update(
            path=path,
            manifest=path + manifest.SUFFIX,
            globals=os.path.join(self.dest, made.globals.file) if made.globals else None,
            size_bytes=made.dump.size_bytes,
            sha256=made.dump.sha256,
        )
        return {
            "changed": True,
            "msg": f"{self.source.name} {verb} to {path}",
            "backup": backup,
            "deleted": [os.path.join(self.dest, each.dump.file) for each in expired],
        }


def _level(compression: str, level: int | None) -> int:
    lowest, highest = archive.LEVELS[compression]
    if level is None:
        return archive.DEFAULT_LEVELS[compression]
    if not lowest <= level <= highest:
        raise ProductionError(
            "compression_level", f"{level} is not a level of {compression}.", f"Use {lowest} to {highest}."
        )
    return level


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
