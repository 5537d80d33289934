# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_restore against a real PostgreSQL: what comes back, and who notices while it does."""

from __future__ import annotations

import datetime
import glob
import json
import os
import pathlib
import subprocess
import threading
import time
import typing as t

import docker
import psycopg2
import pytest
from backup_server import DBNAME, PASSWORD, SAMPLE_SQL, USER, Postgres, result_of, start, start_restore, until

QUOTED = '"' + DBNAME.replace('"', '""') + '"'
MORE_SQL = f"""
CREATE EXTENSION pg_trgm;
CREATE TABLE days (day date NOT NULL, n int, doubled int GENERATED ALWAYS AS (n * 2) STORED) PARTITION BY RANGE (day);
CREATE TABLE days_2025 PARTITION OF days FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO days SELECT '2025-01-01'::date + g, g FROM generate_series(1, 300) g;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM catalog;
CREATE INDEX ON catalog USING gin (name gin_trgm_ops);
SELECT lo_from_bytea(4711, 'a large object');
CREATE ROLE app LOGIN PASSWORD 'app-pw';
CREATE ROLE "odd ""owner"" x";
ALTER TABLE days OWNER TO "odd ""owner"" x";
GRANT SELECT, INSERT ON catalog TO app;
GRANT USAGE ON SEQUENCE catalog_id_seq TO app;
ALTER TABLE "odd schema"."odd -- table" ENABLE ROW LEVEL SECURITY;
CREATE POLICY nobody ON "odd schema"."odd -- table" USING (false);
REVOKE ALL ON DATABASE {QUOTED} FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE {QUOTED} TO app WITH GRANT OPTION;
ALTER DATABASE {QUOTED} SET search_path TO '$user', public, 'odd schema';
ALTER DATABASE {QUOTED} SET work_mem TO '5MB';
ALTER ROLE app IN DATABASE {QUOTED} SET statement_timeout TO '7s';
ALTER DATABASE {QUOTED} CONNECTION LIMIT 77;
ALTER DATABASE {QUOTED} OWNER TO "odd ""owner"" x";
"""
# Everything about the database that a dump of it does not hold, but not its number.
PROPERTIES_SQL = f"""
SELECT to_jsonb(d) - '{{oid,datname,datfrozenxid,datminmxid,dattablespace}}'::text[], pg_get_userbyid(datdba),
    (SELECT json_agg(s ORDER BY s::text)
     FROM (SELECT setrole::regrole, setconfig FROM pg_db_role_setting WHERE setdatabase = d.oid) s)
FROM pg_database d WHERE datname = $name${DBNAME}$name$
"""
THINGS_SQL = """
SELECT (SELECT convert_from(lo_get(4711), 'UTF8')), (SELECT sum(doubled) FROM days), (SELECT n FROM totals),
    (SELECT count(*) FROM cheap), (SELECT count(*) FROM pg_policies WHERE policyname = 'nobody'),
    (SELECT extname FROM pg_extension WHERE extname = 'pg_trgm'), (SELECT last_value FROM catalog_id_seq),
    (SELECT json_agg(c.relacl ORDER BY relname) FROM pg_class c WHERE relname IN ('catalog', 'days')),
    (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'days')
"""


@pytest.fixture(scope="module")
def target(engine_client: docker.DockerClient, base_images: dict[str, str]) -> t.Iterator[Postgres]:
    """A server of its own: what is restored there is nobody else's."""
    postgres = Postgres(engine_client, base_images["postgres"])
    try:
        postgres.psql(SAMPLE_SQL)
        postgres.psql(MORE_SQL)
        yield postgres
    finally:
        postgres.remove()


@pytest.fixture
def run(tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path) -> t.Callable[..., dict[str, t.Any]]:
    """Runs pg_backup against `target` and gives its result; options override the usual ones."""

    def run(**options: t.Any) -> dict[str, t.Any]:
        server = options.pop("server", target)
        return result_of(start(tmp_path, server, options.pop("dest", dest), **options))

    return run


@pytest.fixture
def restore(
    tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path
) -> t.Iterator[t.Callable[..., dict[str, t.Any]]]:
    """As `run`, but pg_restore. What the test leaves beside the database is gone afterwards."""

    def restore(**options: t.Any) -> dict[str, t.Any]:
        return result_of(start_restore(tmp_path, options.pop("server", target), dest, **options))

    yield restore
    for name in target.databases():
        if "_before_" in name:
            target.psql('DROP DATABASE "' + name.replace('"', '""') + '"', dbname="postgres")


def change(server: Postgres) -> None:
    server.psql("DELETE FROM catalog WHERE id % 2 = 0; UPDATE catalog SET name = 'changed' WHERE id = 1")
    server.psql('DROP TABLE "odd schema"."odd -- table" CASCADE; CREATE TABLE "odd schema"."odd -- table" (v bytea)')
    server.psql("CREATE TABLE later (n int); SELECT lo_unlink(4711); TRUNCATE days")


def test_everything_is_as_it_was(run: t.Any, restore: t.Any, target: Postgres, dest: pathlib.Path) -> None:
    made = run()["backup"]
    before = [target.contents(), target.value(THINGS_SQL), target.value(PROPERTIES_SQL)]
    change(target)
    changed = target.contents()
    result = restore()
    assert result["changed"], result
    restored = result["restored"]
    assert (restored["path"], restored["dbname"], restored["tables"]) == (made["path"], DBNAME, made["tables"])
    assert [target.contents(), target.value(THINGS_SQL), target.value(PROPERTIES_SQL)] == before
    assert target.value("SELECT to_regclass('later') IS NULL") == "t"
    assert target.contents(restored["before"]) == changed and restored["before"] in result["msg"]
    assert f"{DBNAME}_restoring" not in target.databases()
    assert (dest / ".pg_backup.lock").read_text() == "{}"


def test_the_application_reads_and_writes_as_before(run: t.Any, restore: t.Any, target: Postgres) -> None:
    run()
    assert restore()["changed"]
    # over TCP: on the socket, the image lets everybody in without a password
    program = "INSERT INTO catalog (name) VALUES ('by app'); SELECT count(*) > 0 FROM catalog; SHOW statement_timeout"
    argv = ["env", "PGPASSWORD=app-pw", "psql", "-XAtq", "-h", "127.0.0.1", "-U", "app", "-c", program]
    with target.tool(*argv, stdin=subprocess.DEVNULL) as session:
        out, err = session.communicate(timeout=30)
    assert (out.decode().split(), err.decode()) == (["t", "7s"], "")


def test_the_newest_is_restored_unless_another_is_named(run: t.Any, restore: t.Any, target: Postgres) -> None:
    target.psql("CREATE TABLE marks AS SELECT 'first' AS mark")
    first = run()["backup"]
    target.psql("UPDATE marks SET mark = 'second'")
    run()
    target.psql("UPDATE marks SET mark = 'third'")
    unverified = run(verify="none")["backup"]
    target.psql("UPDATE marks SET mark = 'fourth'")

    def mark(**options: t.Any) -> str:
        assert restore(**options)["changed"]
        time.sleep(1)  # the names of what is kept have seconds
        return target.value("SELECT mark FROM marks")

    assert mark() == "second"
    assert mark(backup=first["path"]) == "first"
    assert mark(backup=os.path.basename(unverified["path"]).split(".dump")[0]) == "third"  # verified now
    target.psql("DROP TABLE marks")


def test_check_mode_verifies_and_changes_nothing(
    run: t.Any, restore: t.Any, target: Postgres, dest: pathlib.Path
) -> None:
    made = run()["backup"]
    (dest / ".pg_backup.lock").unlink()
    before = [target.databases(), sorted(dest.iterdir())]
    result = restore(_ansible_check_mode=True)
    assert result["changed"] and result["restored"]["path"] == made["path"] and "would be restored" in result["msg"]
    assert [target.databases(), sorted(dest.iterdir())] == before


def test_no_secret_is_on_any_command_line(
    tmp_path: pathlib.Path, run: t.Any, restore: t.Any, target: Postgres, dest: pathlib.Path
) -> None:
    run()
    seen: set[bytes] = set()
    process = start_restore(tmp_path, target, dest)
    while process.poll() is None:
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                seen.add(pathlib.Path(path).read_bytes())
            except (FileNotFoundError, ProcessLookupError):
                continue
    assert result_of(process)["changed"]
    assert any(line.startswith(b"pg_restore\0") and b"_restoring" in line for line in seen)
    assert not [line for line in seen if b"C4nary" in line]


class Clients:
    """Sessions that keep asking, as an application with a pool does: a connection is tried before it is used."""

    def __init__(self, server: Postgres, dbname: str, count: int = 8) -> None:
        server.container.reload()
        networks = server.container.attrs["NetworkSettings"]["Networks"]
        self._address = next(iter(networks.values()))["IPAddress"]
        self._dbname = dbname
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _each in range(count)]
        self.answers: list[str] = []
        self.refused: list[str] = []  # could not connect
        self.ended: list[str] = []  # were at work

    def connect(self) -> t.Any:
        connection = psycopg2.connect(host=self._address, user=USER, password=PASSWORD, dbname=self._dbname)
        connection.autocommit = True
        return connection

    def _ask(self) -> None:
        connection = None
        while not self._over.is_set():
            try:
                if connection is not None:
                    self._query(connection, "SELECT 1")
            except psycopg2.OperationalError:
                connection = None
            try:
                connection = connection or self.connect()
            except psycopg2.OperationalError as exc:
                self.refused.append(str(exc))
                continue
            try:
                self.answers.append(self._query(connection, "SELECT mark, pg_sleep(0.01) FROM marks"))
            except psycopg2.OperationalError as exc:
                self.ended.append(str(exc))
                connection = None
            self._over.wait(0.01)

    @staticmethod
    def _query(connection: t.Any, sql: str) -> t.Any:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: t.Any) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_who_connects_during_the_swap_waits_and_gets_the_restored_one(
    run: t.Any, restore: t.Any, target: Postgres
) -> None:
    target.psql("CREATE TABLE marks AS SELECT 'then' AS mark")
    run()
    target.psql("UPDATE marks SET mark = 'now'")
    with Clients(target, DBNAME) as clients:
        until(lambda: len(clients.answers) > 100)
        result = restore()
        until(lambda: clients.answers[-8:] == ["then"] * 8)
    assert result["changed"] and result["restored"]["swap_s"] < 5
    first = clients.answers.index("then")
    assert set(clients.answers[:first]) == {"now"} and set(clients.answers[first + 8 :]) == {"then"}
    assert clients.refused == []
    # Answers that were under way had a second to arrive. A query that is sent just when its session is ended is lost.
    assert len(clients.ended) <= 8, clients.ended
    target.psql("DROP TABLE marks")


def test_somebody_who_keeps_the_list_of_databases_from_being_locked(
    run: t.Any, restore: t.Any, target: Postgres
) -> None:
    run()
    target.psql("CREATE TABLE later (n int)")
    with target.tool("psql", "-XAtq", dbname="template1", stdin=subprocess.PIPE) as session:
        session.stdin.write(b"BEGIN; SELECT count(*) > 0 FROM pg_database;\n")  # as a dump of another database does
        session.stdin.flush()
        assert session.stdout.readline() == b"t\n"
        result = restore()
        _out, err = session.communicate(b"COMMIT;\n", timeout=30)
    assert result.get("changed") and result["restored"]["swap_s"] > 4 and not err, result
    assert target.value("SELECT to_regclass('later') IS NULL") == "t"


def test_a_session_that_never_ends_its_transaction_is_ended(run: t.Any, restore: t.Any, target: Postgres) -> None:
    run()
    with target.tool("psql", "-XAtq", stdin=subprocess.PIPE) as session:
        session.stdin.write(b"BEGIN; UPDATE catalog SET price = 1; SELECT 'held';\n")
        session.stdin.flush()
        assert session.stdout.readline() == b"held\n"
        assert restore()["changed"]
        _out, err = session.communicate(b"SELECT 1;\n", timeout=30)
    assert b"terminating connection" in err


def test_roles_that_are_missing_are_made_and_no_other_is_touched(
    run: t.Any, restore: t.Any, engine_client: docker.DockerClient, base_images: dict[str, str]
) -> None:
    made = run()["backup"]
    other = Postgres(engine_client, base_images["postgres"], service="other")
    try:
        other.psql("CREATE ROLE app LOGIN CONNECTION LIMIT 3 PASSWORD 'of its own'; CREATE TABLE here (n int)")
        verifier = other.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
        refused = restore(server=other, backup=made["path"])
        assert refused["failed"] and "foreign=true" in refused["remedy"]
        assert other.value("SELECT count(*) FROM here") == "0"
        result = restore(server=other, backup=made["path"], foreign=True)
        assert result["changed"], result
        assert sorted(result["restored"]["roles"]) == ['odd "owner" x', "reporting"]
        assert "without a password" in result["msg"]
        assert other.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'") == verifier
        assert other.value("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'app'") == "3"
        assert other.value("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'days'") == 'odd "owner" x'
        assert other.contents() and other.value("SELECT count(*) FROM here", result["restored"]["before"]) == "0"
    finally:
        other.remove()


def test_a_role_that_nothing_makes_is_named(
    run: t.Any, restore: t.Any, engine_client: docker.DockerClient, base_images: dict[str, str]
) -> None:
    made = run(globals=False)["backup"]
    other = Postgres(engine_client, base_images["postgres"], service="other")
    try:
        before = other.databases()
        result = restore(server=other, backup=made["path"], foreign=True)
        assert result["failed"] and "globals" in result["remedy"]
        assert 'role "odd "owner" x" does not exist' in result["cause"]
        assert other.databases() == before
    finally:
        other.remove()


def test_a_database_that_is_gone(run: t.Any, restore: t.Any, target: Postgres) -> None:
    target.psql("CREATE DATABASE gone", dbname="postgres")
    target.psql("CREATE TABLE here AS SELECT 7 AS n", dbname="gone")
    run(dbname="gone")
    target.psql("DROP DATABASE gone", dbname="postgres")
    result = restore(dbname="gone")
    assert result["changed"] and result["restored"]["before"] is None
    assert target.value("SELECT n FROM here", "gone") == "7"
    target.psql("DROP DATABASE gone", dbname="postgres")


def test_other_encodings_and_the_longest_name(run: t.Any, restore: t.Any, target: Postgres) -> None:
    name = "ü" * 31 + "x"  # 63 bytes
    kind = 'ENCODING LATIN1 LC_COLLATE "C" LC_CTYPE "C"'
    target.psql(f'CREATE DATABASE "{name}" TEMPLATE template0 {kind}', dbname="postgres")
    target.psql("CREATE TABLE words AS SELECT 'größer'::text AS word", dbname=name)
    run(dbname=name)
    target.psql("UPDATE words SET word = 'kleiner'", dbname=name)
    result = restore(dbname=name)
    assert result["changed"] and len(result["restored"]["before"].encode()) <= 63
    assert target.value("SELECT word || current_setting('server_encoding') FROM words", name) == "größerLATIN1"
    assert target.value("SELECT word FROM words", result["restored"]["before"]) == "kleiner"
    target.psql(f'DROP DATABASE "{name}"', dbname="postgres")


@pytest.fixture
def plain(target: Postgres) -> t.Iterator[dict[str, str]]:
    """A database whose owner is no superuser, as options."""
    target.psql("CREATE ROLE plain LOGIN CREATEDB PASSWORD 'plain-pw'", dbname="postgres")
    target.psql("CREATE DATABASE plains OWNER plain", dbname="postgres")
    target.psql("SET ROLE plain; CREATE TABLE words AS SELECT 'then' AS word", dbname="plains")
    yield {"dbname": "plains", "login_user": "plain", "login_password": "plain-pw", "login_host": "127.0.0.1"}
    for name in target.databases():
        if name.startswith("plains"):
            target.psql(f"DROP DATABASE {name}", dbname="postgres")
    target.psql("DROP ROLE plain", dbname="postgres")


def test_an_owner_who_is_no_superuser(
    run: t.Any, restore: t.Any, target: Postgres, plain: dict[str, str]
) -> None:
    run(**plain)
    target.psql("UPDATE words SET word = 'now'", dbname="plains")
    result = restore(**plain)
    assert result.get("changed"), result
    assert target.value("SELECT word FROM words", "plains") == "then"


def test_a_session_that_may_not_be_ended_leaves_everything_as_it_was(
    run: t.Any, restore: t.Any, target: Postgres, plain: dict[str, str], dest: pathlib.Path
) -> None:
    run(**plain)
    before = target.databases()
    with target.tool("psql", "-XAtq", dbname="plains", stdin=subprocess.PIPE) as session:  # a superuser's
        session.stdin.write(b"SELECT 'here';\n")
        session.stdin.flush()
        assert session.stdout.readline() == b"here\n"
        result = restore(**plain)
        session.communicate(timeout=30)
    assert result["failed"] and "to terminate" in result["cause"] and "superuser" in result["remedy"]
    assert "the running database is as it was, nothing half-restored is left" in result["cause"]
    assert target.databases() == before and (dest / ".pg_backup.lock").read_text() == "{}"


def test_by_other_compressions(run: t.Any, restore: t.Any, target: Postgres) -> None:
    for compression in ("gzip", "none"):
        before = target.contents()
        run(compression=compression)
        target.psql("DELETE FROM catalog")
        assert restore()["changed"] and target.contents() == before
        time.sleep(1)


def test_a_newer_server_s_dump_is_refused(run: t.Any, restore: t.Any, target: Postgres) -> None:
    made = run()["backup"]
    path = pathlib.Path(made["manifest"])
    path.write_text(json.dumps({**json.loads(path.read_text()), "server_version": "99.1"}))
    before = target.databases()
    result = restore()
    assert result["failed"] and "PostgreSQL 99.1" in result["cause"] and target.databases() == before


def test_what_restores_kept_goes_when_its_days_are_over(run: t.Any, restore: t.Any, target: Postgres) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    oldest, old, used, fresh = (
        f"{DBNAME}_before_{now - datetime.timedelta(days=days):%Y%m%d_%H%M%S}" for days in (40, 20, 10, 1)
    )
    foreign = f"{DBNAME}_before_the_move"
    for name in (oldest, used, foreign):
        target.psql('CREATE DATABASE "' + name.replace('"', '""') + '"', dbname="postgres")
    target.psql('CREATE DATABASE "' + fresh.replace('"', '""') + '"', dbname="postgres")
    with target.tool("psql", "-XAtq", dbname=used, stdin=subprocess.PIPE) as session:
        session.stdin.write(b"SELECT 'here';\n")
        session.stdin.flush()
        assert session.stdout.readline() == b"here\n"
        preview = run(_ansible_check_mode=True)
        assert preview["dropped"] == [oldest] and oldest in target.databases()
        result = run()
        session.communicate(timeout=30)
    assert result["dropped"] == [oldest] and oldest not in target.databases()
    assert f"{used} should have been dropped, but somebody is connected to it" in result["msg"]
    target.psql('CREATE DATABASE "' + old.replace('"', '""') + '"', dbname="postgres")
    preview = restore(_ansible_check_mode=True, keep_before=0)
    assert preview["dropped"] == [old, used, fresh] and old in target.databases()
    result = restore()
    assert (
        result["changed"] and result["dropped"] == [old, used] and "Dropped what earlier restores kept" in result["msg"]
    )
    assert {name for name in target.databases() if "_before_" in name} == {fresh, foreign, result["restored"]["before"]}


def test_what_is_not_the_login_s_to_drop_is_told(run: t.Any, target: Postgres, plain: dict[str, str]) -> None:
    kept = ["plains_before_20250101_000000", "plains_before_20250102_000000"]
    for name in kept:
        target.psql(f"CREATE DATABASE {name}", dbname="postgres")
    result = run(globals=False, **plain)
    assert result["changed"] and result["dropped"] == [] and set(kept) < set(target.databases())
    assert f"{kept[0]} should have been dropped, but login_user is not its owner" in result["msg"], result
    target.psql(f"ALTER DATABASE {kept[0]} OWNER TO plain", dbname="postgres")
    assert run(globals=False, **plain)["dropped"] == kept[:1] and kept[0] not in target.databases()
