# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files and links that are either the old or the new one, whatever happens meanwhile. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid


def write_file(path: str, content: str | bytes, mode: int) -> None:
    """Put a file in place, text as UTF-8: written beside, synchronised, renamed. Raises `OSError`, and leaves no rest.

    A reader never sees half of it, and on a full disk the previous file stays.
    """
    folder, name = os.path.split(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    with _removed_on_failure(temporary):
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content.encode("utf-8") if isinstance(content, str) else content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    sync_folder(folder)


def switch_link(path: str, target: str) -> None:
    """Make `path` a symbolic link to `target` in one step. Raises `OSError`; `path` must not be a real folder."""
    folder, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
    os.symlink(target, temporary)
    with _removed_on_failure(temporary):
        os.replace(temporary, path)
    sync_folder(folder)


@contextlib.contextmanager
def _removed_on_failure(path: str):
    try:
        yield
    except BaseException:
        os.unlink(path)
        raise


def sync_folder(folder: str) -> None:
    """A rename lasts only once the folder is on disk as well."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
