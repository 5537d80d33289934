# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the text of an env file comes from. Private to the collection."""

from __future__ import annotations

import dataclasses
import os
import stat

LARGEST = 32 * 1024 * 1024  # bytes; far above what any process environment can hold


@dataclasses.dataclass
class Source:
    """A file's text, or what kept it from being read: `problems` are `(rule name, line)`; `text` is then None."""

    label: str
    text: str | None = None
    problems: list[tuple[str, int]] = dataclasses.field(default_factory=list)


def from_content(content: str) -> Source:
    """The text of a file that is not written yet."""
    source = Source("content", content)
    try:
        content.encode("utf-8")
    except UnicodeEncodeError as exc:
        source.text = None
        source.problems.append(("encoding", content.count("\n", 0, exc.start) + 1))
    return source


def from_file(path: str) -> Source:
    """Read one file, whatever it turns out to be; waits on no pipe and reads no device."""
    source = Source(path)
    try:
        # a pipe without a writer would block the open
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    except (FileNotFoundError, NotADirectoryError):
        source.problems.append(("file_missing", 0))
    except OSError:
        source.problems.append(("file_kind" if _is_special(path) else "file_unreadable", 0))
    else:
        try:
            _read(source, descriptor)
        finally:
            os.close(descriptor)
    return source


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _read(source: Source, descriptor: int) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        source.problems.append(("file_kind", 0))
        return
    if stat.S_IMODE(status.st_mode) & 0o077:
        source.problems.append(("file_mode", 0))
    with os.fdopen(descriptor, "rb", closefd=False) as stream:
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        source.problems.append(("file_too_large", 0))
        return
    try:
        source.text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        source.problems.append(("encoding", data.count(b"\n", 0, exc.start) + 1))
