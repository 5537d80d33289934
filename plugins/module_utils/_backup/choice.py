# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backup is to be restored, and whether it may be. Private to the collection."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import manifest
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_SHOWN = 5


class Choice(t.NamedTuple):
    """A backup and the folder that it is in."""

    folder: str
    record: manifest.Manifest

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.record.dump.file)


def choose(dest: str, wanted: str | None, dbname: str, source: dict[str, t.Any], foreign: bool) -> Choice:
    """The backup that `wanted` names, else the newest verified one of `dbname` of `source` in `dest`.

    `wanted` is a path, the name of a dump or of its manifest, or that name without its ending. Raises `ProductionError`
    when there is none, and when it is one of something else and `foreign` does not allow that.
    """
    if wanted:
        found = _named(dest, wanted)
        if not foreign and (found.record.dbname, found.record.source) != (dbname, source):
            raise ProductionError(
                found.path,
                f"is a backup of database {found.record.dbname} of {_words(found.record.source)}, not of database"
                f" {dbname} of {_words(source)}.",
                "Choose one of this database; or say foreign=true when that is what you want.",
            )
        return found
    mine = [
        each
        for each in manifest.published(dest)
        if each.verified != "none" and (foreign or each.source == source) and each.dbname == dbname
    ]
    if not mine:
        raise ProductionError(
            dest, f"holds no verified backup of database {dbname} of {_words(source)}.", "Make one, or give its path."
        )
    return Choice(dest, mine[-1])


def _named(dest: str, wanted: str) -> Choice:
    folder, name = os.path.split(os.path.join(dest, wanted).rstrip("/"))
    if name.endswith(manifest.SUFFIX):
        name = name[: -len(manifest.SUFFIX)]
    complete = manifest.published(folder)
    for each in complete:
        if name in (each.dump.file, each.dump.file.split(".dump")[0]):
            return Choice(folder, each)
    cause = "does not exist."
    if any(entry.startswith(name) for entry in (os.listdir(folder) if os.path.isdir(folder) else [])):
        cause = "is not a complete backup: its manifest is missing, or its files do not have the size that it says."
    shown = ", ".join(each.dump.file for each in reversed(complete[-_SHOWN:])) or "none"
    raise ProductionError(os.path.join(folder, name), cause, f"Choose another one. In {folder}, newest first: {shown}.")


def require_version(chosen: Choice, server_version: str) -> None:
    """Refuses a dump of a newer server: what it holds, an older one may not know."""
    if major(chosen.record.server_version) > major(server_version):
        raise ProductionError(
            chosen.path,
            f"was made of PostgreSQL {chosen.record.server_version}, this server is {server_version}.",
            "Restore it on a server that is at least as new.",
        )


def major(version: str) -> int:
    """The first number of a server's version; 0 when there is none."""
    match = re.match(r"\d+", version)
    return int(match[0]) if match else 0


def _words(source: dict[str, t.Any]) -> str:
    said = [f"{key} {value}" for key, value in sorted(source.items()) if value is not None]
    return ", ".join(said) or "the local server"
