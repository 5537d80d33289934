# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of the backups: one writer at a time, nothing half-written under a backup's name.

Private to the collection. A backup is published by renames: its files first, its manifest last. The lock file holds
what its owner is doing, so that the next owner can clean up after one that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import typing as t

from ansible_collections.tria.production.plugins.module_utils._atomic import sync_folder
from ansible_collections.tria.production.plugins.module_utils._backup import manifest
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_PARTIAL = ".partial-"
_LOCK = ".pg_backup.lock"
_RECORD_BYTES = 4096


def free_bytes(folder: str) -> int:
    """What an unprivileged writer has left on the folder's file system, or its parent's while it does not exist."""
    path = os.path.abspath(folder)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


class Lock:
    """One writer per folder. The lock ends with its process; its file tells the next owner what was left unfinished."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._descriptor = -1
        self.unfinished: dict[str, t.Any] = {}

    def __enter__(self) -> Lock:
        """Makes the folder if need be; raises `ProductionError` when another process is at work in it."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(os.path.join(self._folder, _LOCK), flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner = self._read()
            os.close(self._descriptor)
            raise ProductionError(
                self._folder,
                f"another backup or restore is at work here, process {owner.get('pid', '(unknown)')}.",
                "Wait until it has finished; the lock ends with its process.",
                holder=owner,
            ) from exc
        self.unfinished = self._read()
        return self

    def __exit__(self, failure: t.Any, *_exc: t.Any) -> None:
        """After a failure the record stays: whatever our own clean-up could not reach is the next owner's."""
        try:
            if failure is None:
                self.record({})
        finally:
            os.close(self._descriptor)

    def record(self, doing: dict[str, t.Any]) -> None:
        """Says who we are (`pid`, `application_name`) and what we make; empty when nothing is left to do.

        A backup makes the files of a `stem`, a restore the database `restoring` of a `source`.
        """
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(doing).encode("utf-8"), 0)
        os.fsync(self._descriptor)

    def _read(self) -> dict[str, t.Any]:
        try:
            record = json.loads(os.pread(self._descriptor, _RECORD_BYTES, 0))
        except ValueError:
            return {}  # never written, or its owner was killed while it wrote
        return record if isinstance(record, dict) else {}


def sweep(folder: str, stem: str | None) -> list[str]:
    """Removes what a killed owner left: partial files, and the files of `stem` when it did not reach its manifest.

    Only for the holder of the lock: nobody else can be writing.
    """
    names = os.listdir(folder)
    committed = stem is None or any(name.startswith(stem) and name.endswith(manifest.SUFFIX) for name in names)
    stale = [name for name in names if name.startswith(_PARTIAL) or (not committed and name.startswith(f"{stem}."))]
    for name in stale:
        _discard(os.path.join(folder, name))
    return sorted(stale)


def _discard(path: str) -> None:
    """Removes a file, or the folder that a dump in directory format is."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


class Draft:
    """The files of one backup until they are published; leaving the `with` block removes what was not."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._names: list[str] = []

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *_exc: t.Any) -> None:
        for name in self._names:
            with contextlib.suppress(FileNotFoundError):
                _discard(self.path(name))

    def path(self, name: str) -> str:
        """Where the file is before it is published; its name never looks like a backup's."""
        return os.path.join(self._folder, _PARTIAL + name)

    @contextlib.contextmanager
    def create(self, name: str) -> t.Iterator[t.Any]:
        """A new file, for its owner only, on the disk when the block is left."""
        descriptor = os.open(
            self.path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        self._names.append(name)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def folder(self, name: str) -> str:
        """A new folder, for its owner only; returns its path. Who fills it brings its files to the disk."""
        os.mkdir(self.path(name), mode=0o700)
        self._names.append(name)
        return self.path(name)

    def publish(self, record: manifest.Manifest) -> str:
        """Gives every file its name, the manifest last; returns the manifest's path."""
        commit = record.dump.file + manifest.SUFFIX
        with self.create(commit) as file:
            file.write(record.as_json())
        for name in self._names:  # in the order of their creation
            os.rename(self.path(name), os.path.join(self._folder, name))
            sync_folder(self._folder)
        self._names.clear()
        return os.path.join(self._folder, commit)


def remove(folder: str, record: manifest.Manifest) -> None:
    """Takes a backup away. Its files lose their names before its manifest does: a crash leaves nothing that counts."""
    for name in record.names:
        os.rename(os.path.join(folder, name), os.path.join(folder, _PARTIAL + name))
    os.unlink(os.path.join(folder, record.dump.file + manifest.SUFFIX))
    sync_folder(folder)
    for name in record.names:
        _discard(os.path.join(folder, _PARTIAL + name))
