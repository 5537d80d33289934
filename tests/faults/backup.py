# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make faults ONLY=backup`: what `pg_backup` and `pg_restore`, and `postgresql_db`, make of planted faults."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import typing as t

import docker
from benchmarks.readiness.stack import image
from integration.backup_server import BULK_SQL, DBNAME, PASSWORD, Postgres, locked_table
from integration.full_database import EVERYTHING, WRITTEN_SQL, quoted, writing
from integration.older_client import newer_server

from faults.backup_tools import Ours, Place, PostgresqlDb, Run, Said

MADE, REFUSED, RESTORED = "made", "refused", "restored"
LEFT_COMPLETE, LEFT_PARTIAL, FALSE, LOST = "left-complete", "left-partial", "false-backup", "lost-older"
HUNG, ORPHAN, HALF, FALSE_RESTORE = "hung", "orphan-backend", "half-restored", "false-restore"
Tool = t.Union[Ours, PostgresqlDb]

_SMALL_SQL = """
CREATE TABLE catalog AS SELECT g AS id, md5(g::text) AS name FROM generate_series(1, 20000) g;
CREATE TABLE orders AS SELECT g AS id, md5((g * 3)::text) AS what FROM generate_series(1, 20000) g;
"""
_DATABASES = {
    "shop": f"CREATE TABLE catalog AS SELECT g AS id FROM generate_series(1, 5000) g;{BULK_SQL}",
    "small": _SMALL_SQL,
    "tiny": "CREATE TABLE catalog AS SELECT g AS id, md5(g::text) FROM generate_series(1, 100) g",
    "emptied": _SMALL_SQL,
    "secured": f"{_SMALL_SQL} ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
    "written": WRITTEN_SQL,
    DBNAME: _SMALL_SQL,
    "everything": EVERYTHING,
}
_ROLES_SQL = f"""
CREATE ROLE limited LOGIN PASSWORD '{PASSWORD.replace("'", "''")}';
CREATE ROLE reader LOGIN PASSWORD '{PASSWORD.replace("'", "''")}' IN ROLE pg_read_all_data;
"""
# A statement that yields the rows of all tables as count and hash, with their owners, large objects and sequences.
_CONTENTS_SQL = """
SELECT string_agg(format('SELECT %L, count(*), sum(hashtextextended(t::text, 0)::numeric) FROM %I.%I t',
                         schemaname || tablename || tableowner, schemaname, tablename), ' UNION ALL ')
    || ' UNION ALL SELECT '''', count(*), sum(hashtextextended(lo_get(oid)::text, 0)::numeric)
         FROM pg_largeobject_metadata UNION ALL SELECT '''', count(*), sum(last_value) FROM pg_sequences ORDER BY 1, 2'
FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)'
"""


@contextlib.contextmanager
def _as_it_is(place: Place) -> t.Iterator[Place]:
    yield place


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault: `around(place)` plants it for as long as the tool is at work, `meanwhile` once the dump is under way.

    `ours` is the outcome that ours must have, `says` a part of its message. `right(postgres, dbname)` tells whether a
    backup of what cannot be compared, because it changes, restored well. `disk` is the size of a disk for the backups.
    """

    name: str
    ours: str = REFUSED
    says: str = ""
    dbname: str = "shop"
    around: t.Callable[[Place], t.ContextManager[Place]] = _as_it_is
    meanwhile: t.Optional[t.Callable[[Tool, Run, Place], t.Any]] = None
    right: t.Optional[t.Callable[[Postgres, str], bool]] = None
    disk: str = ""


@dataclasses.dataclass(frozen=True)
class RestoreCase:
    """A backup to be restored that `damage(place, file)` has been done to, while the database has gone on."""

    name: str
    damage: t.Callable[[Place, pathlib.Path], t.Any]
    ours: str = REFUSED
    says: str = ""
    dbname: str = "small"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of a case with one of the tools."""

    outcome: str
    seconds: float
    message: str


def outcome(ok: bool | None, intact: bool, new: bool, restores: bool) -> str:
    """Of a dump: what was said, whether older backups are as they were, whether a new one is there, and restores."""
    if ok is None:
        return HUNG
    if not intact:
        return LOST
    if ok:
        return MADE if new and restores else FALSE
    if not new:
        return REFUSED
    return LEFT_COMPLETE if restores else LEFT_PARTIAL


def restore_outcome(ok: bool | None, as_before: bool, as_backup: bool) -> str:
    """Of a restore: what was said, and whether the database is as it was before, or as in the backup."""
    if ok is None:
        return HUNG
    if ok:
        return RESTORED if as_backup else FALSE_RESTORE
    return REFUSED if as_before else HALF


def shortcoming(case: Case | RestoreCase, verdict: Verdict) -> str:
    """What is wrong with our verdict; empty when nothing is."""
    if verdict.outcome != case.ours:
        return f"it should have been {case.ours}: {verdict.message}"
    return "" if case.says in verdict.message else f"{case.says!r} is not in the message: {verdict.message}"


def run() -> bool:
    """Prints a line for each case; whether all of ours are right."""
    right = True
    client = docker.from_env()
    try:
        postgres = Postgres(client, image("postgres"), service="faults")
        try:
            _fill(postgres)
            for case in [*CASES, *RESTORE_CASES]:
                judge = _dumped if isinstance(case, Case) else _restored
                right = _told(case, *(judge(postgres, case, tool) for tool in (Ours(), PostgresqlDb()))) and right
        finally:
            postgres.remove()
    finally:
        client.close()
    return right


def _told(case: Case | RestoreCase, ours: Verdict, peer: Verdict) -> bool:
    wrong = shortcoming(case, ours)
    line = f"fault backup_{case.name} {ours.outcome} {ours.seconds:.1f} peer={peer.outcome}/{peer.seconds:.1f}"
    print(f"{line} WRONG: {wrong}" if wrong else line, flush=True)
    return not wrong


def _fill(postgres: Postgres) -> None:
    postgres.psql(_ROLES_SQL)
    for dbname, sql in _DATABASES.items():
        if dbname != DBNAME:
            postgres.psql(f"CREATE DATABASE {quoted(dbname)}", dbname="postgres")
        postgres.psql(sql, dbname=dbname)


@contextlib.contextmanager
def _place(postgres: Postgres, dbname: str, disk: str = "") -> t.Iterator[Place]:
    with tempfile.TemporaryDirectory() as name:
        folder, scratch = pathlib.Path(name, "backups"), pathlib.Path(name, "scratch")
        folder.mkdir(0o700)
        scratch.mkdir(0o700)
        if disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk},mode=0700", "tmpfs", str(folder)], check=True)
        try:
            yield Place(postgres, dbname, folder, scratch, host=postgres.address)
        finally:
            if disk:
                subprocess.run(["umount", str(folder)], check=True)


def _dumped(postgres: Postgres, case: Case, tool: Tool) -> Verdict:
    """A backup that is good, then one under the fault, then what is to be found."""
    with _place(postgres, case.dbname, case.disk) as place:
        first = tool.dump(place, 1).finish()
        if not first.ok:
            left = bool(tool.backups(place.folder))
            return Verdict(outcome(first.ok, True, left, False), first.seconds, f"without a fault: {first.message}")
        older = {path: path.read_bytes() for path in tool.backups(place.folder)}
        with case.around(place) as faulty:
            said = _under_fault(case, tool, faulty)
        orphaned = not _gone(postgres)
        new = [path for path in tool.backups(place.folder) if path not in older]
        intact = all(path.exists() and path.read_bytes() == content for path, content in older.items())
        restores = bool(new) and _restores(case, tool, place, new[-1])
        came = ORPHAN if orphaned else outcome(said.ok, intact, bool(new), restores)
        return Verdict(came, said.seconds, said.message)


def _under_fault(case: Case, tool: Tool, place: Place) -> Said:
    before = _written(place)
    at_work = tool.dump(place, 2)
    second = None
    if case.meanwhile:
        end = time.monotonic() + 20
        while _written(place) <= before or not at_work.process("pg_dump"):
            if time.monotonic() > end:
                raise RuntimeError(f"{case.name}: no dump is under way: {at_work.finish().message}")
            time.sleep(0.002)
        second = case.meanwhile(tool, at_work, place)
    said = [each.finish() for each in (at_work, second) if isinstance(each, Run)]
    return next((each for each in said if each.ok), said[-1])


def _written(place: Place) -> int:
    """Bytes in the folder of the backups, those of unfinished ones among them."""
    return sum(path.stat().st_size for path in place.folder.iterdir() if not path.name.endswith((".lock", ".filler")))


def _gone(postgres: Postgres) -> bool:
    """Whether no backend of a dump is left, or soon is not."""
    names = "application_name = 'pg_dump' OR application_name LIKE 'pg_backup-%'"
    end = time.monotonic() + 5
    while postgres.value(f"SELECT count(*) FROM pg_stat_activity WHERE {names}", "postgres") != "0":
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    time.sleep(0.2)  # for a compressor that somebody has left running
    return True


def _restores(case: Case, tool: Tool, place: Place, file: pathlib.Path) -> bool:
    """Whether the backup restores into a new database to what is in its own."""
    judged = dataclasses.replace(place, dbname="judged")
    try:
        if not tool.judged(judged, file):
            return False
        if case.right:
            return case.right(place.postgres, "judged")
        return _contents(place.postgres, "judged") == _contents(place.postgres, case.dbname)
    finally:
        place.postgres.psql("DROP DATABASE IF EXISTS judged", dbname="postgres")


def _contents(postgres: Postgres, dbname: str) -> str:
    statement = postgres.value(_CONTENTS_SQL, dbname)
    return postgres.value(statement, dbname) if statement else ""


def _restored(postgres: Postgres, case: RestoreCase, tool: Tool) -> Verdict:
    """A backup that is good, a database that goes on, the damage, the restore over the database."""
    name = f"{case.dbname}_again"
    postgres.psql(f"CREATE DATABASE {name} TEMPLATE {case.dbname}", dbname="postgres")
    with _place(postgres, name) as place:
        tool.dump(place, 1).finish()
        [file] = tool.backups(place.folder)
        in_backup = _contents(postgres, name)
        postgres.psql("DELETE FROM orders WHERE id % 2 = 0; UPDATE catalog SET name = 'later'", dbname=name)
        case.damage(place, file)
        before = _contents(postgres, name)
        said = tool.restore(place, file).finish()
        now = _contents(postgres, name)
    for each in postgres.databases():
        if each.startswith(name):
            postgres.psql(f"DROP DATABASE {quoted(each)}", dbname="postgres")
    return Verdict(restore_outcome(said.ok, now == before, now == in_backup), said.seconds, said.message)


# --- how faults are planted -------------------------------------------------------------------------------------------


def _kill_pg_dump(_tool: Tool, at_work: Run, _place: Place) -> None:
    os.kill(at_work.process("pg_dump"), signal.SIGKILL)


def _kill_compressor(tool: Tool, at_work: Run, _place: Place) -> None:
    os.kill(at_work.process(*tool.compressors) or at_work.pid, signal.SIGKILL)


def _kill_module(_tool: Tool, at_work: Run, _place: Place) -> None:
    os.kill(at_work.pid, signal.SIGKILL)


def _terminate(_tool: Tool, at_work: Run, _place: Place) -> None:
    os.killpg(at_work.pid, signal.SIGTERM)


def _fill_disk(_tool: Tool, _at_work: Run, place: Place) -> None:
    _fill_up(place)


def _fill_up(place: Place) -> None:
    with contextlib.suppress(OSError), (place.folder / ".filler").open("wb", buffering=0) as file:
        while True:  # until there is no room for a byte
            file.write(b"x" * (1 << 20))


def _again(tool: Tool, _at_work: Run, place: Place) -> Run:
    return tool.dump(place, 2)


@contextlib.contextmanager
def _killed_server(place: Place) -> t.Iterator[Place]:
    yield place
    place.postgres.container.start()
    place.postgres.wait()
    place.host = place.postgres.address


def _kill_server(_tool: Tool, _at_work: Run, place: Place) -> None:
    place.postgres.container.kill()


@contextlib.contextmanager
def _full_disk(place: Place) -> t.Iterator[Place]:
    _fill_up(place)
    yield place


@contextlib.contextmanager
def _locked(place: Place) -> t.Iterator[Place]:
    with locked_table(place.postgres, dbname=place.dbname):
        yield place


def _as(user: str) -> t.Callable[[Place], t.ContextManager[Place]]:
    return lambda place: contextlib.nullcontext(dataclasses.replace(place, user=user))


@contextlib.contextmanager
def _newer(place: Place) -> t.Iterator[Place]:
    with newer_server(place.host) as (host, port):
        yield dataclasses.replace(place, host=host, port=port)


@contextlib.contextmanager
def _written_to(place: Place) -> t.Iterator[Place]:
    with writing(place.postgres, place.dbname):
        yield place


@contextlib.contextmanager
def _emptied(place: Place) -> t.Iterator[Place]:
    place.postgres.psql("TRUNCATE catalog, orders", dbname=place.dbname)
    yield place
    place.postgres.psql(f"DROP TABLE catalog, orders; {_SMALL_SQL}", dbname=place.dbname)


def _consistent(postgres: Postgres, dbname: str) -> bool:
    return postgres.value("SELECT (SELECT count(*) FROM a_first) = (SELECT count(*) FROM z_last)", dbname) == "t"


def _anything(_postgres: Postgres, _dbname: str) -> bool:
    return True


def _flip(_place: Place, file: pathlib.Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _truncate(_place: Place, file: pathlib.Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])


CASES = [
    Case("unusual_name", MADE, dbname=DBNAME),
    Case("everything_a_database_can_hold", MADE, dbname="everything"),
    Case("rows_written_meanwhile", MADE, dbname="written", around=_written_to, right=_consistent),
    Case("killed_pg_dump", says="pg_dump ended with status -9", meanwhile=_kill_pg_dump),
    Case("killed_compressor", meanwhile=_kill_compressor),
    Case("killed_module", meanwhile=_kill_module),
    Case("terminated", says="stopped by SIGTERM", meanwhile=_terminate),
    Case("killed_server", says="pg_dump ended with", around=_killed_server, meanwhile=_kill_server),
    Case("disk_gets_full", says="No space left on device", meanwhile=_fill_disk, disk="200m"),
    Case("disk_is_full", says="0.0 MiB free", dbname="tiny", around=_full_disk, disk="16m"),
    Case("suddenly_shrunken", says="of what the last backup has", dbname="emptied", around=_emptied, right=_anything),
    Case("two_at_once", MADE, meanwhile=_again),
    Case("locked_table", says="application migration", dbname="small", around=_locked),
    Case("table_without_rights", says="permission denied", dbname="small", around=_as("limited")),
    Case("row_level_security", says="row-level security", dbname="secured", around=_as("reader")),
    Case("older_pg_dump", says="server version mismatch", dbname="small", around=_newer),
]
RESTORE_CASES = [
    RestoreCase("restore_intact", lambda place, file: None, RESTORED),
    RestoreCase("restore_flipped_bit", _flip),
    RestoreCase("restore_truncated", _truncate),
]
