# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps in pg_dump's directory format, made and restored by several jobs at once. Private to the collection.

Such a dump is a folder of files, which pg_dump compresses itself; jobs need that. Tools inside a container do not see
the host's files: there they work in a scratch folder of the container, which the dump is copied out of, or into.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._atomic import sync_folder
from ansible_collections.tria.production.plugins.module_utils._backup import archive, process, reading, tarball
from ansible_collections.tria.production.plugins.module_utils._backup.manifest import File
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

EXTENSION = ".d"
_ZSTD_SINCE = 16  # the version of pg_dump
_MOST_JOBS = 4  # unless somebody says so: the server has others to serve
_CLEANUP_SECONDS = 15.0
_REMEDY = "Name a folder with room for it, with container.scratch; or use format=custom, which needs none."
_DIGEST = re.compile(r"^(?P<sha256>[0-9a-f]{64}) [ *](?P<path>.+)$", re.MULTILINE)


@dataclasses.dataclass
class How:
    """`compression` and `level` as pg_dump can; `lock_wait_ms` for a locked table; whether to `read` all of it back."""

    jobs: int
    compression: str
    level: int
    lock_wait_ms: int
    read: bool


def jobs(wanted: int | None) -> int:
    return wanted or min(_MOST_JOBS, len(os.sched_getaffinity(0)))


def compression(source: Server, wanted: str, deadline: Deadline) -> str:
    """What is `wanted`, or gzip where pg_dump is too old for zstd."""
    said = reading.Collector()
    source.run(["pg_dump", "--version"], deadline, sink=said.write)
    match = re.search(rb"\(PostgreSQL\) (\d+)", said.data)
    return "gzip" if wanted == "zstd" and match and int(match[1]) < _ZSTD_SINCE else wanted


def make(source: Server, path: str, how: How, deadline: Deadline, left_behind: list[str]) -> tuple[list[File], t.Any]:
    """Dumps into the empty folder `path`; returns its files (named by their path in it) and the `archive.Contents`.

    If `how` says so, pg_restore has read all of it back, and every file was read from this host's disk. Raises
    `ProductionError`, and `archive.Damaged` when a file is not what it was where it was made.
    """
    with _seen(source, path, deadline, left_behind) as seen:
        _dump(source, seen, how, deadline)
        if seen == path:
            _settle(path)
            parts = [_hashed(path, name) for name in sorted(os.listdir(path))]
        else:
            parts = _copy_out(source, seen, path, deadline)
        found = contents(source, seen, deadline)
        if how.read:
            read_fully(source, seen, deadline)
    if how.read and seen != path:
        check(path, parts)
    return parts, found


@contextlib.contextmanager
def lent(server: Server, path: str, parts: list[File], deadline: Deadline, left_behind: list[str]) -> t.Iterator[str]:
    """Where the tools of `server` see the dump `path`, every byte of which was compared with `parts` on its way there.

    Raises `archive.Damaged`. What `_seen` could not remove behind an error is noted in `left_behind`.
    """
    with _seen(server, path, deadline, left_behind) as seen:
        if seen == path:
            check(path, parts)
        else:
            _require_names(path, parts)
            feed = tarball.packed((each, _checked(path, each)) for each in parts)
            reading.fed_to(server, ["tar", "-xf", "-", "-C", seen], feed, deadline, "the dump cannot be copied")
        yield seen


def check(path: str, parts: list[File]) -> None:
    """Reads every file of the dump, from the disk where the kernel lets us; raises `archive.Damaged`."""
    _require_names(path, parts)
    for each in parts:
        for _chunk in _checked(path, each):
            continue


def contents(server: Server, seen: str, deadline: Deadline) -> archive.Contents:
    """The table of contents; raises `archive.Damaged` when there is none."""
    listing = reading.Collector()
    server.run(["pg_restore", "--format=directory", "--list", seen], deadline, sink=listing.write)
    return archive.parse_list(listing.data.decode("utf-8", "replace"))


def read_fully(server: Server, seen: str, deadline: Deadline) -> None:
    """All data through pg_restore, which has to find every file and the end of every compressed one."""
    argv = ["pg_restore", "--format=directory", "--file=/dev/null", seen]
    reading.fed_to(server, argv, iter(()), deadline, "the dump cannot be read back")


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


def _dump(source: Server, seen: str, how: How, deadline: Deadline) -> None:
    compress = f"zstd:{how.level}" if how.compression == "zstd" else str(how.level)
    argv = ["pg_dump", "--no-password", "--format=directory", f"--jobs={how.jobs}", f"--compress={compress}"]
    source.run([*argv, f"--lock-wait-timeout={how.lock_wait_ms}", f"--file={seen}"], deadline)


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
