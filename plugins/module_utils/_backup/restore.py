# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores one backup: choose, verify, load beside, compare, swap by name. Private to the collection.

Until the swap the running database is only looked at, and the swap is one transaction.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import (
    archive,
    before,
    choice,
    custom,
    databases,
    directory,
    encryption,
    guard,
    manifest,
    process,
    roles,
    snapshot,
)
from ansible_collections.tria.production.plugins.module_utils._backup.folder import Lock
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_MARGIN = 1.1  # on the size that the database had
_RESERVE_BYTES = 16 << 20  # for what even an empty database takes
_CLEANUP_SECONDS = 60.0


def restore(options: dict[str, t.Any], check_mode: bool = False) -> dict[str, t.Any]:
    """Restores a backup as the module's `options` say; returns the module's result.

    With `check_mode` the backup is chosen and verified, and nothing is written. Raises `ProductionError` and
    `MissingLibrary`; the running database is then as it was, and nothing half-restored is left.
    """
    end = End()
    with guard.given_up(options, end.words):
        job = Restore(options, end)
        return job.preview() if check_mode else job.run()


class End:
    """How a run that was given up leaves everything."""

    def __init__(self) -> None:
        self.swapped = ""  # the database that was there before, when the restored one is in its place already
        self.left_behind: list[str] = []

    def words(self) -> str:
        if self.swapped:
            return f"the restored database is in place, the one before it is {self.swapped}."
        rest = " ".join(self.left_behind) or "nothing half-restored is left"
        return f"the running database is as it was, {rest}."


class Restore:
    """One run of the module; the steps in their order."""

    def __init__(self, options: dict[str, t.Any], end: End) -> None:
        guard.require_sane(options)
        now = datetime.datetime.now(datetime.timezone.utc)
        self.options = options
        self.end = end
        self.dest = os.path.abspath(options["dest"])
        self.dbname = options["dbname"]
        self.restoring = databases.beside(self.dbname, "_restoring")
        self.before = before.name(self.dbname, now)
        self.key: encryption.Key | None = None  # of the chosen backup
        self.deadline = Deadline(options["timeout"])
        self.started = time.monotonic()
        self.source = guard.server_of({**options, "when_absent": "fail"})
        self.server = databases.maintenance_of(self.source)
        self.source.on_abort = self.server.on_abort = guard.ender(self.server, end.left_behind)

    def preview(self) -> dict[str, t.Any]:
        """Everything that `run` decides and verifies, nothing that it writes."""
        state = self._state()
        chosen = self._choose(state)
        dump = self._dump_at(chosen)
        with self._damage_explained(chosen):
            if isinstance(dump, directory.Dump) and self.server.scratch:
                dump.check()  # pg_restore would need a copy of it in the container
            else:
                with dump.lent(self.server):
                    self._verify(dump, chosen.record)
        self._need_space(chosen.record, state)
        made, _statements = self._missing_roles(chosen, state)
        return self._with_pruned(self._result(chosen, state, made, done=False), state, check_mode=True)

    def run(self) -> dict[str, t.Any]:
        chosen = self._choose(self._state())  # before the lock: a wrong password leaves no folder behind
        with Lock(self.dest) as lock, contextlib.ExitStack() as lent:
            guard.clean_up_after(self.server, self.dest, lock.unfinished, self.deadline)
            mark = directory.mark(self.server) if chosen.record.parts else {}
            lock.record({"pid": os.getpid(), **mark})
            state = self._state()
            self._require_free_name(state)
            dump = self._dump_at(chosen)
            with self._damage_explained(chosen):
                if chosen.record.parts:
                    directory.require_space(self.server, chosen.record.dump.size_bytes, self.deadline)
                lent.enter_context(dump.lent(self.server))
                self._verify(dump, chosen.record)
            self._need_space(chosen.record, state)
            made, statements = self._missing_roles(chosen, state)
            record = {"application_name": self.source.application_name, "restoring": self.restoring, **mark}
            lock.record({"pid": os.getpid(), "source": self.source.identity, **record})
            with self._undone_on_failure(lock, mark):
                if statements:
                    self.server.script("BEGIN;\n" + "\n".join(statements) + "\nCOMMIT;\n", self.deadline)
                target = self._load(dump, chosen, state)
                lent.close()  # while a failure still leaves the running database as it was
                size = self._compare(target, chosen, state)
                swapping = time.monotonic()
                self._swap()
                swap_s = round(time.monotonic() - swapping, 3)
            self.end.swapped = self.before if state.live else self.end.swapped
            result = self._result(chosen, state, made, done=True)
            result["restored"].update(database_size_bytes=size, swap_s=swap_s)
            return self._with_pruned(result, state)

    def _with_pruned(
        self, result: dict[str, t.Any], state: databases.State, check_mode: bool = False
    ) -> dict[str, t.Any]:
        """The result, with what earlier restores kept and nobody is to keep any longer."""
        keep_days, newest = self.options["keep_before"], result["restored"]["before"] or ""
        pruned = before.prune(self.server, self.dbname, state.before, keep_days, self.deadline, check_mode, newest)
        return {**result, "msg": " ".join([result["msg"], *pruned.words(not check_mode)]), "dropped": pruned.dropped}

    def _state(self) -> databases.State:
        return databases.state(self.server, self.dbname, self.deadline)

    def _choose(self, state: databases.State) -> choice.Choice:
        wanted, foreign = self.options["backup"], self.options["foreign"]
        chosen = choice.choose(self.dest, wanted, self.dbname, self.source.identity, foreign)
        choice.require_version(chosen, state.server_version)
        with self._damage_explained(chosen):
            self.key = encryption.key_for(chosen.record, chosen.path, self.options["age_identity_file"])
        return chosen

    def _require_free_name(self, state: databases.State) -> None:
        """What a killed run of ours left is swept by now; whatever has the name still is not ours to drop."""
        if self.restoring in state.oids:
            raise ProductionError(
                f"database {self.restoring}",
                f"is on {self.server.name.partition(' ')[2]}, and it is not known what made it.",
                f"Drop it when nobody needs it: DROP DATABASE {databases.quoted(self.restoring)}",
            )

    def _dump_at(self, chosen: choice.Choice) -> t.Any:
        if chosen.record.parts:
            jobs, left_behind = self.options["jobs"], self.end.left_behind
            return directory.Dump(chosen.path, chosen.record, self.deadline, jobs, left_behind)
        return custom.Dump(chosen.path, chosen.record, self.deadline, self.key)

    def _verify(self, dump: t.Any, record: manifest.Manifest) -> None:
        """Every byte of the backup against its manifest, through pg_restore; raises `archive.Damaged`."""
        dump.read_fully(self.server)
        found = dump.contents(self.server)
        if (found.entries, found.tables) != (record.entries, record.tables):
            raise archive.Damaged(
                f"it has {found.entries} entries and {found.tables} tables, its manifest says {record.entries} and"
                f" {record.tables}"
            )

    @contextlib.contextmanager
    def _damage_explained(self, chosen: choice.Choice) -> t.Iterator[None]:
        try:
            yield
        except archive.Damaged as exc:
            older = [
                each.dump.file
                for each in manifest.published(chosen.folder)
                if each.dbname == chosen.record.dbname and each.created_at < chosen.record.created_at
            ]
            remedy = f"Choose another one, such as {older[-1]}." if older else "There is no older one beside it."
            raise ProductionError(chosen.path, f"is damaged: {exc}. Nothing was changed.", remedy) from exc

    def _need_space(self, record: manifest.Manifest, state: databases.State) -> None:
        """Fails when a second database is not expected to fit where the server keeps the first, if that can be told."""
        elsewhere = (state.live or {}).get("location")  # a tablespace of its own
        place = elsewhere or state.data_directory
        free = self.server.free_bytes(place, self.deadline) if place else None
        need = int(record.database_size_bytes * _MARGIN) + _RESERVE_BYTES
        if not elsewhere:
            need += min(record.database_size_bytes, state.max_wal_bytes)  # what is loaded goes through the log first
        if free is not None and free < need:
            kept = databases.beside(self.dbname, "_before_")
            earlier = [name for name in sorted(state.oids) if name.startswith(kept)]
            raise ProductionError(
                self.source.name,
                f"{place} has {free / (1 << 20):.1f} MiB free, to restore is expected to take"
                f" {need / (1 << 20):.1f} MiB there. Nothing was changed.",
                "Free disk space where the server keeps its files."
                + (f" Earlier restores kept: {', '.join(earlier)}." if earlier else ""),
                free_bytes=free,
                needed_bytes=need,
            )

    def _missing_roles(self, chosen: choice.Choice, state: databases.State) -> tuple[list[str], list[str]]:
        """(names, statements) of the roles that the backup knows and the server does not."""
        if not chosen.record.globals:
            return [], []
        each = chosen.record.globals
        with self._damage_explained(chosen):
            path = os.path.join(chosen.folder, each.file)
            feed = encryption.checked_chunks(path, "none", each, each.content_bytes, self.key)
            return roles.missing(b"".join(feed).decode("utf-8"), state.roles)

    def _load(self, dump: t.Any, chosen: choice.Choice, state: databases.State) -> Server:
        """Makes the new database and fills it. It is dropped whole when that fails.

        So pg_restore needs no transaction around all of it, which would take a lock for every object from a table of
        locks that the running database shares.
        """
        self.server.script(databases.create_statement(self.restoring, state.live) + ";\n", self.deadline)
        target = self.source.at(self.restoring)
        with self._damage_explained(chosen):
            dump.restore(target)
        return target

    def _compare(self, target: Server, chosen: choice.Choice, state: databases.State) -> int:
        """Holds the new database against the manifest, and makes it ready to be swapped; returns its size in bytes."""
        target.script("ANALYZE;\n", self.deadline)  # else the first queries would be planned without knowing a thing
        facts = target.facts(self.deadline)
        if facts.tables != chosen.record.tables:
            raise ProductionError(
                chosen.path,
                f"has {chosen.record.tables} tables, {facts.tables} were restored.",
                "See the server's log, and report this as a bug.",
            )
        if chosen.record.contents is not None:
            found = snapshot.contents(target, self.deadline, self.deadline.remaining())
            # Another major version may write values otherwise; the rows are as many.
            alike = choice.major(facts.server_version) == choice.major(chosen.record.server_version)
            snapshot.require_same(chosen.path, chosen.record.contents, found, hashes=alike)
        properties = databases.property_statements(self.restoring, state.live)
        self.server.script("".join(f"{each};\n" for each in properties), self.deadline)
        return facts.database_size_bytes

    def _swap(self) -> None:
        names = (self.restoring, self.dbname, self.before)
        databases.swap(self.server, self._state(), names, self.deadline)

    @contextlib.contextmanager
    def _undone_on_failure(self, lock: Lock, mark: dict[str, t.Any]) -> t.Iterator[None]:
        try:
            yield
        except ProductionError as exc:
            self._undo(lock, mark)
            cause = f"{exc.cause.rstrip('.')}; {self.end.words()}"
            raise ProductionError(exc.culprit, cause, exc.remedy, **exc.details) from exc
        except BaseException:
            self._undo(lock, mark)
            raise

    def _undo(self, lock: Lock, mark: dict[str, t.Any]) -> None:
        """Drops what was half-restored; a swap that was committed before its answer was lost stays."""
        deadline = Deadline(_CLEANUP_SECONDS)
        try:
            self.server.terminate(self.server.application_name)
            oids = databases.state(self.server, self.dbname, deadline).oids
            if self.before in oids and self.restoring not in oids:
                self.end.swapped = self.before
            databases.drop(self.server, self.restoring, deadline, ours=True)
            lock.record(mark)  # or the next run would take a database of that name for ours
        except (ProductionError, process.TimedOut) as exc:
            self.end.left_behind.append(f"but {self.restoring} may be left until the next run removes it: {exc}")

    def _result(self, chosen: choice.Choice, state: databases.State, made: list[str], done: bool) -> dict[str, t.Any]:
        record, kept = chosen.record, self.before if state.live else None
        verb, now = ("was restored", "is now") if done else ("would be restored", "would become")
        label = f" ({record.label})" if record.label else ""
        words = [f"{self.source.name} {verb} from {chosen.path}, made at {record.created_at}{label}."]
        if made:
            words.append(f"Roles that were missing, made without a password: {', '.join(made)}.")
        if kept:
            words.append(f"The database as it was {now} {kept}.")
        if kept and done:
            words.append(f"It stays for {self.options['keep_before']} days, and as long as it is the newest.")
        restored = {
            "path": chosen.path,
            "created_at": record.created_at,
            "label": record.label,
            "dbname": self.dbname,
            "before": kept,
            "roles": made,
            "tables": record.tables,
            "entries": record.entries,
            "size_bytes": record.dump.size_bytes,
            "sha256": record.dump.sha256,
            "duration_s": round(time.monotonic() - self.started, 3),
        }
        return {"changed": True, "msg": " ".join(words), "restored": restored}
