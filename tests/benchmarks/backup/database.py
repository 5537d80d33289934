# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A PostgreSQL server of its own with a database to be dumped."""

from __future__ import annotations

import contextlib
import subprocess
import typing as t

import docker
from benchmarks.readiness.stack import image
from integration.backup_server import Postgres

# pgbench's rows compress unrealistically well; documents compress as such things do, and random bytes not at all.
_MORE_SQL = """
CREATE EXTENSION pgcrypto;
CREATE TABLE documents AS
  SELECT g AS id, jsonb_build_object('id', gen_random_uuid(), 'at', now() + g * interval '1 s', 'price', g % 999,
    'customer', md5((g % 5000)::text), 'tags', jsonb_build_array('new', g % 7, md5((g % 100)::text)),
    'text', (SELECT string_agg(md5((g * w)::text), ' ') FROM generate_series(1, 8) w)) AS document
  FROM generate_series(1, {scale} * 2000) g;
CREATE TABLE incompressible AS
  SELECT g AS id, gen_random_bytes(1000) AS bytes FROM generate_series(1, {scale} * 1000) g;
VACUUM ANALYZE;
CHECKPOINT;
"""


@contextlib.contextmanager
def server() -> t.Iterator[Postgres]:
    """A server in a container; nothing of it is left afterwards."""
    client = docker.from_env()
    try:
        postgres = Postgres(client, image("postgres"), service="bench")
        try:
            yield postgres
        finally:
            postgres.remove()
    finally:
        client.close()


@contextlib.contextmanager
def filled(postgres: Postgres, scale: int) -> t.Iterator[str]:
    """The name of a database with pgbench's tables at `scale` (15 MB each), and documents and random bytes (2 MB)."""
    name = f"bench_{scale}"
    postgres.psql(f"CREATE DATABASE {name}", dbname="postgres")
    try:
        pgbench = 'exec "$(pg_config --bindir)/pgbench" "$@"'
        _run(postgres, name, "sh", "-c", pgbench, "sh", "--initialize", "--quiet", f"--scale={scale}")
        for statement in filter(str.strip, _MORE_SQL.format(scale=scale).split(";\n")):
            _run(postgres, name, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement)
        yield name
    finally:
        postgres.psql(f"DROP DATABASE {name}", dbname="postgres")


def _run(postgres: Postgres, dbname: str, *argv: str) -> None:
    with postgres.tool(*argv, dbname=dbname, stdin=subprocess.DEVNULL) as process:
        _out, err = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError(f"{argv[0]}: {err.decode()}")
