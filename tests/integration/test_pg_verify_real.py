# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_backup with verify=restore against a real PostgreSQL: what it proves and finds, and that no throwaway stays."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import typing as t

import docker
import pytest
from ansible_collections.tria.production.plugins.module_utils._backup import (
    custom,
    directory,
    engine,
    snapshot,
    throwaway,
    transit,
)
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from backup_server import (
    DBNAME,
    OPTIONS,
    SAMPLE_SQL,
    Postgres,
    locked_table,
    manifests,
    partials,
    result_of,
    start,
    start_restore,
    until,
)

# What is hard to compare, or to restore where nothing is there yet.
ODD_SQL = """
CREATE EXTENSION pg_trgm;
CREATE EXTENSION citext;
CREATE ROLE app LOGIN;
CREATE ROLE "odd ""owner"" x" IN ROLE app;
CREATE TABLE days (day date NOT NULL, n int, doubled int GENERATED ALWAYS AS (n * 2) STORED) PARTITION BY RANGE (day);
CREATE TABLE days_2025 PARTITION OF days FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO days SELECT '2025-01-01'::date + g, g FROM generate_series(1, 300) g;
CREATE TABLE parent (a int);
CREATE TABLE child (b int) INHERITS (parent);
ALTER TABLE parent ADD COLUMN c text DEFAULT 'c';
INSERT INTO child (a, b) VALUES (1, 2);
INSERT INTO parent VALUES (3);
CREATE UNLOGGED TABLE quick AS SELECT 1.1::float8 / g AS f, now() AS at, 3.5::money AS m FROM generate_series(1, 9) g;
CREATE TABLE dropped (a int, gone int, b interval, d citext);
ALTER TABLE dropped DROP COLUMN gone;
INSERT INTO dropped VALUES (1, '1 day 2 hours', 'Ü');
CREATE TABLE named (t regclass, x int);
INSERT INTO named VALUES ('catalog', 1), ('"odd schema"."odd -- table"', 2);
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM named;
ALTER MATERIALIZED VIEW totals OWNER TO app;
GRANT SELECT ON named TO app;
INSERT INTO named VALUES (NULL, 3);
SELECT lo_from_bytea(4711, 'a large object'), lo_from_bytea(4712, repeat('x', 3000000)::bytea);
SELECT lo_put(lo_create(4713), 5000000, 'behind a hole');
ALTER TABLE named OWNER TO "odd ""owner"" x";
ALTER TABLE dropped ENABLE ROW LEVEL SECURITY;
ALTER TABLE dropped FORCE ROW LEVEL SECURITY;
CREATE POLICY nobody ON dropped TO app USING (false);
CREATE PUBLICATION names FOR TABLE named;
"""


@pytest.fixture(scope="module")
def target(engine_client: docker.DockerClient, base_images: dict[str, str]) -> t.Iterator[Postgres]:
    """A server of its own, with everything odd in it."""
    postgres = Postgres(engine_client, base_images["postgres"])
    try:
        postgres.psql(SAMPLE_SQL)
        postgres.psql(ODD_SQL)
        yield postgres
    finally:
        postgres.remove()


@pytest.fixture
def throwaways(engine_client: docker.DockerClient, dest: pathlib.Path) -> t.Callable[[], list[str]]:
    """Names of the throwaway containers that are there for backups in `dest`."""
    which = {"all": True, "ignore_removed": True, "filters": {"label": f"{throwaway.LABEL}={dest}"}}
    return lambda: [each.name for each in engine_client.containers.list(**which)]


@pytest.fixture
def run(
    tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path, throwaways: t.Any
) -> t.Iterator[t.Callable[..., dict[str, t.Any]]]:
    """Runs pg_backup against `target` as a process of its own and gives its result; nothing of it may stay."""

    def run(**options: t.Any) -> dict[str, t.Any]:
        server = options.pop("server", target)
        return result_of(start(tmp_path, server, dest, **{"verify": "restore", **options}))

    yield run
    assert throwaways() == [] and target.dumping() == 0 and not partials(dest)


@pytest.fixture
def create(target: Postgres, dest: pathlib.Path, throwaways: t.Any) -> t.Iterator[t.Callable[..., dict[str, t.Any]]]:
    """As `run`, but in this process, where a fault can be planted."""
    options = {**OPTIONS, "dest": str(dest), "container": {"name": target.name}, "verify": "restore", "keep_labels": []}
    yield lambda **changes: engine.create({**options, **changes})
    assert throwaways() == [] and target.dumping() == 0 and not partials(dest)


def contents(made: dict[str, t.Any]) -> dict[str, t.Any]:
    return json.loads(pathlib.Path(made["manifest"]).read_text())["contents"]


def test_every_table_is_counted_and_restored(run: t.Any, target: Postgres) -> None:
    result = run()
    assert result.get("changed"), result
    made = result["backup"]
    assert (made["verified"], made["verified_reason"]) == ("restore", None) and "contents" not in made
    assert result["results"][0]["name"] == f"{DBNAME}, verified by restoring it" and "restoring it" in result["msg"]
    rows = {table: each["rows"] for table, each in contents(made).items()}
    assert rows == {
        "public.catalog": 5000,
        '"odd schema"."odd -- table"': 500,
        "public.days_2025": 300,
        "public.parent": 1,
        "public.child": 1,
        "public.quick": 9,
        "public.dropped": 1,
        "public.named": 3,
        "public.nothing": 1,
        snapshot.LARGE_OBJECTS: 3,
    }


def test_what_is_written_during_the_dump_does_not_matter(
    create: t.Any, target: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried, before = transit.carried, target.value("SELECT count(*) FROM catalog")

    def write_meanwhile(*args: t.Any, **kwargs: t.Any) -> None:
        target.psql("INSERT INTO catalog (name) VALUES ('meanwhile'); UPDATE parent SET c = 'changed'")
        target.psql("SELECT nextval('catalog_id_seq'), lo_unlink(4711); REFRESH MATERIALIZED VIEW totals")
        target.psql("CREATE TABLE later AS SELECT 1 AS n")
        carried(*args, **kwargs)
        target.psql("DELETE FROM catalog WHERE name = 'meanwhile'; DROP TABLE later")
        target.psql("UPDATE parent SET c = 'c'; SELECT lo_from_bytea(4711, 'a large object')")

    monkeypatch.setattr(transit, "carried", write_meanwhile)
    made = create()["backup"]
    assert str(contents(made)["public.catalog"]["rows"]) == before
    assert contents(made)[snapshot.LARGE_OBJECTS]["rows"] == 3 and "public.later" not in contents(made)


def test_what_was_lost_on_the_way_is_found(create: t.Any, dest: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {
        "DELETE FROM catalog WHERE id = 7": "public.catalog has 4999 rows instead of 5000",
        "UPDATE days SET n = 0 WHERE n = 7": "public.days_2025 has as many rows, but not the same",
        "DROP TABLE quick": "public.quick is missing",
        "SELECT lo_put(4712, 2999999, 'y')": f"{snapshot.LARGE_OBJECTS} has as many rows, but not the same",
        "CREATE TABLE more ()": "public.more was not there",
    }
    read = snapshot.contents

    def lose(server: t.Any, *args: t.Any) -> t.Any:
        assert server.connection.dbname != DBNAME  # where it was restored to
        server.script(";\n".join(lost), args[0])
        return read(server, *args)

    monkeypatch.setattr(snapshot, "contents", lose)
    with pytest.raises(ProductionError, match="restored, it is not what was dumped") as caught:
        create()
    assert sorted(caught.value.details["differences"]) == sorted(lost.values()) and not manifests(dest)


@pytest.mark.parametrize("made_by", [custom, directory], ids=lambda each: each.__name__.rpartition(".")[2])
def test_a_table_whose_rows_are_not_dumped_is_found(
    create: t.Any, dest: pathlib.Path, monkeypatch: pytest.MonkeyPatch, made_by: t.Any
) -> None:
    make = made_by.Dump.make

    def leave_out(dump: t.Any, draft: t.Any, source: t.Any, options: list[str], level: int) -> None:
        make(dump, draft, source, options + ["--exclude-table-data=cat*"], level)

    monkeypatch.setattr(made_by.Dump, "make", leave_out)
    with pytest.raises(ProductionError, match="public.catalog has 0 rows instead of 5000"):
        create(format=made_by.__name__.rpartition(".")[2])
    assert not manifests(dest)


def test_a_dump_that_cannot_be_restored_is_no_backup(run: t.Any, target: Postgres, dest: pathlib.Path) -> None:
    """Whole and readable, but of a check that its rows do not pass any more."""
    target.psql("CREATE DATABASE strict", dbname="postgres")
    target.psql("CREATE FUNCTION good(text) RETURNS bool LANGUAGE sql AS 'SELECT true'", dbname="strict")
    target.psql(
        "CREATE TABLE list AS SELECT 'personal' AS name; ALTER TABLE list ADD CHECK (good(name))", dbname="strict"
    )
    target.psql("CREATE OR REPLACE FUNCTION good(text) RETURNS bool LANGUAGE sql AS 'SELECT false'", dbname="strict")
    refused = run(dbname="strict")
    assert refused["failed"] and "cannot be restored" in refused["cause"], refused
    assert "violates check constraint" in refused["cause"] and "personal" not in json.dumps(refused)
    assert not manifests(dest)
    assert run(dbname="strict", verify="archive")["changed"]  # which is why it is restored
    target.psql("DROP DATABASE strict", dbname="postgres")


def test_above_the_limit_it_is_read_whole(run: t.Any, throwaways: t.Any) -> None:
    result = run(verify_restore_up_to="1M")
    assert (
        result["backup"]["verified"] == "archive" and "verify_restore_up_to=1M" in result["backup"]["verified_reason"]
    )
    assert "reading it whole" in result["results"][0]["name"] and "1M" in result["results"][0]["message"]
    assert "reading it whole" in result["msg"] and "1M" in result["msg"]


def test_a_locked_table_is_named_with_its_holder(run: t.Any, target: Postgres) -> None:
    with locked_table(target):
        result = run(lock_timeout=0.5)
    assert result["failed"] and "catalog" in result["cause"] and "application migration" in result["cause"], result


def test_somebody_who_waits_between_snapshot_and_dump_is_named(
    create: t.Any, target: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for the snapshot's session keeps the dump waiting, and neither can see it in the other."""
    carried, sessions = transit.carried, []

    def wait_meanwhile(*args: t.Any, **kwargs: t.Any) -> None:
        lock = ["-c", "SET application_name = 'migration'", "-c", "BEGIN", "-c", "LOCK TABLE catalog"]
        sessions.append(target.tool("psql", "-XAtq", *lock))
        until(lambda: target.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1")
        carried(*args, **kwargs)

    monkeypatch.setattr(transit, "carried", wait_meanwhile)
    with pytest.raises(ProductionError, match="catalog .*application migration, .*waits itself for pid "):
        create(lock_timeout=1.0)
    with sessions[0] as session:
        session.communicate(timeout=30)


def test_a_full_disk_is_noticed_before(create: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throwaway, "_RESERVE_BYTES", 1 << 60)
    with pytest.raises(ProductionError, match="to restore the dump into a throwaway container"):
        create()


def test_a_restore_compares_with_what_was_dumped(
    tmp_path: pathlib.Path, run: t.Any, target: Postgres, dest: pathlib.Path
) -> None:
    made = run()["backup"]
    before = target.databases()
    path = pathlib.Path(made["manifest"])
    record = json.loads(path.read_text())
    path.write_text(
        json.dumps({**record, "contents": {**record["contents"], "public.catalog": {"rows": 1, "hash": "1"}}})
    )
    refused = result_of(start_restore(tmp_path, target, dest))
    assert refused["failed"] and "has 5000 rows instead of 1" in refused["cause"] and target.databases() == before
    path.write_text(json.dumps(record))
    result = result_of(start_restore(tmp_path, target, dest))
    assert result["changed"], result
    target.psql('DROP DATABASE "' + result["restored"]["before"].replace('"', '""') + '"', dbname="postgres")


@pytest.fixture
def shims(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str, str], None]:
    """Makes programs that come first on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)

    return make


def test_an_engine_that_loses_the_end_of_the_output(run: t.Any, shims: t.Any, dest: pathlib.Path) -> None:
    shims("docker", 'case "$*" in *sha256sum*) /usr/bin/docker "$@" | head -c -5;; *) exec /usr/bin/docker "$@";; esac')
    for verify in ("restore", "archive"):
        result = run(verify=verify)
        assert result["failed"] and "pg_dump printed in the container" in result["cause"], result
    assert not manifests(dest)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_no_throwaway(
    tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path, throwaways: t.Any, number: int
) -> None:
    process = start(tmp_path, target, dest, verify="restore")
    until(throwaways)
    process.send_signal(number)
    process.communicate()
    until(lambda: not throwaways())  # also without another run
    assert not manifests(dest)


def test_a_throwaway_that_stayed_is_removed_by_the_next_run(
    run: t.Any, engine_client: docker.DockerClient, base_images: dict[str, str], dest: pathlib.Path, throwaways: t.Any
) -> None:
    labels = {throwaway.LABEL: str(dest)}
    left = engine_client.containers.run(base_images["postgres"], "600", entrypoint="sleep", detach=True, labels=labels)
    left.reload()
    volume = left.attrs["Mounts"][0]["Name"]
    assert throwaways() == [left.name]
    assert run(dbname="postgres", verify="archive")["changed"] and throwaways() == []
    assert volume not in [each.name for each in engine_client.volumes.list()]


def test_of_another_server_it_is_a_database_beside(
    run: t.Any, tmp_path: pathlib.Path, target: Postgres, dest: pathlib.Path, shims: t.Any
) -> None:
    # The host needs no PostgreSQL for this test: its "own" tools are those of the container, reached over TCP.
    for tool in ("psql", "pg_dump", "pg_dumpall", "pg_restore"):
        names = " ".join(f"-e {name}" for name in "PGDATABASE PGUSER PGPASSWORD PGHOST PGPORT PGAPPNAME LC_ALL".split())
        shims(tool, f'exec /usr/bin/docker exec -i {names} {target.name} {tool} "$@"')
    server = {"container": None, "login_host": "127.0.0.1", "login_port": 5432}
    before = target.databases()
    result = run(**server)
    assert result.get("changed") and result["backup"]["verified"] == "restore", result
    assert len(contents(result["backup"])) == 10 and target.databases() == before
    process = start(tmp_path, target, dest, verify="restore", **server)
    until(lambda: len(target.databases()) > len(before))
    process.kill()
    process.communicate()
    assert run(verify="archive", **server)["changed"] and target.databases() == before
