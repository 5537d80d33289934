# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps in pg_dump's directory format, made and restored by several jobs at once. Private to the collection.

Such a dump is a folder of files, which pg_dump compresses itself; jobs need that. Tools inside a container do not see
the host's files: there they work in a scratch folder of the container, which the dump is copied out of, or into.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._atomic import sync_folder
from ansible_collections.tria.production.plugins.module_utils._backup import archive, process, reading, tarball
from ansible_collections.tria.production.plugins.module_utils._backup.folder import Draft
from ansible_collections.tria.production.plugins.module_utils._backup.manifest import File, Manifest
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Server, conninfo
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

EXTENSION = ".d"
_ZSTD_SINCE = 16  # the version of pg_dump
_MOST_JOBS = 4  # unless somebody says so: the server has others to serve
_CLEANUP_SECONDS = 15.0
_REMEDY = "Name a folder with room for it, with container.scratch; or use format=custom, which needs none."
_DIGEST = re.compile(r"^(?P<sha256>[0-9a-f]{64}) [ *](?P<path>.+)$", re.MULTILINE)


def jobs(wanted: int | None) -> int:
    return wanted or min(_MOST_JOBS, len(os.sched_getaffinity(0)))


def compression(source: Server, wanted: str, deadline: Deadline) -> str:
    """What is `wanted`, or gzip where pg_dump is too old for zstd."""
    said = reading.Collector()
    source.run(["pg_dump", "--version"], deadline, sink=said.write)
    match = re.search(rb"\(PostgreSQL\) (\d+)", said.data)
    return "gzip" if wanted == "zstd" and match and int(match[1]) < _ZSTD_SINCE else wanted


class Dump:
    """The dump of the backup `record`, the folder `path`; several `jobs` make it, and restore it.

    What could not be removed behind an error is noted in `left_behind`.
    """

    def __init__(
        self, path: str, record: Manifest, deadline: Deadline, wanted_jobs: int | None, left_behind: list[str]
    ) -> None:
        self._path = path
        self.record = record
        self._deadline = deadline
        self._jobs = jobs(wanted_jobs)
        self._left_behind = left_behind
        self._lent_as = ""  # where the tools see it

    def make(self, draft: Draft, source: Server, options: list[str], level: int) -> None:
        """Dumps, and records what came of it; `options` are for pg_dump.

        Raises `ProductionError`, and `archive.Damaged` when a file is not what it was where it was made.
        """
        record = self.record
        path = draft.folder(record.dump.file)
        compress = f"zstd:{level}" if record.compression == "zstd" else str(level)
        argv = ["pg_dump", "--no-password", "--format=directory", f"--jobs={self._jobs}", f"--compress={compress}"]
        with _seen(source, path, self._deadline, self._left_behind) as seen:
            source.run([*argv, *options, f"--file={seen}"], self._deadline)
            if seen == path:
                _settle(path)
                record.parts = [_hashed(path, name) for name in sorted(os.listdir(path))]
            else:
                record.parts = _copy_out(source, seen, path, self._deadline)
        record.dump.size_bytes = sum(each.size_bytes for each in record.parts)
        record.dump.sha256 = digest(record.parts)

    @contextlib.contextmanager
    def lent(self, server: Server) -> t.Iterator[None]:
        """While the tools of `server` can read it, every byte of which was compared on its way there.

        Raises `archive.Damaged`.
        """
        with _seen(server, self._path, self._deadline, self._left_behind) as seen:
            if seen == self._path:
                self.check()
            else:
                parts = self.record.parts or []
                _require_names(self._path, parts)
                feed = tarball.packed((each, _checked(self._path, each)) for each in parts)
                argv = ["tar", "-xf", "-", "-C", seen]
                reading.fed_to(server, argv, feed, self._deadline, "the dump cannot be copied")
            self._lent_as = seen
            yield

    def check(self) -> None:
        """Reads every file, from the disk where the kernel lets us; raises `archive.Damaged`."""
        parts = self.record.parts or []
        _require_names(self._path, parts)
        for each in parts:
            for _chunk in _checked(self._path, each):
                continue

    def contents(self, server: Server) -> archive.Contents:
        """The table of contents; raises `archive.Damaged` when there is none."""
        argv = ["pg_restore", "--format=directory", "--list", self._lent_as]
        return reading.contents(server, argv, self._deadline)

    def read_fully(self, server: Server) -> None:
        """All data through pg_restore, which has to find every file and the end of every compressed one."""
        argv = ["pg_restore", "--format=directory", "--file=/dev/null", self._lent_as]
        reading.fed_to(server, argv, iter(()), self._deadline, "the dump cannot be read back")

    def restore(self, target: Server, options: t.Sequence[str] = ()) -> None:
        """Restores into the empty database `target`, up to the first error."""
        argv = ["pg_restore", "--format=directory", f"--jobs={self._jobs}", "--exit-on-error", "--no-password"]
        argv += [*options, f"--dbname={conninfo(target.connection.dbname)}", self._lent_as]
        reading.fed_to(target, argv, iter(()), self._deadline, "the dump cannot be restored")


def digest(parts: list[File]) -> str:
    """One SHA-256 for all of them: that of what `sha256sum *` prints in the folder (LC_ALL=C)."""
    lines = [f"{each.sha256}  {each.file}\n" for each in sorted(parts, key=lambda each: each.file)]
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


def mark(server: Server) -> dict[str, t.Any]:
    """What the next run has to know to remove the scratch folder that a killed one left."""
    return {"scratch": server.scratch, "source": server.identity} if server.scratch else {}


def require_space(server: Server, need: int, deadline: Deadline) -> None:
    """Fails when `need` bytes are not expected to fit into the scratch folder."""
    if server.scratch is None:
        return
    folder = os.path.dirname(server.scratch)
    with _scratch_explained():
        free = server.free_bytes(folder, deadline)
    if free is not None and free < need:
        raise ProductionError(
            server.name,
            f"{folder} has {free / (1 << 20):.1f} MiB free in the container, the dump is expected to take"
            f" {need / (1 << 20):.1f} MiB there before it is copied.",
            _REMEDY,
            free_bytes=free,
            needed_bytes=need,
        )


def remove_scratch(server: Server, folder: str, deadline: Deadline) -> None:
    """Removes a scratch folder from the server's container, if it is there."""
    server.run(["rm", "-rf", "--", folder], deadline)


@contextlib.contextmanager
def _seen(server: Server, path: str, deadline: Deadline, left_behind: list[str]) -> t.Iterator[str]:
    """`path` itself where the tools see it, else a scratch folder in the container, which is always removed."""
    if server.scratch is None:
        yield path
        return
    with _scratch_explained():
        server.run(["mkdir", "-m", "700", server.scratch], deadline)
    try:
        yield server.scratch
    except BaseException:
        try:
            remove_scratch(server, server.scratch, Deadline(_CLEANUP_SECONDS))
        except (ProductionError, process.TimedOut) as exc:
            # must not hide why it was given up; the next run tries again
            left_behind.append(f"but {server.scratch} may be left in the container: {exc}")
        raise
    remove_scratch(server, server.scratch, Deadline(_CLEANUP_SECONDS))


@contextlib.contextmanager
def _scratch_explained() -> t.Iterator[None]:
    try:
        yield
    except ProductionError as exc:
        raise ProductionError(exc.culprit, exc.cause, _REMEDY, **exc.details) from exc


def _settle(path: str) -> None:
    """What pg_dump has written itself is for its owner only, and on the disk."""
    for name in os.listdir(path):
        with open(os.path.join(path, name), "rb") as file:
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
    sync_folder(path)


def _hashed(path: str, name: str) -> File:
    with open(os.path.join(path, name), "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        meter = archive.Meter(file)
        while meter.read(process.CHUNK):
            continue
    return File(name, meter.size, meter.sha256)


def _digests(source: Server, seen: str, deadline: Deadline) -> dict[str, str]:
    """SHA-256 of every file by name, as computed in the container."""
    said = reading.Collector()
    argv = ["find", seen, "-type", "f", "-exec", "sha256sum", "{}", "+"]
    source.run(argv, deadline, sink=said.write)
    lines = _DIGEST.finditer(said.data.decode("utf-8"))
    return {os.path.relpath(match["path"], seen): match["sha256"] for match in lines}


def _copy_out(source: Server, seen: str, path: str, deadline: Deadline) -> list[File]:
    """The files as they arrived, each of them what it is in the container; raises `archive.Damaged`."""
    with contextlib.closing(tarball.Unpacker(path)) as unpacker:
        source.run(["tar", "-cf", "-", "-C", seen, "."], deadline, sink=unpacker.write)
    sync_folder(path)
    parts = sorted(unpacker.files, key=lambda each: each.file)
    there, here = _digests(source, seen, deadline), {each.file: each.sha256 for each in parts}
    differ = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
    if differ:
        raise archive.Damaged(f"{', '.join(differ)}: what arrived from the container is not what is in it")
    return parts


def _require_names(path: str, parts: list[File]) -> None:
    there, wanted = set(os.listdir(path)), {each.file for each in parts}
    if there != wanted:
        raise archive.Damaged(f"its files are not those that were written: {', '.join(sorted(there ^ wanted))}")


def _checked(path: str, part: File) -> t.Iterator[bytes]:
    try:
        file = os.path.join(path, part.file)
        yield from archive.checked_chunks(file, "none", part.size_bytes, part.sha256, part.size_bytes)
    except archive.Damaged as exc:
        raise archive.Damaged(f"{part.file}: {exc}") from exc
