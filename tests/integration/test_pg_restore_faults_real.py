# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_restore against a real PostgreSQL: every fault leaves the running database as it was."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import typing as t

import docker
import pytest
from backup_server import BULK_SQL, DBNAME, PASSWORD, Postgres, result_of, start, start_restore, until

RESTORING = f"{DBNAME}_restoring"
UNTOUCHED = "the running database is as it was, nothing half-restored is left"


@pytest.fixture(scope="module")
def target(engine_client: docker.DockerClient, base_images: dict[str, str]) -> t.Iterator[Postgres]:
    """A server of its own, with rows enough that restoring them takes a moment."""
    postgres = Postgres(engine_client, base_images["postgres"])
    try:
        postgres.psql(BULK_SQL)
        yield postgres
    finally:
        postgres.remove()


@pytest.fixture(scope="module")
def made(target: Postgres, tmp_path_factory: pytest.TempPathFactory) -> dict[str, t.Any]:
    """A backup of it, and then one row more that is in no backup."""
    folder = tmp_path_factory.mktemp("made")
    made = result_of(start(folder, target, folder / "backups"))["backup"]
    target.psql("INSERT INTO bulk VALUES (-1)")
    return made


@pytest.fixture
def dest(made: dict[str, t.Any], tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of its own with that backup, for tests that damage it."""
    folder = tmp_path / "backups"
    folder.mkdir(mode=0o700)
    for each in ("path", "manifest", "globals"):
        (folder / os.path.basename(made[each])).write_bytes(pathlib.Path(made[each]).read_bytes())
    return folder


def begin(tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path, **options: t.Any) -> subprocess.Popen[bytes]:
    return start_restore(tmp_path, server, dest, **options)


def loading(server: Postgres) -> bool:
    """Whether rows are on their way into the new database."""
    return server.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%bulk%'", "postgres") == "1"


def untouched(server: Postgres) -> bool:
    """The row that no backup has is there, nothing is beside the database, and nobody is at work for us."""
    names = [name for name in server.databases() if name.startswith(DBNAME)]
    return names == [DBNAME] and server.value("SELECT count(*) FROM bulk WHERE g = -1") == "1" and server.dumping() == 0


def flip(path: pathlib.Path, place: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip, "is damaged"),
        (lambda dump: flip(dump, 0), "is damaged"),
        (lambda dump: flip(dump.with_name(dump.name.replace(".dump.zst", ".globals.sql"))), "is damaged"),
        (lambda dump: dump.write_bytes(dump.read_bytes()[:-100]), "holds no verified backup"),
        (lambda dump: dump.with_name(f"{dump.name}.json").unlink(), "holds no verified backup"),
    ],
)
def test_a_damaged_backup_is_refused(
    tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path, damage: t.Any, words: str
) -> None:
    damage(next(dest.glob("*.zst")))
    for check_mode in (True, False):
        result = result_of(begin(tmp_path, target, dest, _ansible_check_mode=check_mode))
        assert result["failed"] and words in result["msg"], result
    assert untouched(target)


def test_a_manifest_of_something_else_is_noticed(tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path) -> None:
    path = next(dest.glob("*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "tables": 7}))
    result = result_of(begin(tmp_path, target, dest))
    assert result["failed"] and "its manifest says" in result["cause"] and untouched(target)


def test_a_killed_run_is_cleaned_up_after_by_the_next(
    tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path
) -> None:
    process = begin(tmp_path, target, dest)
    until(lambda: loading(target))
    process.kill()
    process.communicate()
    assert RESTORING in target.databases() and target.value("SELECT count(*) FROM bulk WHERE g = -1") == "1"
    result = result_of(begin(tmp_path, target, dest, backup="none such"))
    assert result["failed"] and RESTORING in target.databases()  # refused before anything was looked at
    assert result_of(start(tmp_path, target, dest))["changed"]  # a backup cleans up as well
    assert untouched(target)
    again = begin(tmp_path, target, dest)
    until(lambda: loading(target))
    again.kill()
    again.communicate()
    result = result_of(begin(tmp_path, target, dest))
    assert result["changed"] and RESTORING not in target.databases()
    target.psql('DROP DATABASE "' + result["restored"]["before"].replace('"', '""') + '"', dbname="postgres")
    assert untouched(target)  # the newest backup has the row


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cleans_up_at_once(tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path, number: int) -> None:
    process = begin(tmp_path, target, dest)
    until(lambda: loading(target))
    process.send_signal(number)
    result = result_of(process)
    assert result["failed"] and signal.Signals(number).name in result["cause"] and UNTOUCHED in result["cause"]
    assert untouched(target) and (dest / ".pg_backup.lock").read_text() == "{}"


@pytest.mark.slow
def test_a_timeout_ends_whoever_is_in_the_new_database(
    tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path
) -> None:
    process = begin(tmp_path, target, dest, timeout=20)
    until(lambda: loading(target))
    with target.tool("psql", "-XAtq", dbname=RESTORING, stdin=subprocess.PIPE) as session:
        session.stdin.write(b"BEGIN; LOCK TABLE bulk; SELECT 'locked';\n")  # gets it when all rows are there
        session.stdin.flush()
        assert session.stdout.readline() == b"locked\n"
        result = result_of(process)
        session.communicate(timeout=30)
    assert result["failed"] and "not finished after 20 seconds" in result["cause"] and UNTOUCHED in result["cause"]
    assert untouched(target)


def test_two_at_once(tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path) -> None:
    first = begin(tmp_path, target, dest)
    until(lambda: loading(target))
    second = result_of(begin(tmp_path, target, dest))
    assert second["failed"] and f"process {first.pid}" in second["cause"]
    elsewhere = result_of(begin(tmp_path, target, tmp_path / "other", backup=str(next(dest.glob("*.zst")))))
    assert elsewhere["failed"] and "it is not known what made it" in elsewhere["cause"]
    first.send_signal(signal.SIGTERM)
    assert result_of(first)["failed"] and untouched(target)


def test_a_database_that_somebody_else_named_so_is_never_dropped(
    tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path
) -> None:
    name = '"' + RESTORING.replace('"', '""') + '"'
    target.psql(f"CREATE DATABASE {name}", dbname="postgres")
    result = result_of(begin(tmp_path, target, dest))
    assert result["failed"] and "it is not known what made it" in result["cause"] and RESTORING in target.databases()
    target.psql(f"DROP DATABASE {name}", dbname="postgres")
    assert untouched(target)


def test_a_server_that_stops_meanwhile(tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path) -> None:
    process = begin(tmp_path, target, dest)
    until(lambda: loading(target))
    target.container.kill()
    result = result_of(process)
    assert result["failed"] and "until the next run removes it" in result["cause"]
    target.container.start()
    target.wait()
    result = result_of(begin(tmp_path, target, dest))
    assert result["changed"] and target.value("SELECT count(*) FROM bulk WHERE g = -1") == "0"
    before = result["restored"]["before"]
    assert target.value("SELECT count(*) FROM bulk WHERE g = -1", before) == "1"
    target.psql('DROP DATABASE "' + before.replace('"', '""') + '"', dbname="postgres")
    target.psql("INSERT INTO bulk VALUES (-1)")


def test_a_wrong_password_leaves_nothing(tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path) -> None:
    result = result_of(begin(tmp_path, target, dest, login_password="wrong-C4nary"))
    assert result["failed"] and "password authentication failed" in result["cause"]
    assert not (dest / ".pg_backup.lock").exists() and untouched(target)


@pytest.fixture
def disk(tmp_path: pathlib.Path, small_disk: t.Callable[[pathlib.Path, str], pathlib.Path]) -> pathlib.Path:
    (tmp_path / "small").mkdir()
    return small_disk(tmp_path / "small", "400m")


@pytest.fixture
def small(engine_client: docker.DockerClient, base_images: dict[str, str], disk: pathlib.Path) -> t.Iterator[Postgres]:
    """A server whose database is on the small disk, in a tablespace."""
    volumes = {str(disk): {"bind": "/disk", "mode": "rw"}}
    postgres = Postgres(engine_client, base_images["postgres"], service="small", volumes=volumes)
    try:
        quoted = '"' + DBNAME.replace('"', '""') + '"'
        assert postgres.container.exec_run(["chown", "postgres", "/disk"], user="root").exit_code == 0
        postgres.psql("CREATE TABLESPACE disk LOCATION '/disk'", dbname="postgres")
        postgres.psql(f"ALTER DATABASE {quoted} SET TABLESPACE disk", dbname="postgres")
        postgres.psql(BULK_SQL)
        yield postgres
    finally:
        postgres.remove()


def test_a_full_disk(tmp_path: pathlib.Path, small: Postgres, disk: pathlib.Path) -> None:
    dest, filler = tmp_path / "backups", disk / "filler"

    def leave(free: int) -> None:
        status = os.statvfs(disk)
        filler.write_bytes(b"x" * (status.f_bavail * status.f_frsize - free))

    assert result_of(start(tmp_path, small, dest))["changed"]
    small.psql("INSERT INTO bulk VALUES (-1)")
    leave(90 << 20)
    for check_mode in (True, False):
        result = result_of(begin(tmp_path, small, dest, _ansible_check_mode=check_mode))
        assert result["failed"] and "/disk has " in result["cause"] and "Free disk space" in result["remedy"], result
        assert result["free_bytes"] <= 90 << 20 < result["needed_bytes"]
    filler.unlink()
    process = begin(tmp_path, small, dest)
    until(lambda: loading(small))
    with contextlib.suppress(OSError):  # the restore takes its part meanwhile: then the disk is as full as can be
        leave(4 << 20)  # what could not be foreseen
    result = result_of(process)
    filler.unlink()
    assert result["failed"] and "No space left on device" in result["cause"] and UNTOUCHED in result["cause"], result
    assert untouched(small)


def test_rows_never_get_into_an_error(tmp_path: pathlib.Path, target: Postgres) -> None:
    """A check that the restored rows do not pass: what PostgreSQL says of the row is kept out of the result."""
    target.psql("CREATE DATABASE strict", dbname="postgres")
    target.psql("CREATE TABLE list AS SELECT 'personal' AS name", dbname="strict")
    target.psql(
        "CREATE FUNCTION good(text) RETURNS bool LANGUAGE sql"
        " AS $$ SELECT $1 = coalesce(current_setting('my.name', true), '') $$;"
        " SET my.name = 'personal'; ALTER TABLE list ADD CHECK (good(name))",
        dbname="strict",
    )
    dest = tmp_path / "strict"
    assert result_of(start(tmp_path, target, dest, dbname="strict"))["changed"]
    result = result_of(begin(tmp_path, target, dest, dbname="strict"))
    assert result["failed"] and "violates check constraint" in result["cause"] and UNTOUCHED in result["cause"]
    assert "personal" not in json.dumps(result) and PASSWORD not in json.dumps(result)
    target.psql("DROP DATABASE strict", dbname="postgres")
