# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database with everything that one can hold, and what is in it as text."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import typing as t

if t.TYPE_CHECKING:
    from backup_server import Postgres

_ODD = '''odd "name" 'x' -- /* ü 漢 */ ; \\ $$ %s'''
_SQL = """
CREATE EXTENSION pg_trgm;
CREATE EXTENSION hstore;
CREATE SCHEMA {odd};
CREATE TYPE {odd}.{kind} AS ENUM ('{text}', 'b');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE SEQUENCE {odd}.counter START 7 INCREMENT 3 CYCLE MAXVALUE 100;
SELECT nextval('{odd_text}.counter') FROM generate_series(1, 5);
CREATE TABLE {odd}.{odd} ({odd} {odd}.{kind}, id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, words hstore);
INSERT INTO {odd}.{odd} ({odd}, words) SELECT 'b', hstore('k', g::text) FROM generate_series(1, 50) g;
COMMENT ON TABLE {odd}.{odd} IS '{text}';
CREATE TABLE days (day date NOT NULL, n positive, doubled int GENERATED ALWAYS AS (n * 2) STORED,
                   PRIMARY KEY (day, n)) PARTITION BY RANGE (day);
CREATE TABLE days_2025 PARTITION OF days FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY HASH (n);
CREATE TABLE days_2025_0 PARTITION OF days_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE days_2025_1 PARTITION OF days_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE days_else PARTITION OF days DEFAULT;
INSERT INTO days SELECT '2025-06-01'::date + g, g + 1 FROM generate_series(0, 400) g;
CREATE TABLE parent (a text);
CREATE TABLE child (b text) INHERITS (parent);
INSERT INTO child VALUES ('a', E'tab\\t newline\\n return\\r backslash\\\\ \\\\. null\\\\N');
CREATE UNLOGGED TABLE passing AS SELECT 1 AS n;
CREATE TABLE nothing ();
CREATE TABLE numbers AS SELECT 'NaN'::float8 AS a, '-Infinity'::float8 AS b, 1e-320::float8 AS c,
    'infinity'::timestamptz AS d, '0044-03-15 BC'::date AS e, ARRAY[[1, NULL], [3, 4]] AS f,
    '\\x00ff'::bytea AS g, '{{"a": "\\u00fc"}}'::jsonb AS h,
    B'101' AS i, int4range(1, 5) AS j, '<a/>'::xml AS k, repeat('wide ', 100000) AS l;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM days;
CREATE MATERIALIZED VIEW later AS SELECT count(*) AS n FROM days WITH NO DATA;
CREATE UNIQUE INDEX ON totals (n);
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION touched();
CREATE RULE quiet AS ON DELETE TO parent DO INSTEAD NOTHING;
CREATE INDEX ON parent USING gin (a gin_trgm_ops);
CREATE STATISTICS related ON day, n FROM days_2025_0;
CREATE ROLE {odd};
ALTER TABLE parent OWNER TO {odd};
ALTER TABLE parent ENABLE ROW LEVEL SECURITY;
ALTER TABLE parent FORCE ROW LEVEL SECURITY;
CREATE POLICY {odd} ON parent TO {odd} USING (a = '{text}');
INSERT INTO parent VALUES ('hidden from its owner');
GRANT SELECT (a), UPDATE ON parent TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA {odd} GRANT SELECT ON TABLES TO {odd};
SELECT lo_from_bytea(4711, 'a large object'), lo_from_bytea(4712, decode(repeat('00ff', 300000), 'hex'));
SELECT lo_create(4713);
GRANT SELECT ON LARGE OBJECT 4711 TO {odd};
COMMENT ON LARGE OBJECT 4712 IS '{text}';
CREATE PUBLICATION all_of_it FOR ALL TABLES;
"""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def plain(server: Postgres, dbname: str) -> list[bytes]:
    """Everything in a database, as SQL; without the key that newer versions of pg_dump draw for each run."""
    with server.tool("pg_dump", "--format=plain", dbname=dbname, stdin=subprocess.DEVNULL) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return [line for line in out.splitlines() if not line.startswith((b"\\restrict ", b"\\unrestrict "))]


WRITTEN_SQL = """
CREATE TABLE a_first (n int);
CREATE TABLE z_last (n int);
CREATE TABLE middle AS SELECT g, md5(g::text) FROM generate_series(1, 300000) g;
"""


@contextlib.contextmanager
def writing(server: Postgres, dbname: str) -> t.Iterator[None]:
    """A session that writes to both tables of WRITTEN_SQL, a transaction after the other."""
    over, begun = threading.Event(), threading.Event()

    def write(session: subprocess.Popen[bytes]) -> None:
        while not over.is_set():
            session.stdin.write(b"BEGIN; INSERT INTO a_first VALUES (1); INSERT INTO z_last VALUES (1); COMMIT;\n")
            session.stdin.write(b"SELECT 1;\n")
            session.stdin.flush()
            assert session.stdout.readline() == b"1\n"
            begun.set()

    with server.tool("psql", "-XAtq", dbname=dbname, stdin=subprocess.PIPE) as session:
        thread = threading.Thread(target=write, args=(session,))
        thread.start()
        try:
            assert begun.wait(10)
            yield
        finally:
            over.set()
            thread.join()
            session.communicate(timeout=30)


_TEXT = _ODD.replace("'", "''")
ROLE = quoted(_ODD)
EVERYTHING = _SQL.format(odd=ROLE, kind=quoted(f"{_ODD}?"), text=_TEXT, odd_text=quoted(_TEXT))
