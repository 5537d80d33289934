# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commit record of a backup: a file without a manifest beside it is no backup. Private to the collection."""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

FORMAT = "tria.production/pg_backup"
VERSION = 1
SUFFIX = ".json"


@dataclasses.dataclass
class File:
    """One file of a backup, by its name in the folder; `plain_*` is what was encrypted, None when nothing was."""

    file: str
    size_bytes: int
    sha256: str
    plain_size_bytes: int | None = None
    plain_sha256: str | None = None

    @property
    def content_bytes(self) -> int:
        return self.size_bytes if self.plain_size_bytes is None else self.plain_size_bytes


@dataclasses.dataclass
class Manifest:
    """Everything that is known about one backup; holds no secret. `created_at` is UTC, ISO 8601.

    `dump` is a file; in directory format it is a folder, whose files are `parts` (named by their path in it), its size
    is theirs, and its hash is `directory.digest`. `archive_bytes`, before compression, nobody knows then. `contents`
    are the number of rows and the hash of each table, as `snapshot.Reading.contents` gives them, when the dump was
    verified by restoring it.
    """

    created_at: str
    dbname: str
    source: dict[str, t.Any]
    dump: File
    globals: File | None
    compression: str
    archive_bytes: int | None
    database_size_bytes: int
    server_version: str
    pg_dump_version: str
    entries: int
    tables: int
    verified: str
    duration_s: float
    label: str | None = None
    pinned: bool = False
    verified_reason: str | None = None
    contents: dict[str, dict[str, t.Any]] | None = None
    parts: list[File] | None = None
    age_recipients: list[str] = dataclasses.field(default_factory=list)

    @property
    def files(self) -> list[File]:
        """Every file, by its path in the folder of the backups."""
        parts = [dataclasses.replace(each, file=os.path.join(self.dump.file, each.file)) for each in self.parts or []]
        return (parts or [self.dump]) + ([self.globals] if self.globals else [])

    @property
    def names(self) -> list[str]:
        """What the backup has in the folder of the backups, beside its manifest."""
        return [self.dump.file] + ([self.globals.file] if self.globals else [])

    def as_json(self) -> bytes:
        record = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}
        return (json.dumps(record, indent=2, sort_keys=True) + "\n").encode("utf-8")


class NoManifest(Exception):
    """The file is not a manifest that this version understands."""


def parse(raw: bytes) -> Manifest:
    """The manifest that `as_json` wrote; raises `NoManifest`."""
    try:
        record = json.loads(raw)
        if (record.pop("format"), record.pop("version")) != (FORMAT, VERSION):
            raise NoManifest("another format")
        record["dump"] = File(**record["dump"])
        record["globals"] = File(**record["globals"]) if record["globals"] else None
        record["parts"] = [File(**each) for each in record["parts"]] if record.get("parts") else None
        return Manifest(**record)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise NoManifest(str(exc)) from exc


def published(folder: str) -> list[Manifest]:
    """The complete backups of a folder, oldest first: those whose manifest is there and whose files have their size.

    A folder that does not exist holds none.
    """
    found = []
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        if not name.endswith(SUFFIX) or name.startswith("."):
            continue
        try:
            with open(os.path.join(folder, name), "rb") as file:
                record = parse(file.read())
            sizes = [os.path.getsize(os.path.join(folder, each.file)) for each in record.files]
        except (NoManifest, FileNotFoundError):
            continue  # somebody else's file, or a backup that is just being removed
        if name == record.dump.file + SUFFIX and sizes == [each.size_bytes for each in record.files]:
            found.append(record)
    return sorted(found, key=lambda record: (record.created_at, record.dump.file))
