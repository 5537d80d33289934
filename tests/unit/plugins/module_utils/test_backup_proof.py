# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a backup is verified, what differs, what arrives of a stream, and programs that end with us; no server."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.tria.production.plugins.module_utils._backup import manifest, proof, snapshot, transit
from ansible_collections.tria.production.plugins.module_utils._backup.kept import Ended, Kept
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline, TimedOut
from ansible_collections.tria.production.plugins.module_utils._backup.source import Connection, Container, Facts
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

EXPECTED = {"public.a": {"rows": 3, "hash": "7"}, "public.b": {"rows": 0, "hash": "0"}}


def level(verify: str, limit: str | None, size: int) -> tuple[str, str | None]:
    return proof.level({"verify": verify, "verify_restore_up_to": limit}, Facts("15.1", size, 1, {}))


@pytest.mark.parametrize(
    ("verify", "limit", "size", "expected"),
    [
        ("restore", None, 1 << 50, "restore"),
        ("restore", "2G", 2 << 30, "restore"),
        ("restore", "2G", (2 << 30) + 1, "archive"),
        ("restore", "1.5 MiB", 1_600_000, "archive"),
        ("restore", "2k", 2048, "restore"),
        ("restore", "100", 101, "archive"),
        ("archive", "1K", 9999, "archive"),
        ("none", "1K", 9999, "none"),
    ],
)
def test_how_far(verify: str, limit: str | None, size: int, expected: str) -> None:
    verified, reason = level(verify, limit, size)
    assert verified == expected
    assert bool(reason) == (verified != verify) and (not reason or f"verify_restore_up_to={limit}" in reason)


@pytest.mark.parametrize("limit", ["", "much", "2X", "-1"])
@pytest.mark.parametrize("verify", ["restore", "archive"])
def test_a_limit_that_is_no_size(limit: str, verify: str) -> None:
    with pytest.raises(ProductionError, match="verify_restore_up_to.* is not a size"):
        level(verify, limit, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"public.a": {"rows": 2, "hash": "5"}}, "public.a has 2 rows instead of 3"),
        ({"public.a": {"rows": 3, "hash": "8"}}, "public.a has as many rows, but not the same"),
        ({"public.c": {"rows": 0, "hash": "0"}}, "public.c was not there"),
    ],
)
def test_what_differs_is_named(changes: dict[str, t.Any], words: str) -> None:
    snapshot.require_same("shop", EXPECTED, EXPECTED)
    with pytest.raises(ProductionError) as caught:
        snapshot.require_same("shop", EXPECTED, {**EXPECTED, **changes})
    assert words in caught.value.cause and caught.value.details["differences"] == [words]


def test_a_table_that_is_missing_and_what_another_version_writes_otherwise() -> None:
    assert snapshot.difference(EXPECTED, {"public.a": EXPECTED["public.a"]}) == ["public.b is missing"]
    assert snapshot.difference(EXPECTED, {**EXPECTED, "public.a": {"rows": 3, "hash": "8"}}, hashes=False) == []


def test_many_differences_are_not_all_told() -> None:
    expected = {f"public.t{number:03}": {"rows": 1, "hash": "1"} for number in range(200)}
    with pytest.raises(ProductionError, match="public.t004 is missing and 195 more") as caught:
        snapshot.require_same("shop", expected, {})
    assert len(caught.value.details["differences"]) == 100


def test_a_manifest_says_what_was_in_it_and_an_older_one_need_not() -> None:
    made = manifest.Manifest(
        created_at="2025-01-02T03:04:05.000000Z",
        dbname="shop",
        source={},
        dump=manifest.File("shop.dump", 4, "0" * 64),
        globals=None,
        compression="none",
        archive_bytes=4,
        database_size_bytes=100,
        server_version="15.1",
        pg_dump_version="15.1",
        entries=5,
        tables=2,
        verified="restore",
        duration_s=0.1,
        contents=EXPECTED,
    )
    assert manifest.parse(made.as_json()) == made
    older = dataclasses.replace(made, contents=None).as_json()
    without = b"".join(line for line in older.splitlines() if b'"contents"' not in line and b"_reason" not in line)
    assert b"contents" not in without and manifest.parse(without).contents is None
    told = proof.result(made)
    assert (told.name, told.status) == ("shop, verified by restoring it", "pass") and told.duration_ms == 100


class Here(Container):
    """A container whose programs are those of this host."""

    def __init__(self) -> None:
        labels: dict[str, str] = {}
        super().__init__(Connection("shop"), "app-1", {"Id": "id", "Name": "/here", "Config": {"Labels": labels}})

    def command(self, argv: list[str], names: list[str], interactive: bool) -> list[str]:
        return argv


class Losing(Here):
    """As the other, but a byte of what it prints is lost on its way."""

    def run(
        self, argv: list[str], deadline: Deadline, feed: t.Any = None, sink: t.Any = None, tool: t.Any = None
    ) -> str:
        lost: list[bytes] = []

        def lose(data: bytes) -> None:
            sink(data if lost else data[1:])
            lost.append(data[:1])

        return super().run(argv, deadline, feed, lose, tool)


def carried(source: Container, *argv: str) -> bytes:
    arrived: list[bytes] = []
    transit.carried(source, list(argv), Deadline(30), arrived.append)
    return b"".join(arrived)


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_what_a_container_prints_arrives_as_it_left(size: int) -> None:
    assert carried(Here(), "head", "-c", str(size), "/dev/zero") == bytes(size)


def test_its_arguments_are_never_parsed() -> None:
    assert carried(Here(), "printf", "%s", "$(echo x) `echo y` ' \" ; exit 7") == b"$(echo x) `echo y` ' \" ; exit 7"


def test_a_stream_that_lost_a_byte() -> None:
    with pytest.raises(ProductionError, match=r"of 3000000 bytes .* 2999999 with SHA-256"):
        carried(Losing(), "head", "-c", "3000000", "/dev/zero")


@pytest.mark.parametrize("script", ["echo early; echo 'cannot read' >&2; exit 3", "echo 'cannot read' >&2; kill -9 $$"])
def test_its_exit_status_is_that_of_the_program(script: str) -> None:
    with pytest.raises(ProductionError, match=r"pg_dump ended with status (3|137): cannot read") as caught:
        transit.carried(_Named(), ["pg_dump", script], Deadline(30), lambda _data: None)
    assert "transit" not in str(caught.value)


class _Named(Here):
    """Has a `pg_dump` that runs its argument."""

    def command(self, argv: list[str], names: list[str], interactive: bool) -> list[str]:
        return argv[: argv.index("pg_dump")] + ["sh", "-c", argv[-1]]


def test_a_kept_program_answers_and_ends() -> None:
    kept = Kept(["sh", "-c", 'while read line; do echo "got $line"; echo end; done; exit 4'], dict(os.environ))
    kept.tell(b"one\n")
    assert list(kept.lines(b"end", Deadline(10))) == [b"got one"]
    kept.tell(b"two\n")
    assert list(kept.lines(b"end", Deadline(10))) == [b"got two"]
    with pytest.raises(TimedOut):
        list(kept.lines(b"end", Deadline(0.1)))
    assert kept.close() == 4


def test_a_kept_program_that_ends_too_early_is_quoted() -> None:
    kept = Kept(
        ["sh", "-c", "echo part; head -c 9000 /dev/zero | tr '\\0' x >&2; echo broken >&2; exit 5"], dict(os.environ)
    )
    with pytest.raises(Ended, match="broken$") as caught:
        list(kept.lines(b"end", Deadline(10)))
    assert caught.value.status == 5 and len(str(caught.value)) <= 4096
    kept.tell(b"nobody reads this\n")
    assert kept.close() == 5


def test_a_kept_program_ends_when_whoever_started_it_is_killed(tmp_path: pathlib.Path) -> None:
    program = (
        "import os, signal\n"
        f"from {Kept.__module__} import Kept\n"
        f"Kept(['sh', '-c', 'cat; touch {tmp_path}/ended'], dict(os.environ))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", program], env=env, check=False, timeout=30)
    assert killed.returncode == -signal.SIGKILL
    end = time.monotonic() + 10
    while not (tmp_path / "ended").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
