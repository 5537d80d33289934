# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encrypted backups with the real age: what is on the disk, what comes back, and every fault on the way."""

from __future__ import annotations

import glob
import json
import os
import pathlib
import random
import shutil
import subprocess
import typing as t

import pytest
from ansible_collections.tria.production.plugins.module_utils._backup import archive, encryption, manifest
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from backup_server import Postgres, manifests, partials, result_of, start, until
from copy_server import CopyServer

CONTENT = random.Random(1).randbytes(700_000) + b"abc" * 300_000
MARKS = (b"PGDMP", b"CREATE ROLE", b"\x28\xb5\x2f\xfd")  # a dump, roles, a frame of zstd


class Identity(t.NamedTuple):
    path: str
    recipient: str


@pytest.fixture(name="identity")
def identity_fixture(tmp_path: pathlib.Path) -> Identity:
    return made(tmp_path / "identity")


def made(path: pathlib.Path) -> Identity:
    subprocess.run(["age-keygen", "--output", str(path)], check=True, capture_output=True)
    printed = subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True)
    return Identity(str(path), printed.stdout.strip())


def write(path: pathlib.Path, cipher: encryption.Cipher, compression: str = "zstd") -> manifest.File:
    with open(path, "wb") as file, cipher.encrypting(file) as target:
        writer = archive.Writer(target, compression, archive.DEFAULT_LEVELS[compression])
        writer.write(CONTENT)
        writer.finish()
    return cipher.recorded(str(path), manifest.File(path.name, writer.size_bytes, writer.sha256))


def read(path: pathlib.Path, compression: str, file: manifest.File, key: encryption.Key) -> bytes:
    return b"".join(encryption.checked_chunks(str(path), compression, file, len(CONTENT), key))


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_both_keys_open_it(tmp_path: pathlib.Path, identity: Identity, compression: str) -> None:
    cipher, path = encryption.Cipher([identity.recipient]), tmp_path / "dump"
    file = write(path, cipher, compression)
    for key in (cipher.key, encryption.Key(path=identity.path)):
        assert read(path, compression, file, key) == CONTENT
        assert b"".join(encryption.chunks(str(path), compression, key)) == CONTENT
    plain = subprocess.run(["age", "--decrypt", "-i", identity.path, str(path)], check=True, capture_output=True).stdout
    assert archive.hashlib.sha256(plain).hexdigest() == file.plain_sha256


def test_a_key_of_ssh(tmp_path: pathlib.Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    path = tmp_path / "dump"
    file = write(path, encryption.Cipher([(tmp_path / "key.pub").read_text().strip()]))
    assert read(path, "zstd", file, encryption.Key(path=str(tmp_path / "key"))) == CONTENT


@pytest.mark.parametrize("place", [10, 60, 300, 400_000])
@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_damage_that_the_manifest_does_not_know_of(
    tmp_path: pathlib.Path, identity: Identity, damage: str, place: int
) -> None:
    """What age itself notices; whose SHA-256 is another is refused before it is asked."""
    path = tmp_path / "dump"
    write(path, encryption.Cipher([identity.recipient]), "none")
    raw = bytearray(path.read_bytes())
    if damage == "flip":
        raw[place] ^= 1
    else:
        del raw[place:]
    path.write_bytes(raw)
    with pytest.raises((archive.Damaged, ProductionError), match="identity|cannot be decrypted"):
        list(encryption.chunks(str(path), "none", encryption.Key(path=identity.path)))


def test_a_full_disk(identity: Identity) -> None:
    cipher = encryption.Cipher([identity.recipient])
    with pytest.raises(OSError, match="No space left"):
        write(pathlib.Path("/dev/full"), cipher)


@pytest.mark.parametrize("recipient", ["age1", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q", "me"])
def test_recipients_that_are_none(recipient: str) -> None:
    with pytest.raises(ProductionError, match="age_recipients: are refused: .*recipient"):
        encryption.Cipher([recipient])


def test_nothing_is_ever_on_the_disk_unencrypted(
    tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path, identity: Identity
) -> None:
    """A watcher looks at every file of the folder while the backup is made."""
    process = start(tmp_path, server, dest, age_recipients=[identity.recipient], compression="none")
    seen, over = set(), False
    while not over:
        over = process.poll() is not None  # and one more look then
        for name in glob.glob(str(dest / "*")) + partials(dest):
            try:
                data = pathlib.Path(name).read_bytes()
            except FileNotFoundError:
                continue
            if data and not name.endswith(".json"):
                seen.add(name)
                assert data.startswith(b"age-encryption.org/v1\n") and not any(mark in data for mark in MARKS), name
    assert result_of(process)["changed"] and len(seen) >= 3
    (path,) = manifests(dest)
    record = json.loads(pathlib.Path(path).read_text())
    assert record["age_recipients"] == [identity.recipient]
    assert record["dump"]["plain_size_bytes"] == record["archive_bytes"] < record["dump"]["size_bytes"]


def test_it_is_restored_with_the_identity(
    tmp_path: pathlib.Path, backup: t.Any, restore: t.Any, server: Postgres, dest: pathlib.Path, identity: Identity
) -> None:
    made_backup = backup(age_recipients=[identity.recipient])["backup"]
    before = server.contents()
    refused = restore()
    assert refused["culprit"] == made_backup["path"] and "age_identity_file" in refused["remedy"]
    assert identity.recipient in refused["cause"]
    for path, words in (
        (str(tmp_path / "gone"), "cannot be read"),
        (made(tmp_path / "other").path, "does not decrypt"),
        (made_backup["manifest"], "cannot be used"),
    ):
        refused = restore(age_identity_file=path)
        assert (refused["culprit"], refused["failed"]) == (path, True) and words in refused["cause"], refused
    assert "AGE-SECRET" not in json.dumps(refused)
    databases = server.databases()
    server.psql("DELETE FROM catalog WHERE id > 10")
    result = restore(age_identity_file=identity.path)
    assert result["restored"]["sha256"] == made_backup["sha256"] and server.contents() == before
    server.psql(f'DROP DATABASE "{result["restored"]["before"].replace(chr(34), chr(34) * 2)}"', dbname="postgres")
    assert set(server.databases()) == set(databases)


def test_a_flipped_bit_is_refused(backup: t.Any, restore: t.Any, identity: Identity) -> None:
    made_backup = backup(dbname="postgres", age_recipients=[identity.recipient])["backup"]
    path = pathlib.Path(made_backup["path"])
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    refused = restore(dbname="postgres", age_identity_file=identity.path, _ansible_check_mode=True)
    assert refused["culprit"] == made_backup["path"] and "is damaged" in refused["cause"]


def test_a_killed_run_leaves_nothing_that_looks_like_a_backup(
    tmp_path: pathlib.Path, backup: t.Any, server: Postgres, dest: pathlib.Path, identity: Identity
) -> None:
    process = start(tmp_path, server, dest, age_recipients=[identity.recipient])
    until(lambda: any(os.path.getsize(path) > 1 << 20 for path in partials(dest)))
    process.kill()
    process.communicate()
    assert partials(dest) and not manifests(dest)
    assert backup(dbname="postgres", age_recipients=[identity.recipient])["changed"]
    assert not partials(dest) and len(manifests(dest)) == 1


def test_an_encrypted_copy_brings_back_a_lost_host(
    tmp_path: pathlib.Path, backup: t.Any, restore: t.Any, server: Postgres, dest: pathlib.Path, identity: Identity
) -> None:
    (tmp_path / "remote").mkdir()
    with CopyServer("webdav", tmp_path / "remote") as nas:
        place = {"name": "nas", "rclone": "nas:tria", "config": nas.config(tmp_path / "rclone.conf")}
        place["env"] = {"RCLONE_LOW_LEVEL_RETRIES": "1"}
        options = {"age_recipients": [identity.recipient], "copies": [place]}
        preview = backup(**options, _ansible_check_mode=True)
        assert preview["copies"] == [{"name": "nas", "backups": 1, "deleted": []}] and not dest.exists()
        result = backup(**options)
        assert result["copies"][0]["backups"] == 1
        shutil.rmtree(dest)
        subprocess.run(["rclone", "--config", place["config"], "copy", "nas:tria", str(dest)], check=True)
    refused = backup(**options)
    assert refused["failed"] and refused["culprit"] == "copy nas" and "connection refused" in refused["cause"]
    assert refused["cause"].endswith(f"The backup on this host is complete: {refused['backup']['path']}")
    assert os.path.exists(refused["backup"]["manifest"]) and "error" in refused["copies"][0]
    stem = os.path.basename(result["backup"]["path"]).split(".dump")[0]
    chosen = restore(backup=stem, age_identity_file=identity.path, _ansible_check_mode=True)
    assert chosen["restored"]["path"] == str(dest / f"{stem}.dump.zst.age") and chosen["restored"]["tables"] == 3
