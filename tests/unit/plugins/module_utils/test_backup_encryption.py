# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encryption around a stand-in for age, which mixes up bytes and authenticates nothing; the real one has tests, too."""

from __future__ import annotations

import hashlib
import os
import pathlib
import random
import time
import typing as t

import pytest

from ansible_collections.tria.production.plugins.module_utils._backup import archive, encryption, manifest
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

CONTENT = random.Random(1).randbytes(300_000) + b"abc" * 100_000
FLIP = "tr '\\000-\\377' '\\200-\\377\\000-\\177'"
TOOLS = {
    "age-keygen": "echo '# public key: age1own'; echo AGE-SECRET-KEY-1OWN",
    "age": f"""printf '%s\\n' "$*" >> "$0.asked"
        case "$*" in *--decrypt*) cat "$3" > "$0.identity"; exec {FLIP};; *) exec {FLIP};; esac""",
}


@pytest.fixture(name="tools")
def tools_fixture(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., pathlib.Path]:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(**scripts: str) -> pathlib.Path:
        for name, script in {**TOOLS, **scripts}.items():
            (folder / name).write_text(f"#!/bin/sh\nexport LC_ALL=C\n{script}\n")
            (folder / name).chmod(0o755)
        return folder

    make()
    return make


def write(path: pathlib.Path, cipher: encryption.Cipher) -> tuple[manifest.File, int]:
    with open(path, "wb") as file, cipher.encrypting(file) as target:
        writer = archive.Writer(target, "zstd", 1)
        writer.write(CONTENT)
        writer.finish()
    plain = manifest.File(path.name, writer.size_bytes, writer.sha256)
    return cipher.recorded(str(path), plain), writer.archive_bytes


def read(path: pathlib.Path, file: manifest.File, key: encryption.Key | None) -> bytes:
    return b"".join(encryption.checked_chunks(str(path), "zstd", file, len(CONTENT), key))


def record_of(file: manifest.File, recipients: list[str]) -> manifest.Manifest:
    fields = dict.fromkeys(manifest.Manifest.__dataclass_fields__, "")
    return manifest.Manifest(**{**fields, "dump": file, "age_recipients": recipients})


def test_nothing_is_encrypted_unless_it_is_wanted(tmp_path: pathlib.Path) -> None:
    cipher = encryption.Cipher([])
    file, _size = write(tmp_path / "dump", cipher)
    assert (cipher.suffix, cipher.key, file.plain_sha256) == ("", None, None)
    assert read(tmp_path / "dump", file, None) == CONTENT
    assert encryption.key_for(record_of(file, []), "dump", None) is None


def test_what_was_encrypted_is_read_back_from_the_disk(tools: t.Any, tmp_path: pathlib.Path) -> None:
    cipher = encryption.Cipher(["age1theirs", "ssh-ed25519 AAAA them@there"])
    path = tmp_path / "dump"
    file, size = write(path, cipher)
    raw = path.read_bytes()
    assert (file.size_bytes, file.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert file.plain_sha256 not in (None, file.sha256) and file.content_bytes == file.plain_size_bytes
    assert read(path, file, cipher.key) == CONTENT and size == len(CONTENT)
    assert b"".join(encryption.chunks(str(path), "zstd", cipher.key)) == CONTENT
    asked = (tools() / "age.asked").read_text()
    assert "--encrypt --recipient age1own --recipient age1theirs --recipient ssh-ed25519 AAAA them@there\n" in asked
    assert "AGE-SECRET-KEY-1OWN" in (tools() / "age.identity").read_text()  # it got the run's own identity,
    assert "--decrypt" in asked and "SECRET" not in asked  # not on its command line


@pytest.mark.parametrize("damage", ["flip", "truncate", "append", "empty"])
def test_damage_on_the_disk(tools: t.Any, tmp_path: pathlib.Path, damage: str) -> None:
    cipher = encryption.Cipher(["age1theirs"])
    path = tmp_path / "dump"
    file, _size = write(path, cipher)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= damage == "flip"
    kept = {"flip": raw, "truncate": raw[:100_000], "append": raw + b"x", "empty": b""}[damage]
    path.write_bytes(kept)
    with pytest.raises(archive.Damaged, match="SHA-256 .* was read"):
        read(path, file, cipher.key)


def test_another_content_than_was_encrypted(tools: t.Any, tmp_path: pathlib.Path) -> None:
    cipher = encryption.Cipher(["age1theirs"])
    path = tmp_path / "dump"
    file, _size = write(path, cipher)
    tools(age=TOOLS["age"].replace(f"exec {FLIP}", f"{FLIP} | head -c 200000", 1))
    with pytest.raises(archive.Damaged):
        read(path, file, cipher.key)


@pytest.mark.parametrize(
    ("words", "expected", "culprit"),
    [
        ("no identity matched any of the recipients", ProductionError, "does not decrypt"),
        ('reading \\"$3\\": unknown identity type', ProductionError, "cannot be used"),
        ("failed to decrypt and authenticate payload chunk", archive.Damaged, "cannot be decrypted: failed to decrypt"),
    ],
)
def test_what_age_says_is_told(
    tools: t.Any, tmp_path: pathlib.Path, words: str, expected: type[Exception], culprit: str
) -> None:
    file, _size = write(tmp_path / "dump", encryption.Cipher(["age1theirs"]))
    tools(age=f'echo "age: error: {words}" >&2; echo "age: report unexpected or unhelpful errors at x" >&2; exit 1')
    (tmp_path / "identity").touch()
    with pytest.raises(expected, match=culprit) as caught:
        encryption.key_for(record_of(file, ["age1theirs"]), str(tmp_path / "dump"), str(tmp_path / "identity"))
    assert "report unexpected" not in str(caught.value)


def test_an_identity_is_asked_for(tmp_path: pathlib.Path) -> None:
    record = record_of(manifest.File("dump", 1, "0", 1, "1"), ["age1theirs"])
    with pytest.raises(ProductionError, match="dump: is encrypted to age1theirs. Remedy: Give age_identity_file"):
        encryption.key_for(record, "dump", None)
    with pytest.raises(ProductionError, match="gone: cannot be read; dump is encrypted to age1theirs"):
        encryption.key_for(record, "dump", str(tmp_path / "gone"))


def test_age_that_ends_too_early(tools: t.Any, tmp_path: pathlib.Path) -> None:
    cipher = encryption.Cipher(["age1theirs"])
    for script in ("head -c 10; echo broken >&2; exit 3", "cat > /dev/null; echo broken >&2; exit 3"):
        tools(age=script)
        with pytest.raises(ProductionError, match="ended with status 3: broken"):
            write(tmp_path / "dump", cipher)
    tools(age="echo 'write: no space left on device' >&2; exit 1")
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "dump", cipher)


def test_recipients_that_are_none(tools: t.Any) -> None:
    tools(age='echo "age: error: malformed recipient AGE-SECRET-KEY-1OOPS" >&2; exit 1')
    with pytest.raises(ProductionError, match="age_recipients: are refused: malformed recipient AGE-SECRET-KEY-…"):
        encryption.Cipher(["nobody"])
    with pytest.raises(ProductionError, match="holds a secret key") as caught:
        encryption.Cipher(["age-secret-key-1mistaken"])
    assert "mistaken" not in str(caught.value)


def test_no_age(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProductionError, match="age-keygen: is not installed.*Install the package age"):
        encryption.Cipher(["age1theirs"])


def test_no_program_is_left_behind(tools: t.Any, tmp_path: pathlib.Path) -> None:
    cipher = encryption.Cipher(["age1theirs"])
    path = tmp_path / "dump"
    write(path, cipher)
    started = []
    begin = encryption.subprocess.Popen

    def note(*args: t.Any, **kwargs: t.Any) -> t.Any:
        started.append(begin(*args, **kwargs))
        return started[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encryption.subprocess, "Popen", note)
        chunks = encryption.chunks(str(path), "none", cipher.key)
        next(chunks)
        chunks.close()
        with pytest.raises(ZeroDivisionError), open(path, "wb") as file, cipher.encrypting(file) as target:
            target.write(b"x" * (1 << 20))
            raise ZeroDivisionError
        tools(age="trap '' PIPE; exec sleep 60")
        begun = time.monotonic()
        with pytest.raises(ProductionError), cipher.key.opened(str(path)):
            raise ProductionError("somebody", "does not read any more")
        assert time.monotonic() - begun < 30
    assert len(started) == 3 and all(each.returncode is not None for each in started)
