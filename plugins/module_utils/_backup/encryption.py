# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a backup encrypted with age(1) as they are written, and read back. Private to the collection.

Nothing unencrypted is ever on the disk. Each run encrypts to a key pair of its own besides: with that, what is on the
disk is decrypted and verified where none of the recipients' identities is. It is in memory only and ends with the run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import archive
from ansible_collections.tria.production.plugins.module_utils._backup.manifest import File, Manifest
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

SUFFIX = ".age"
_SECRET = re.compile(r"AGE-SECRET-KEY-\S+", re.IGNORECASE)
_ADVICE = re.compile(r"^age: report unexpected.*$|^age: (?:error: )?", re.MULTILINE)


class Key:
    """What decrypts: an identity in memory, or the file of some."""

    def __init__(self, identity: bytes = b"", path: str = "") -> None:
        self._identity = identity
        self._path = path

    @contextlib.contextmanager
    def opened(self, path: str) -> t.Iterator[t.Any]:
        """The file's content, decrypted, as a binary stream. Raises `archive.Damaged` and `ProductionError`.

        What was changed or cut is only known where the stream meets it: age authenticates block by block, and a stream
        is good when its end was read and the block left.
        """
        with contextlib.ExitStack() as stack:
            source, inherited = stack.enter_context(open(path, "rb")), []
            identity = self._path
            if self._identity:
                inherited = [_pipe_with(self._identity)]
                stack.callback(os.close, inherited[0])
                identity = f"/dev/fd/{inherited[0]}"  # neither a file nor a command line holds it
            argv = ["age", "--decrypt", "--identity", identity]
            process = stack.enter_context(_started(argv, stdin=source, stdout=subprocess.PIPE, pass_fds=inherited))
            yield process.stdout
            if process.stdout.read(1):
                return  # who reads has seen enough
            said = _words(process)
            if process.wait():
                raise self._failure(path, said)

    def _failure(self, path: str, said: str) -> Exception:
        if self._path and "no identity matched" in said:
            remedy = "Give the file of an identity of one of its recipients; the manifest names them."
            return ProductionError(self._path, f"does not decrypt {path}: {said}.", remedy)
        if self._path and f'reading "{self._path}"' in said:
            return ProductionError(self._path, f"cannot be used: {said}.", "Give a file of age identities.")
        return archive.Damaged(f"cannot be decrypted: {said}")


class Cipher:
    """Encrypts to `recipients` (public keys of age or SSH), and leaves everything as it is when there are none."""

    def __init__(self, recipients: t.Sequence[str]) -> None:
        """Raises `ProductionError` when age is not there, or one of the recipients is none."""
        self.key: Key | None = None
        self.suffix = ""
        self._argv = ["age", "--encrypt"]
        if not recipients:
            return
        if any(_SECRET.search(each) for each in recipients):
            raise ProductionError(
                "age_recipients", "holds a secret key.", "Give its public key (age-keygen -y); consider it known."
            )
        identity = _output(["age-keygen"])
        own = re.search(rb"^# public key: (\S+)$", identity, re.MULTILINE)
        if own is None:
            raise ProductionError("age-keygen", "printed no key pair.", "Install the package age of the distribution.")
        self.key, self.suffix = Key(identity), SUFFIX
        for each in [own[1].decode("ascii"), *recipients]:
            self._argv += ["--recipient", each]
        _output(self._argv)

    @contextlib.contextmanager
    def encrypting(self, file: t.Any) -> t.Iterator[t.Any]:
        """Something to write to, whose content gets into `file` encrypted, all of it when the block is left."""
        if self.key is None:
            yield file
            return
        with _started(self._argv, stdin=subprocess.PIPE, stdout=file) as process:
            try:
                yield process.stdin
                process.stdin.close()
            except BrokenPipeError as exc:
                raise self._failure(process, file) from exc
            if process.wait():
                raise self._failure(process, file)

    def _failure(self, process: subprocess.Popen[bytes], file: t.Any) -> Exception:
        process.wait()
        said = _words(process)
        if os.strerror(errno.ENOSPC).lower() in said.lower():
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return ProductionError("age", f"ended with status {process.returncode}: {said}", "See what it says.")

    def recorded(self, path: str, plain: File) -> File:
        """What the manifest says of the file at `path`, whose content before encryption `plain` describes."""
        if self.key is None:
            return plain
        size, sha256 = archive.digest(path)
        return File(plain.file, size, sha256, plain.size_bytes, plain.sha256)


def key_for(record: Manifest, path: str, identity_file: str | None) -> Key | None:
    """What opens the backup whose dump is at `path`; None when it is not encrypted.

    Raises `ProductionError` when that is not what `identity_file` holds, and `archive.Damaged`.
    """
    if not record.age_recipients:
        return None
    words = f"is encrypted to {', '.join(record.age_recipients)}"
    if not identity_file:
        raise ProductionError(
            path, f"{words}.", "Give age_identity_file, a file on this host with the identity of one of them."
        )
    if not os.access(identity_file, os.R_OK):
        remedy = "Check the path of age_identity_file, on this host."
        raise ProductionError(identity_file, f"cannot be read; {path} {words}.", remedy)
    key = Key(path=identity_file)
    with key.opened(path) as stream:
        stream.read(1)
    return key


def chunks(path: str, compression: str, key: Key | None) -> t.Iterator[bytes]:
    """The archive inside a file that `key` opens, in pieces of at most 1 MiB; raises `archive.Damaged`."""
    with key.opened(path) if key else open(path, "rb") as file:
        yield from archive.decompressed(file, compression)


def checked_chunks(
    path: str, compression: str, file: File, archive_bytes: int, key: Key | None
) -> t.Iterator[bytes]:
    """As `archive.checked_chunks` of what the manifest calls `file`, encrypted or not.

    Of an encrypted one every byte is compared twice, as it is on the disk and as it was before it was encrypted.
    """
    if key is None or file.plain_size_bytes is None or file.plain_sha256 is None:
        yield from archive.checked_chunks(path, compression, file.size_bytes, file.sha256, archive_bytes)
        return
    archive.require_same(archive.digest(path), (file.size_bytes, file.sha256))
    with key.opened(path) as stream:
        plain = (file.plain_size_bytes, file.plain_sha256)
        yield from archive.checked_stream(stream, compression, plain, archive_bytes)


@contextlib.contextmanager
def _started(argv: list[str], **options: t.Any) -> t.Iterator[subprocess.Popen[bytes]]:
    """A program that is ended, at the latest, when the block is left."""
    try:
        process = subprocess.Popen(argv, stderr=subprocess.PIPE, start_new_session=True, **options)
    except FileNotFoundError as exc:
        raise ProductionError(argv[0], "is not installed on this host.", "Install the package age.") from exc
    try:
        yield process
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what it did not take, it was told of
                    pipe.close()
        process.wait()


def _output(argv: list[str]) -> bytes:
    """What a program prints that is given nothing; raises `ProductionError`."""
    with _started(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        output, said = process.communicate()
    if process.returncode:
        raise ProductionError("age_recipients", f"are refused: {_clean(said)}", "Give public keys of age or SSH.")
    return output


def _pipe_with(data: bytes) -> int:
    """The reading end of a pipe that holds `data`, less than a pipe takes."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(data)
    return reader


def _words(process: subprocess.Popen[bytes]) -> str:
    return _clean(process.stderr.read())


def _clean(said: bytes) -> str:
    text = _ADVICE.sub("", _SECRET.sub("AGE-SECRET-KEY-…", said.decode("utf-8", "replace")))
    return " ".join(text.split()) or "it said nothing"
