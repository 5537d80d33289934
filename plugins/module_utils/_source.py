# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder of the controller as one archive, with hashes that say whether anything changed. Private to the collection."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import fnmatch
import glob
import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic, _dockerignore, _redact
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

ARCHIVES_KEPT = 3
_IN_USE = 86400.0  # s since an archive was last asked for
_DIGITS = 20  # of the hash in the name of an archive
_GLIBC_MINORS = range(17, 37)  # manylinux_2_17 … manylinux_2_36: what Debian 12 and newer can run


@dataclasses.dataclass(frozen=True)
class Entry:
    """One file or link: its path in the archive, where it is read from, and whether it is executable."""

    name: str
    path: str
    executable: bool
    link: str = ""

    def digest(self) -> bytes:
        """A hash of everything the archive holds of this entry, its name aside."""
        digest = hashlib.sha256(os.fsencode(f"{int(self.executable)}{self.link}\0"))
        if not self.link:
            with open(self.path, "rb") as stream:
                for block in iter(lambda: stream.read(1 << 20), b""):
                    digest.update(block)
        return digest.digest()


def list_entries(folder: str, prefix: str = "", exclude: t.Iterable[str] = ()) -> list[Entry]:
    """Every file and link below `folder`, sorted by name; folders and files whose name matches `exclude` are left out.

    Sockets, pipes and devices are left out as well.
    """
    exclude = tuple(exclude)
    found = []
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        folders[:] = [name for name in folders if name not in links and not _matches(name, exclude)]
        for name in files + links:
            if _matches(name, exclude):
                continue
            path = os.path.join(parent, name)
            mode = os.lstat(path).st_mode
            relative = os.path.normpath(os.path.join(prefix, os.path.relpath(path, folder)))
            if stat.S_ISLNK(mode):
                found.append(Entry(relative, path, False, os.readlink(path)))
            elif stat.S_ISREG(mode):
                found.append(Entry(relative, path, bool(mode & stat.S_IXUSR)))
    return sorted(found, key=lambda entry: entry.name)


def _matches(name: str, patterns: t.Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def tree_hash(digests: dict[str, bytes], context: str = ".") -> str:
    """The hash of the entries below `context`, from their `digests` by name; raises `ProductionError` when there are none."""
    prefix = "" if os.path.normpath(context) == "." else os.path.normpath(context) + "/"
    whole = hashlib.sha256()
    inside = [name for name in sorted(digests) if name.startswith(prefix)]
    if not inside:
        raise ProductionError(context, "holds no file to deploy.", "Check the path of the build context.")
    for name in inside:
        whole.update(os.fsencode(name[len(prefix) :]) + b"\0" + digests[name])
    return whole.hexdigest()


def pack(
    src: str,
    cache: str,
    contexts: t.Iterable[str] = (),
    exclude: t.Iterable[str] = (),
    wheels: t.Iterable[dict[str, t.Any]] = (),
    write: bool = True,
) -> dict[str, t.Any]:
    """Pack `src` into `cache`; the same content gives the same archive, which is then not written again.

    Returns `archive`, `sha256` of the whole tree, `contexts` {path: sha256 of what a build sees}, `files` {path: sha256
    of what no build sees} and `changed`. Each of `wheels` is {requirements, dest, python_version, architecture}, paths
    being relative to `src`. Raises `ProductionError`, `OSError`.
    """
    if not os.path.isdir(src):
        raise ProductionError(src, "is not a folder.", "Set it to the folder that holds the Compose file.")
    entries = list_entries(src, exclude=exclude)
    for wheel_set in wheels:
        entries += list_entries(fetch_wheels(src, cache, wheel_set), prefix=wheel_set["dest"])
    digests = {entry.name: entry.digest() for entry in entries}
    sha256 = tree_hash(digests)
    built = {os.path.normpath(context): _seen_by_build(src, context, digests) for context in contexts}
    archive = os.path.join(cache, f"{os.path.basename(os.path.abspath(src))}-{sha256[:_DIGITS]}.tar")
    missing = not os.path.exists(archive)
    if write:
        with _alone(cache):  # one process for each host of the play packs the same folder, and other plays theirs
            if os.path.exists(archive):
                os.utime(archive)
            else:
                _write_archive(archive, entries, digests)
                _prune(archive)
    return {
        "archive": archive,
        "sha256": sha256,
        "contexts": {context: tree_hash(seen, context) for context, seen in built.items()},
        "files": {name: digests[name].hex() for name in sorted(set(digests).difference(*built.values()))},
        "changed": missing,
    }


def _seen_by_build(src: str, context: str, digests: dict[str, bytes]) -> dict[str, bytes]:
    """The `digests` that an image built from `context` can hold anything of.

    The file that BuildKit prefers to `.dockerignore` depends on the Dockerfile: where there is one, everything counts.
    """
    folder = os.path.normpath(context)
    prefix = "" if folder == "." else folder + "/"
    inside = {name: digest for name, digest in digests.items() if name.startswith(prefix)}
    ignore = _dockerignore.read(os.path.join(src, prefix, _dockerignore.NAME))
    others = any(name.endswith(_dockerignore.NAME) and os.path.basename(name) != _dockerignore.NAME for name in inside)
    if ignore is None or others:
        return inside
    return {name: digest for name, digest in inside.items() if not ignore.leaves_out(name[len(prefix) :])}


def _write_archive(archive: str, entries: list[Entry], digests: dict[str, bytes]) -> None:
    """Owners and modes are levelled, and times follow the content, so that equal content is an equal archive.

    With the same time everywhere, BuildKit would take a changed file of the same size for the one it already knows: it
    looks at names, sizes and times of a context, even when it builds without a cache.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=".partial-", dir=os.path.dirname(archive))
    try:
        with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
            for entry in sorted(entries, key=lambda each: each.name):
                info = tarfile.TarInfo(entry.name)
                info.mode = 0o755 if entry.executable else 0o644
                info.mtime = int.from_bytes(digests[entry.name][:4], "big") >> 2  # 1970 to 2004: never in the future
                if entry.link:
                    info.type, info.linkname = tarfile.SYMTYPE, entry.link
                    tar.addfile(info, io.BytesIO())
                else:
                    info.size = os.path.getsize(entry.path)
                    with open(entry.path, "rb") as content:
                        tar.addfile(info, content)
        os.replace(temporary, archive)
    except BaseException:
        os.unlink(temporary)
        raise
    _atomic.sync_folder(os.path.dirname(archive))


@contextlib.contextmanager
def _alone(cache: str) -> t.Iterator[None]:
    """Nobody else writes to the cache meanwhile."""
    os.makedirs(cache, mode=0o700, exist_ok=True)
    with open(os.path.join(cache, ".lock"), "w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _prune(archive: str) -> None:
    """Removes older archives of the same folder, but none that a play which still runs may have packed."""
    unused = time.time() - _IN_USE
    siblings = glob.glob(glob.escape(archive[: -len("0" * _DIGITS + ".tar")]) + "[0-9a-f]" * _DIGITS + ".tar")
    for old in sorted(siblings, key=os.path.getmtime, reverse=True)[ARCHIVES_KEPT:]:
        if os.path.getmtime(old) < unused:
            os.unlink(old)


def fetch_wheels(src: str, cache: str, wheel_set: dict[str, t.Any]) -> str:
    """The folder with the wheels of a requirements file, downloaded once for each content of that file.

    Built images install from it, so that no build needs a network.
    """
    requirements = os.path.join(src, wheel_set["requirements"])
    version, architecture = wheel_set["python_version"], wheel_set["architecture"]
    try:
        with open(requirements, "rb") as stream:
            content = stream.read()
    except OSError as exc:
        raise ProductionError(requirements, f"cannot be read: {exc.strerror}.", "Correct the list of wheels.") from exc
    key = hashlib.sha256(content + f"\0{version}\0{architecture}".encode()).hexdigest()[:20]
    folder = os.path.join(cache, f"wheels-{key}")
    with _alone(cache):
        if os.path.isdir(folder):
            return folder
        partial = tempfile.mkdtemp(prefix=".partial-wheels-", dir=cache)
        try:
            _pip_download(requirements, partial, version, architecture)
            os.rename(partial, folder)
        except BaseException:
            shutil.rmtree(partial)
            raise
    return folder


def _pip_download(requirements: str, dest: str, version: str, architecture: str) -> None:
    tags = ["manylinux2014"] + [f"manylinux_2_{minor}" for minor in _GLIBC_MINORS]
    platforms = [f"--platform={tag}_{architecture}" for tag in tags]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    command += [f"--python-version={version}", f"--dest={dest}", f"--requirement={requirements}"]
    done = subprocess.run(command + platforms, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProductionError(
            requirements,
            "its wheels could not be fetched: " + _redact.redact(" ".join(done.stderr.strip().splitlines()[-3:])),
            "Check the pins and the controller's access to its package index.",
        )
