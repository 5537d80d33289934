# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of a backup off the host, with rclone or restic: uploaded, read back, retained. Private to the collection.

What the two programs need to know of a server (its address, a password) travels in their environment or in files that
it names, never on a command line. A copy is as complete as a backup is here: its manifest is the last of its files to
get there, or it is one snapshot of restic.
"""

from __future__ import annotations

import abc
import datetime
import json
import os
import re
import tarfile
import threading
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import archive, manifest, process
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.reading import Collector
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._redact import redact

Expired = t.Callable[[t.List[manifest.Manifest]], t.List[manifest.Manifest]]

_CLEANUP_SECONDS = 60.0
_STALE = datetime.timedelta(days=1)  # longer than any upload that somebody else may be at
_OURS = re.compile(r"(?P<stem>\w+-(?P<time>\d{8}T\d{6}Z)-[0-9a-f]{6})\.(?:dump|globals)\b.*")
# A section of the configuration, or a folder (of a mounted share). What rclone knows besides, a connection string,
# may hold a password.
_REMOTE = re.compile(r"\w[\w.+@ -]*:[^\n]*|/[^\n]*")
_NO_FOLDER = 3  # rclone's status
_NOTHING = (0, "(there is no such file)")
_TAG = "tria.production/pg_backup"
_REMEDIES = {
    "didn't find section in config file": "Name a remote that the configuration has.",
    "wrong password or no key found": "Check password_file.",
    "Is there a repository": "Check the repository and its credentials; make a new one, once, with: restic init",
    "nauthorized": "Check the credentials.",
    "orbidden": "Check the credentials and what they allow.",
    "permission denied": "Check the credentials and what they allow.",
    "nsufficient": "Free space there, or keep fewer backups.",
    "o space left": "Free space there, or keep fewer backups.",
    "onnection refused": "Check that the server runs and can be reached.",
    "no such host": "Check the server's name.",
    "i/o timeout": "Check that the server runs and can be reached.",
    "already locked": "Wait until the other run has finished.",
}


class Copy(abc.ABC):
    """One place off the host. `options` is an element of the module's `copies`."""

    program = ""
    complete = False  # whether the backup is there, and verified

    def __init__(self, options: dict[str, t.Any], deadline: Deadline) -> None:
        self.name = f"copy {options['name']}"
        self.deadline = deadline
        secrets = {name: str(value) for name, value in (options["secret_env"] or {}).items()}
        self._secrets = list(secrets.values())
        self._given = {**{name: str(value) for name, value in (options["env"] or {}).items()}, **secrets}
        for name in ("config", "password_file"):
            if options[name] and not os.access(options[name], os.R_OK):
                raise ProductionError(self.name, f"{name} {options[name]} cannot be read.", "Check the path.")
        if options["config"]:
            self._given["RCLONE_CONFIG"] = options["config"]

    @abc.abstractmethod
    def put(self, folder: str, record: manifest.Manifest) -> None:
        """Uploads the backup and reads all of it back; what is there afterwards is complete, or an error is raised."""

    @abc.abstractmethod
    def backups(self, known: dict[str, manifest.Manifest]) -> list[manifest.Manifest]:
        """The complete backups there. Manifests of dumps that are among the `known` ones are not downloaded."""

    @abc.abstractmethod
    def remove(self, records: list[manifest.Manifest]) -> None:
        """Takes backups away, whole or not, and what is left of uploads that were killed."""

    def _run(
        self, argv: list[str], feed: list[str] | None = None, sink: t.Any = None, allowed: t.Container[int] = (0,)
    ) -> int:
        """Runs the program, with the lines of `feed`; returns its status, which is one that is `allowed`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RCLONE_", "RESTIC_"))}
        defaults = {"RCLONE_ASK_PASSWORD": "false", "RCLONE_CONTIMEOUT": "15s", "RCLONE_TIMEOUT": "60s"}
        lines = None if feed is None else [f"{line}\n".encode("utf-8") for line in feed]
        environment = {**inherited, **defaults, **self._given}
        try:
            status, said = process.run([self.program] + argv, environment, self.deadline, lines, sink)
        except FileNotFoundError as exc:
            remedy = f"Install the package {self.program}."
            raise ProductionError(self.program, "is not installed on this host.", remedy) from exc
        if status in allowed:
            return status
        said = redact(said, self._secrets)
        remedy = next((each for words, each in _REMEDIES.items() if words in said), "See what it says.")
        verb = next(each for each in argv if not each.startswith("-"))
        raise ProductionError(
            self.name, f"{self.program} {verb} ended with status {status}: {' '.join(said.split())}.", remedy
        )

    def _text(self, argv: list[str]) -> bytes:
        output = Collector()
        self._run(argv, sink=output.write)
        return output.data

    def _compare(self, each: manifest.File, found: tuple[int, str]) -> None:
        """Raises `ProductionError` when what came back, by its size and SHA-256, is not the file that is here."""
        if found != (each.size_bytes, each.sha256):
            raise ProductionError(
                self.name,
                f"{each.file} came back as {found[0]} bytes with SHA-256 {found[1]}, here it has {each.size_bytes}"
                f" with {each.sha256}.",
                "Check the storage there, and the disk here.",
            )


class Rclone(Copy):
    """A folder of a remote of rclone's configuration."""

    program = "rclone"

    def __init__(self, options: dict[str, t.Any], deadline: Deadline) -> None:
        super().__init__(options, deadline)
        self._remote = options["rclone"]
        if not _REMOTE.fullmatch(self._remote):
            raise ProductionError(
                self.name, "rclone is not <remote>:<path> or a folder.", "Put the remote into a configuration file."
            )

    def put(self, folder: str, record: manifest.Manifest) -> None:
        commit = _manifest_file(folder, record)
        for files in (record.files, [commit]):
            names = [each.file for each in files]
            self._run(["copy", "--ignore-times", folder, self._remote, "--files-from-raw=-"], feed=names)
            for each in files:
                self._compare(each, self._digest(each.file))

    def backups(self, known: dict[str, manifest.Manifest]) -> list[manifest.Manifest]:
        sizes, found = self._sizes(), []
        for name in filter(_is_manifest, sizes):
            record = known.get(name[: -len(manifest.SUFFIX)]) or _parsed(self._text(["cat", self._path(name)]))
            if record and all(sizes.get(each.file) == each.size_bytes for each in record.files):
                found.append(record)
        return found

    def remove(self, records: list[manifest.Manifest]) -> None:
        names = self._sizes()
        files = [each.file for record in records for each in record.files] + _stale(names)
        for some in ([record.dump.file + manifest.SUFFIX for record in records], files):
            gone = [name for name in some if name in names]
            if gone:
                self._run(["delete", self._remote, "--files-from-raw=-"], feed=gone)
            for folder in sorted({os.path.dirname(name) for name in gone} - {""}):  # of a dump in directory format
                self._run(["rmdir", self._path(folder)])

    def _sizes(self) -> dict[str, int]:
        """Size in bytes of every file there, by its path."""
        argv = ["lsjson", "--recursive", "--files-only", "--no-modtime", "--no-mimetype", self._remote]
        listed = Collector()
        status = self._run(argv, sink=listed.write, allowed=(0, _NO_FOLDER))
        return {} if status else {each["Path"]: each["Size"] for each in json.loads(listed.data)}

    def _digest(self, name: str) -> tuple[int, str]:
        with open(os.devnull, "wb") as nothing:
            meter = archive.Meter(nothing)
            self._run(["cat", self._path(name)], sink=meter.write)
        return meter.size, meter.sha256

    def _path(self, name: str) -> str:
        return self._remote + ("" if self._remote.endswith((":", "/")) else "/") + name


class Restic(Copy):
    """A repository of restic; the snapshot of a backup has the name of its dump as a tag."""

    program = "restic"

    def __init__(self, options: dict[str, t.Any], deadline: Deadline) -> None:
        super().__init__(options, deadline)
        self._listed: list[dict[str, t.Any]] | None = None  # its snapshots, once they were asked for
        self._given["RESTIC_REPOSITORY"] = options["restic"]  # its address may hold a password
        if options["password_file"]:
            self._given["RESTIC_PASSWORD_FILE"] = options["password_file"]

    def put(self, folder: str, record: manifest.Manifest) -> None:
        self._restic("unlock")  # what a killed run left, nobody else's
        files = record.files + [_manifest_file(folder, record)]
        paths = [os.path.join(folder, each.file) for each in files]
        self._listed = None
        self._restic("backup", "--quiet", f"--tag={_TAG}", f"--tag={record.dump.file}", *paths)
        made = [each["id"] for each in self._snapshots() if record.dump.file in each["tags"]]
        if not made:
            raise ProductionError(self.name, "the snapshot that was made is not there.", "See restic snapshots.")
        found = self._digests(made[-1], folder)
        for each, path in zip(files, paths):
            self._compare(each, found.get(path, _NOTHING))

    def backups(self, known: dict[str, manifest.Manifest]) -> list[manifest.Manifest]:
        found = []
        for each in self._snapshots():
            path = next((path for path in each["paths"] if path.endswith(manifest.SUFFIX)), "")
            dump = os.path.basename(path)[: -len(manifest.SUFFIX)]
            record = known.get(dump) or (_parsed(self._restic("dump", each["id"], path)) if path else None)
            if record:
                found.append(record)
        return found

    def remove(self, records: list[manifest.Manifest]) -> None:
        dumps = {record.dump.file for record in records}
        gone = [each["id"] for each in self._snapshots() if dumps & set(each["tags"])] if dumps else []
        if gone:
            self._listed = None
            self._restic("forget", "--quiet", "--prune", *gone)
            self._restic("check", "--quiet")  # of what is left, packs were written anew

    def _digests(self, snapshot: str, folder: str) -> dict[str, tuple[int, str]]:
        """Size and SHA-256 of every file of a snapshot below `folder`, by its path, of what the repository gives."""
        with Unpacked() as unpacked:
            self._run(["--no-cache", "dump", snapshot, folder], sink=unpacked.write)
        return {f"/{name}": digest for name, digest in unpacked.digests.items()}

    def _snapshots(self) -> list[dict[str, t.Any]]:
        if self._listed is None:
            self._listed = json.loads(self._restic("snapshots", "--json", f"--tag={_TAG}")) or []
        return self._listed

    def _restic(self, *argv: str) -> bytes:
        return self._text(["--no-cache", *argv])  # what is compared comes from there


class Unpacked:
    """What a tar stream that is written to it holds; complete when the block is left."""

    def __init__(self) -> None:
        self.digests: dict[str, tuple[int, str]] = {}
        reader, writer = os.pipe()
        self._reader, self._writer = os.fdopen(reader, "rb"), os.fdopen(writer, "wb")
        self._thread = threading.Thread(target=self._unpack)

    def __enter__(self) -> Unpacked:
        self._thread.start()
        return self

    def __exit__(self, *_exc: t.Any) -> None:
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def _unpack(self) -> None:
        try:
            with tarfile.open(fileobj=self._reader, mode="r|") as tar:
                for member in tar:
                    content = tar.extractfile(member)
                    if content is not None:
                        self.digests[member.name] = archive.digest_of(content)
        except (tarfile.TarError, EOFError):
            return  # what did not arrive as a whole is missing
        finally:
            while self._reader.read(process.CHUNK):  # who writes is not held up
                continue


def make(
    wanted: list[dict[str, t.Any]], folder: str, known: list[manifest.Manifest], expired: Expired, deadline: Deadline
) -> tuple[list[dict[str, t.Any]], list[ProductionError]]:
    """Copies the last of the backups `known` here to every place that is wanted, and applies retention there.

    `expired` says which of the older ones there are no longer kept. Returns what is said of each copy, and what failed;
    one that fails does not keep the others from being made.
    """
    said, failures, record = [], [], known[-1]
    for options in wanted:
        started, copy = time.monotonic(), None
        try:
            copy = _of(options, deadline)
            copy.put(folder, record)
            copy.complete = True
            result = _retained(copy, known, expired)
            copy.remove(result.pop("expired"))
        except (ProductionError, process.TimedOut, process.Interrupted) as exc:
            failures.append(_failure(options, copy, record, exc))
            result = {"name": options["name"], "error": failures[-1].cause}
            if isinstance(exc, process.Interrupted):
                return said + [result], failures
        said.append({**result, "duration_s": round(time.monotonic() - started, 3)})
    return said, failures


def failure(failed: list[ProductionError], result: dict[str, t.Any]) -> ProductionError:
    """All that failed, as one error that also says that the backup here is complete."""
    first = failed[0]
    causes = [first.cause] + [f"{each.culprit}: {each.cause}" for each in failed[1:]]
    causes.append(f"The backup on this host is complete: {result['backup']['path']}")
    return ProductionError(first.culprit, " ".join(causes), first.remedy, **result)


def preview(
    wanted: list[dict[str, t.Any]], known: list[manifest.Manifest], expired: Expired, deadline: Deadline
) -> list[dict[str, t.Any]]:
    """What `make` would say, from what is there now; raises `ProductionError` when a place cannot be reached."""
    said = [_retained(_of(options, deadline), known, expired) for options in wanted]
    return [{name: value for name, value in each.items() if name != "expired"} for each in said]


def _of(options: dict[str, t.Any], deadline: Deadline) -> Copy:
    return Rclone(options, deadline) if options["rclone"] else Restic(options, deadline)


def _retained(copy: Copy, known: list[manifest.Manifest], expired: Expired) -> dict[str, t.Any]:
    record = known[-1]
    older = [
        each
        for each in copy.backups({each.dump.file: each for each in known})
        if (each.source, each.dbname) == (record.source, record.dbname) and each.dump.file != record.dump.file
    ]
    gone = expired(sorted(older, key=lambda each: (each.created_at, each.dump.file)))
    return {
        "name": copy.name.partition(" ")[2],
        "backups": len(older) + 1 - len(gone),
        "deleted": [each.dump.file for each in gone],
        "expired": gone,
    }


def _failure(
    options: dict[str, t.Any], copy: Copy | None, record: manifest.Manifest, error: Exception
) -> ProductionError:
    """What is said of a copy that failed, after what was uploaded of it was taken back."""
    if not isinstance(error, ProductionError):
        slow = isinstance(error, process.TimedOut)
        remedy = "Raise timeout, or see what slows the upload down." if slow else "Run it again."
        error = ProductionError(f"copy {options['name']}", f"{error}.", remedy)
    if copy is None or copy.complete:
        return error
    copy.deadline = Deadline(_CLEANUP_SECONDS)
    try:
        copy.remove([record])
    except (ProductionError, process.TimedOut):
        left = "what was uploaded may be left there"
        return ProductionError(error.culprit, f"{error.cause.rstrip('.')}; {left}.", error.remedy)
    return error


def _manifest_file(folder: str, record: manifest.Manifest) -> manifest.File:
    name = record.dump.file + manifest.SUFFIX
    return manifest.File(name, *archive.digest(os.path.join(folder, name)))


def _is_manifest(name: str) -> bool:
    return name.endswith(manifest.SUFFIX) and _OURS.fullmatch(name) is not None and "/" not in name


def _parsed(raw: bytes) -> manifest.Manifest | None:
    try:
        return manifest.parse(raw)
    except manifest.NoManifest:
        return None  # somebody else's file


def _stale(names: t.Iterable[str]) -> list[str]:
    """Files of backups that never got their manifest, old enough to be nobody's upload."""
    complete = {match["stem"] for match in map(_OURS.fullmatch, names) if match and _is_manifest(match[0])}
    now = datetime.datetime.now(datetime.timezone.utc)
    stale = []
    for match in map(_OURS.fullmatch, names):
        if match and match["stem"] not in complete:
            made = datetime.datetime.strptime(f"{match['time']}+0000", "%Y%m%dT%H%M%SZ%z")
            stale += [match[0]] if now - made > _STALE else []
    return stale
