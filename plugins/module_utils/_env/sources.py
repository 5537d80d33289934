# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the text of an env file comes from. Private to the collection."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat

LARGEST = 8 * 1024 * 1024  # bytes; Linux gives no process more than 6 MiB for its environment


@dataclasses.dataclass
class Source:
    """A file's text, or what kept it from being read: `problems` are `(rule name, line)`; `text` is then None."""

    label: str
    text: str | None = None
    problems: list[tuple[str, int]] = dataclasses.field(default_factory=list)


def from_content(content: str) -> Source:
    """The text of a file that is not written yet."""
    source = Source("content")
    try:
        if len(content.encode("utf-8")) > LARGEST:
            source.problems.append(("file_too_large", 0))
        else:
            source.text = content
    except UnicodeEncodeError as exc:
        source.problems.append(("encoding", content.count("\n", 0, exc.start) + 1))
    return source


def from_file(path: str) -> Source:
    """Read one file, whatever it turns out to be; waits on no pipe and opens no device."""
    source = Source(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            source.problems.append(("file_kind", 0))
            return source
        # it may be a pipe by now, and one without a writer would block the open
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
        try:
            _read(source, descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        source.problems.append((_cause(path, exc), 0))
    except ValueError:  # no file has a name with a NUL in it
        source.problems.append(("file_missing", 0))
    return source


def _cause(path: str, exc: OSError) -> str:
    """The rule for a file that could not be opened or read."""
    if exc.errno == errno.ELOOP:
        return "file_link"
    if exc.errno in (errno.ENOENT, errno.ENOTDIR):
        return "file_link" if os.path.islink(path) else "file_missing"
    return "file_unreadable"


def _read(source: Source, descriptor: int) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        source.problems.append(("file_kind", 0))
        return
    if stat.S_IMODE(status.st_mode) & 0o077:
        source.problems.append(("file_mode", 0))
    data = _content(descriptor) if status.st_size <= LARGEST else None
    if data is None:
        source.problems.append(("file_too_large", 0))
        return
    try:
        source.text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        source.problems.append(("encoding", data.count(b"\n", 0, exc.start) + 1))


def _content(descriptor: int) -> bytes | None:
    """All that the file holds, or None if that is more than `LARGEST`, whatever size it was said to have."""
    chunks, room = [], LARGEST + 1
    chunk = os.read(descriptor, room)
    while chunk:
        chunks.append(chunk)
        room -= len(chunk)
        chunk = os.read(descriptor, room) if room else b""
    return b"".join(chunks) if room else None
