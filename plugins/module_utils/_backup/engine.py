# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes one backup: plan, dump, verify, publish, retain. Private to the collection."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import os
import re
import secrets
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import (
    archive,
    before,
    copies,
    custom,
    directory,
    encryption,
    guard,
    locate,
    manifest,
    proof,
    retention,
    roles,
    shrinkage,
    snapshot,
    throwaway,
)
from ansible_collections.tria.production.plugins.module_utils._backup.folder import (
    Draft,
    Lock,
    free_bytes,
    remove,
)
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Facts
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_MARGIN = 1.25  # on the size that the last backup lets us expect
_RESERVE_BYTES = 1 << 20  # for the globals, the manifest, and what a nearly empty database takes


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
        return {"changed": False, "msg": str(exc), "skipped_reason": str(exc), "deleted": [], "dropped": []}


def _given_up(left_behind: list[str]) -> str:
    state = " ".join(left_behind) or "nothing half-made is left"
    return f"the backup was given up, older ones are as they were, {state}."


class Job:
    """One run of the module; the steps in their order."""

    def __init__(self, options: dict[str, t.Any], left_behind: list[str]) -> None:
        guard.require_makeable(options)
        self.options = options
        self.dest = os.path.abspath(options["dest"])
        self.is_directory = options["format"] == "directory"
        self.compression = options["compression"]
        self.rules = retention.Rules.of(options)
        self.cipher = encryption.Cipher(options["age_recipients"])
        self.deadline = Deadline(options["timeout"])
        self.started = time.monotonic()
        self.source = guard.server_of(options)
        self.source.on_abort = guard.ender(self.source, left_behind)
        self.left_behind = left_behind
        if self.is_directory:
            self.compression = directory.compression(self.source, self.compression, self.deadline)
        self.level = archive.level(self.compression, options["compression_level"])

    def preview(self) -> dict[str, t.Any]:
        """Everything that `run` decides, nothing that it writes."""
        facts = self.source.facts(self.deadline)
        siblings = self._siblings()
        self._need_space(facts, siblings)
        plan = self._plan(facts)
        expired = self._expired(siblings, plan)
        result = self._result(plan, expired, "would be backed up")
        retained = functools.partial(self._expired, plan=plan)
        result["copies"] = copies.preview(self.options["copies"], siblings + [plan], retained, self.deadline)
        return self._with_pruned(result, facts, check_mode=True)

    def run(self) -> dict[str, t.Any]:
        facts = self.source.facts(self.deadline)  # before the lock: a wrong password leaves no folder behind
        with Lock(self.dest) as lock:
            guard.clean_up_after(self.source, self.dest, lock.unfinished, self.deadline)
            siblings = self._siblings()
            self._need_space(facts, siblings)
            plan = self._plan(facts)
            stem = plan.dump.file.split(".dump")[0]
            doing = {"pid": os.getpid(), "stem": stem, "application_name": self.source.application_name}
            doing.update(directory.mark(self.source) if self.is_directory else {})
            lock.record(doing)
            with Draft(self.dest) as draft:
                with self._place(plan) as place:
                    lock.record({**doing, **(place.record if place else {})})
                    dump = self._dump(draft, plan)
                    script = roles.dumped(self.source, self.deadline) if place or self.options["globals"] else b""
                    self._verify(dump, plan, facts, place, script)
                shrinkage.refuse(plan, siblings, self.options["min_size_ratio"], self.source.name)
                if self.options["globals"]:
                    name = f"{stem}.globals.sql{self.cipher.suffix}"
                    with self._damage_explained():
                        plan.globals = roles.keep(draft, name, script, self.cipher)
                plan.duration_s = round(time.monotonic() - self.started, 3)
                draft.publish(plan)
            expired = self._expired(siblings, plan)
            result = self._result(plan, expired, "backed up")
            result["results"] = [proof.result(plan).as_dict()]
            wanted, retained = self.options["copies"], functools.partial(self._expired, plan=plan)
            result["copies"], failed = copies.make(wanted, self.dest, siblings + [plan], retained, self.deadline)
            self._remove(expired, result)
            result = self._with_pruned(result, facts)
        if failed:
            raise copies.failure(failed, result)
        return result

    def _with_pruned(self, result: dict[str, t.Any], facts: Facts, check_mode: bool = False) -> dict[str, t.Any]:
        """The result, with what earlier restores kept and nobody is to keep any longer."""
        dbname, keep_days = self.options["dbname"], self.options["keep_before"]
        pruned = before.prune(self.source, dbname, facts.before, keep_days, self.deadline, check_mode)
        return {**result, "msg": " ".join([result["msg"], *pruned.words(not check_mode)]), "dropped": pruned.dropped}

    def _place(self, plan: manifest.Manifest) -> t.Any:
        """Where the dump is restored to be verified, as a context; None when it is not."""
        if plan.verified != "restore":
            return contextlib.nullcontext()
        return throwaway.of(self.source, self.dest, self.deadline)

    def _expired(self, siblings: list[manifest.Manifest], plan: manifest.Manifest) -> list[manifest.Manifest]:
        return retention.expired(siblings + [plan], self.rules, plan.dump.file)

    def _remove(self, expired: list[manifest.Manifest], result: dict[str, t.Any]) -> None:
        for each in expired:
            try:
                remove(self.dest, each)
            except OSError as exc:
                raise ProductionError(
                    os.path.join(self.dest, each.dump.file),
                    f"is no longer to be kept, but cannot be removed: {exc.strerror}. The new backup is complete.",
                    "Remove it, or keep more of them (keep_last).",
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
        like = [
            each for each in siblings if (each.compression, bool(each.parts)) == (self.compression, self.is_directory)
        ]
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
        if self.is_directory:
            directory.require_space(self.source, need, self.deadline)

    def _plan(self, facts: Facts) -> manifest.Manifest:
        """The manifest as far as it is known before the dump."""
        now = datetime.datetime.now(datetime.timezone.utc)
        database = re.sub(r"[^A-Za-z0-9_]+", "_", self.options["dbname"])[:63]
        extension = archive.EXTENSIONS[self.compression] + self.cipher.suffix
        if self.is_directory:
            extension = directory.EXTENSION
        stem = f"{database}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        verified, reason = proof.level(self.options, facts)
        return manifest.Manifest(
            created_at=f"{now:%Y-%m-%dT%H:%M:%S.%f}Z",
            dbname=self.options["dbname"],
            source=self.source.identity,
            dump=manifest.File(f"{stem}.dump{extension}", 0, ""),
            globals=None,
            compression=self.compression,
            archive_bytes=None if self.is_directory else 0,
            database_size_bytes=facts.database_size_bytes,
            server_version=facts.server_version,
            pg_dump_version="",
            entries=0,
            tables=facts.tables,
            verified=verified,
            verified_reason=reason,
            duration_s=0.0,
            label=self.options["label"],
            pinned=self.options["pin"],
            age_recipients=self.options["age_recipients"],
        )

    def _dump(self, draft: Draft, plan: manifest.Manifest) -> t.Any:
        """The dump that was made; with what its snapshot contains in `plan` when it is to be restored."""
        dump = self._dump_at(draft.path(plan.dump.file), plan)
        wait = [f"--lock-wait-timeout={int(self.options['lock_timeout'] * 1000)}"]

        def make(options: list[str]) -> None:
            with self._locks_explained():  # who waits, waits for the snapshot's session perhaps
                dump.make(draft, self.source, wait + options, self.level)

        with self._damage_explained():
            if plan.verified == "restore":
                with self._locks_explained():
                    plan.contents = proof.dumped(self.source, self.deadline, self.options["lock_timeout"], make)
            else:
                make([])
        return dump

    def _dump_at(self, path: str, plan: manifest.Manifest) -> t.Any:
        if self.is_directory:
            return directory.Dump(path, plan, self.deadline, self.options["jobs"], self.left_behind)
        return custom.Dump(path, plan, self.deadline, self.cipher.key, self.cipher)

    @contextlib.contextmanager
    def _locks_explained(self) -> t.Iterator[None]:
        """A lock that was waited for in vain is somebody's: says whose."""
        try:
            yield
        except ProductionError as exc:
            # a job of several never waits
            if not re.search("lock timeout|timeout.*LOCK TABLE|could not obtain lock on relation", exc.cause):
                raise
            holders = self.source.blockers(Deadline(10))
            raise ProductionError(
                self.source.name,
                f"a table stayed locked for {self.options['lock_timeout']:g} seconds, so the dump was given up."
                f" Exclusive locks are held on: {'; '.join(holders) or 'none any more'}.",
                "Let that transaction finish (a migration, VACUUM FULL), or raise lock_timeout.",
                **exc.details,
            ) from exc

    @contextlib.contextmanager
    def _damage_explained(self) -> t.Iterator[None]:
        try:
            yield
        except archive.Damaged as exc:
            raise ProductionError(
                self.dest, f"the dump is damaged: {exc}", "Check the disk and its file system; nothing was published."
            ) from exc

    def _verify(
        self,
        dump: t.Any,
        plan: manifest.Manifest,
        facts: Facts,
        place: throwaway.Place | None,
        roles_script: bytes,
    ) -> None:
        """Holds what is on the disk, every byte of it, against what was dumped.

        It is restored in a `place`, and what is there then compared with the snapshot.
        """
        with self._damage_explained():
            server = place.ready(roles_script.decode("utf-8"), plan) if place else self.source
            with dump.lent(server):
                self._accept(plan, dump.contents(server), facts)
                if place:
                    dump.restore(server, place.options)
                elif plan.verified == "archive":
                    dump.read_fully(server)
        if place:
            found = snapshot.contents(server, self.deadline, self.deadline.remaining())
            snapshot.require_same(self.source.name, plan.contents or {}, found)

    def _accept(self, plan: manifest.Manifest, contents: archive.Contents, facts: Facts) -> None:
        """Takes over what the archive says of itself, unless it says that it is empty."""
        if facts.tables and not contents.tables:
            raise ProductionError(
                self.source.name,
                f"the dump is empty, but the database has {facts.tables} tables.",
                "Check what login_user is allowed to see; nothing was published.",
            )
        for name, value in dataclasses.asdict(contents).items():
            setattr(plan, name, value)

    def _result(self, made: manifest.Manifest, expired: list[manifest.Manifest], verb: str) -> dict[str, t.Any]:
        path = os.path.join(self.dest, made.dump.file)
        record, left_out = dataclasses.asdict(made), ("dump", "globals", "source", "contents", "parts")
        backup = {key: value for key, value in record.items() if key not in left_out}
        backup.update(
            path=path,
            format=self.options["format"],
            manifest=path + manifest.SUFFIX,
            globals=os.path.join(self.dest, made.globals.file) if made.globals else None,
            size_bytes=made.dump.size_bytes,
            sha256=made.dump.sha256,
            plain_sha256=made.dump.plain_sha256,
        )
        reason = f" {made.verified_reason}" if made.verified_reason else ""
        return {
            "changed": True,
            "msg": f"{self.source.name} {verb} to {path}, {proof.words(made.verified)}.{reason}",
            "backup": backup,
            "deleted": [os.path.join(self.dest, each.dump.file) for each in expired],
        }


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
