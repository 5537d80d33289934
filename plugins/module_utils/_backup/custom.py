# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps in pg_dump's custom format: one stream, which is compressed on its way to the disk. Private to the collection.

`Dump` is here what it is in `directory`.
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import archive, encryption, reading, transit
from ansible_collections.tria.production.plugins.module_utils._backup.folder import Draft
from ansible_collections.tria.production.plugins.module_utils._backup.manifest import File, Manifest
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Server, conninfo


class Dump:
    """The dump of the backup `record`, at `path`, which `key` decrypts; a new one is encrypted with `cipher`."""

    def __init__(
        self,
        path: str,
        record: Manifest,
        deadline: Deadline,
        key: encryption.Key | None = None,
        cipher: encryption.Cipher | None = None,
    ) -> None:
        self._path = path
        self._record = record
        self._deadline = deadline
        self._key = key
        self._cipher = cipher or encryption.Cipher([])

    def make(self, draft: Draft, source: Server, options: list[str], level: int) -> None:
        """Dumps, and records what came of it; `options` are for pg_dump."""
        argv = ["pg_dump", "--no-password", "--format=custom", "--compress=0", *options]
        record = self._record
        with draft.create(record.dump.file) as file, self._cipher.encrypting(file) as target:
            writer = archive.Writer(target, record.compression, level)
            if record.verified == "none":
                source.run(argv, self._deadline, sink=writer.write)
            else:
                transit.carried(source, argv, self._deadline, writer.write)
            writer.finish()
        plain = File(record.dump.file, writer.size_bytes, writer.sha256)
        record.dump = self._cipher.recorded(self._path, plain)
        record.archive_bytes = writer.archive_bytes

    @contextlib.contextmanager
    def lent(self, server: Server) -> t.Iterator[None]:
        """While the tools of `server` can read it."""
        yield  # what they read is fed to them

    def contents(self, server: Server) -> archive.Contents:
        """The table of contents. It is at the head of the archive, and pg_restore reads no further."""
        feed = encryption.chunks(self._path, self._record.compression, self._key)
        return reading.contents(server, ["pg_restore", "--format=custom", "--list"], self._deadline, feed)

    def read_fully(self, server: Server) -> None:
        """Every byte through pg_restore, which must find all entries; raises `ProductionError`, `archive.Damaged`."""
        argv = ["pg_restore", "--format=custom", "--file=/dev/null"]
        reading.fed_to(server, argv, self._feed(), self._deadline, "the dump cannot be read back")

    def restore(self, target: Server, options: t.Sequence[str] = ()) -> None:
        """Restores into the empty database `target`, up to the first error; raises as `read_fully` does."""
        argv = ["pg_restore", "--format=custom", "--exit-on-error", "--no-password", *options]
        argv.append(f"--dbname={conninfo(target.connection.dbname)}")
        reading.fed_to(target, argv, self._feed(), self._deadline, "the dump cannot be restored")

    def _feed(self) -> t.Iterator[bytes]:
        record = self._record
        return encryption.checked_chunks(
            self._path, record.compression, record.dump, record.archive_bytes or 0, self._key
        )
