# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who can change an env file, and whom git gives it to. Private to the collection."""

from __future__ import annotations

import os
import pwd
import stat
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _git
from ansible_collections.tria.production.plugins.module_utils._env.sources import Source, from_file
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

Problem = t.Tuple[str, int]


def owners(owner: str | None, environ: t.Mapping[str, str]) -> set[int]:
    """The user IDs that an env file may belong to: that of `owner` (a name or an ID), or else root's, that of the user
    who runs, and that of the one behind sudo. Raises `ProductionError` for a user that there is not."""
    if owner is None:
        behind = environ.get("SUDO_UID", "")
        return {0, os.geteuid(), *([int(behind)] if behind.isdigit() else [])}
    if owner.isdigit():
        return {int(owner)}
    try:
        return {pwd.getpwnam(owner).pw_uid}
    except KeyError:
        raise ProductionError("owner", f"there is no user {owner!r} on this host.", "Correct the name.") from None


def read(path: str, allowed: t.Container[int]) -> Source:
    """An env file, with what is wrong with its place and its owner."""
    source = from_file(path)
    source.problems += problems(path, allowed)
    return source


def problems(path: str, allowed: t.Container[int]) -> list[Problem]:
    """What is wrong with the place and the owner of a regular file, or of that behind a link: `(rule name, line)`."""
    found: list[Problem] = []
    try:
        path = os.path.realpath(path)
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return []
        if status.st_uid not in allowed:
            found.append(("file_owner", 0))
        if any(map(_is_open, _folders(path))):
            found.append(("folder_writable", 0))
    except (OSError, ValueError):
        return []  # why it cannot be read is a finding already
    state = _git.state(path)
    return [*found, *([(f"git_{state}", 0)] if state in ("tracked", "unignored") else [])]


def _folders(path: str) -> t.Iterator[str]:
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path


def _is_open(folder: str) -> bool:
    """Whether everybody may put another file in the place of one in the folder."""
    mode = os.stat(folder).st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX
