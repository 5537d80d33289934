# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore decides without a server: which backup, which statements, which roles."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import pytest

from ansible_collections.tria.production.plugins.module_utils._backup import choice, databases, manifest, restore, roles
from ansible_collections.tria.production.plugins.module_utils._backup.folder import Draft
from ansible_collections.tria.production.plugins.module_utils._backup.source import conninfo
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

SOURCE = {"project": "tria", "service": "postgres"}
LIVE = {
    "attributes": {"datconnlimit": -1, "datcollate": "C.UTF-8", "datctype": "C", "datlocprovider": "c"},
    "owner": 'o"wner',
    "encoding": "UTF8",
    "tablespace": "pg_default",
    "location": "",
    "grants": None,
    "settings": None,
}


def publish(folder: pathlib.Path, stem: str, created: int, **changes: t.Any) -> manifest.Manifest:
    made = manifest.Manifest(
        created_at=f"2025-01-02T03:04:{created:02}.000000Z",
        dbname="shop",
        source=SOURCE,
        dump=manifest.File(f"{stem}.dump.zst", 4, "0" * 64),
        globals=None,
        compression="zstd",
        archive_bytes=10,
        database_size_bytes=100,
        server_version="15.1",
        pg_dump_version="15.1",
        entries=5,
        tables=1,
        verified="archive",
        duration_s=0.1,
    )
    made = dataclasses.replace(made, **changes)
    folder.mkdir(exist_ok=True)
    with Draft(str(folder)) as draft:
        with draft.create(made.dump.file) as file:
            file.write(b"dump")
        draft.publish(made)
    return made


def choose(folder: pathlib.Path, wanted: str | None = None, **changes: t.Any) -> str:
    options = {"dbname": "shop", "source": SOURCE, "foreign": False, **changes}
    return choice.choose(str(folder), wanted, **options).record.dump.file.split(".")[0]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    backups = tmp_path / "backups"
    publish(backups, "first", 1)
    publish(backups, "second", 2)
    publish(backups, "unread", 3, verified="none")
    publish(backups, "other", 4, dbname="other")
    publish(backups, "elsewhere", 5, source={"host": "db2", "port": None})
    return backups


def test_the_newest_verified_one_of_this_database(folder: pathlib.Path) -> None:
    assert choose(folder) == "second"
    assert choose(folder, dbname="other") == "other"
    assert choose(folder, foreign=True) == "elsewhere"
    with pytest.raises(ProductionError, match="no verified backup of database gone of project tria, service postgres"):
        choose(folder, dbname="gone")
    with pytest.raises(ProductionError, match="no verified backup"):
        choose(folder / "missing")


@pytest.mark.parametrize("wanted", ["first", "first.dump.zst", "first.dump.zst.json", "{}/first.dump.zst", "{}/first"])
def test_one_that_is_named(folder: pathlib.Path, wanted: str) -> None:
    assert choose(folder, wanted.format(folder)) == "first"


def test_an_unverified_one_may_be_named(folder: pathlib.Path) -> None:
    assert choose(folder, "unread") == "unread"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("third", "does not exist. Remedy: .* newest first: elsewhere.dump.zst, other.dump.zst, unread"),
        ("other", "is a backup of database other of project tria, service postgres, not of database shop"),
        ("elsewhere", "of database shop of host db2, not of"),
    ],
)
def test_one_that_is_refused(folder: pathlib.Path, wanted: str, words: str) -> None:
    with pytest.raises(ProductionError, match=words):
        choose(folder, wanted)


def test_a_foreign_one_has_to_be_wanted(folder: pathlib.Path) -> None:
    assert choose(folder, "elsewhere", foreign=True) == "elsewhere"


@pytest.mark.parametrize("damage", ["manifest", "size"])
def test_one_that_is_not_complete(folder: pathlib.Path, damage: str) -> None:
    dump = folder / "second.dump.zst"
    if damage == "manifest":
        dump.with_name(dump.name + ".json").unlink()
    else:
        dump.write_bytes(b"dum")
    with pytest.raises(ProductionError, match="is not a complete backup"):
        choose(folder, "second")


@pytest.mark.parametrize(("server", "refused"), [("14.9 (Debian)", True), ("15.0", False), ("16rc1", False)])
def test_a_dump_of_a_newer_server(folder: pathlib.Path, server: str, refused: bool) -> None:
    chosen = choice.choose(str(folder), "first", "shop", SOURCE, False)
    if not refused:
        return choice.require_version(chosen, server)
    with pytest.raises(ProductionError, match="was made of PostgreSQL 15.1, this server is 14.9"):
        choice.require_version(chosen, server)
    return None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("shop", "shop_restoring"), ("x" * 63, "x" * 53 + "_restoring"), ("ü" * 31, "ü" * 26 + "_restoring")],
)
def test_a_name_beside_another_is_never_cut(name: str, expected: str) -> None:
    assert databases.beside(name, "_restoring") == expected
    assert len(expected.encode()) <= 63


def test_a_database_of_the_server_s_own_kind() -> None:
    assert databases.create_statement('a"b', None) == 'CREATE DATABASE "a""b" TEMPLATE template0'
    assert databases.property_statements("a", None) == []


@pytest.mark.parametrize(
    ("changes", "attributes", "expected"),
    [
        ({}, {}, 'OWNER "o""wner" ENCODING \'UTF8\' LC_COLLATE \'C.UTF-8\' LC_CTYPE \'C\''),
        ({"tablespace": "fast disk", "location": "/fast"}, {}, 'TABLESPACE "fast disk"'),
        ({}, {"datlocprovider": "i", "daticulocale": "de"}, "LOCALE_PROVIDER icu ICU_LOCALE 'de'"),
        ({}, {"datlocprovider": "i", "datlocale": "de", "daticurules": "&a < b"}, "ICU_LOCALE 'de' ICU_RULES '&a < b'"),
        ({}, {"datlocprovider": "b", "datlocale": "C.UTF-8"}, "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"),
    ],
)
def test_a_database_of_the_same_kind(changes: dict[str, t.Any], attributes: dict[str, t.Any], expected: str) -> None:
    live = {**LIVE, **changes, "attributes": {**LIVE["attributes"], **attributes}}
    statement = databases.create_statement("new", live)
    assert expected in statement
    assert ("TABLESPACE" in statement) == bool(changes)


def test_grants_and_settings() -> None:
    grants = [
        {"grantee": 'o"wner', "privilege": "CREATE", "grantable": False},
        {"grantee": None, "privilege": "CONNECT", "grantable": False},
        {"grantee": "app", "privilege": "TEMPORARY", "grantable": True},
    ]
    settings = [
        {"role": None, "values": ['search_path="$user", public, "it\'s"', "work_mem=5MB", "my.text=a=b'c"]},
        {"role": None, "values": ['search_path=""']},
        {"role": "app", "values": ["statement_timeout=7s"]},
    ]
    assert databases.property_statements("n", {**LIVE, "grants": grants, "settings": settings}) == [
        'ALTER DATABASE "n" CONNECTION LIMIT -1',
        'REVOKE ALL ON DATABASE "n" FROM PUBLIC, "o""wner"',
        'GRANT CREATE ON DATABASE "n" TO "o""wner"',
        'GRANT CONNECT ON DATABASE "n" TO PUBLIC',
        'GRANT TEMPORARY ON DATABASE "n" TO "app" WITH GRANT OPTION',
        "ALTER DATABASE \"n\" SET \"search_path\" TO '$user', public, 'it''s'",
        "ALTER DATABASE \"n\" SET \"work_mem\" TO '5MB'",
        "ALTER DATABASE \"n\" SET \"my\".\"text\" TO 'a=b''c'",
        "ALTER DATABASE \"n\" SET \"search_path\" TO ''",
        'ALTER ROLE "app" IN DATABASE "n" SET "statement_timeout" TO \'7s\'',
    ]


GLOBALS = """--
-- PostgreSQL database cluster dump; it's a comment
--

\\restrict abc
SET default_transaction_read_only = off;
SET standard_conforming_strings = on;

CREATE ROLE admin;
ALTER ROLE admin WITH SUPERUSER LOGIN;
CREATE ROLE "odd; ""role"" x";
ALTER ROLE "odd; ""role"" x" WITH NOSUPERUSER NOLOGIN;
COMMENT ON ROLE "odd; ""role"" x" IS 'it''s;
CREATE ROLE never;
';
ALTER ROLE "odd; ""role"" x" SET search_path TO E'a\\';b', 'c';

GRANT admin TO "odd; ""role"" x" GRANTED BY admin;
GRANT "odd; ""role"" x" TO admin;
CREATE TABLESPACE fast OWNER admin LOCATION '/fast';
--
-- PostgreSQL database cluster dump complete
--
"""


def test_only_the_roles_that_are_missing() -> None:
    names, statements = roles.missing(GLOBALS, ["admin"])
    assert names == ['odd; "role" x']
    assert statements == [
        'CREATE ROLE "odd; ""role"" x";',
        'ALTER ROLE "odd; ""role"" x" WITH NOSUPERUSER NOLOGIN;',
        "COMMENT ON ROLE \"odd; \"\"role\"\" x\" IS 'it''s;\nCREATE ROLE never;\n';",
        "ALTER ROLE \"odd; \"\"role\"\" x\" SET search_path TO E'a\\';b', 'c';",
        'GRANT admin TO "odd; ""role"" x" GRANTED BY admin;',
    ]
    assert roles.missing(GLOBALS, ["admin", 'odd; "role" x']) == ([], [])
    assert roles.missing(GLOBALS, [])[0] == ["admin", 'odd; "role" x']


def test_an_argument_that_is_only_a_name() -> None:
    assert conninfo("a 'b\\c=1") == "dbname='a \\'b\\\\c=1'"


def test_how_a_run_that_was_given_up_leaves_everything() -> None:
    end = restore.End()
    assert end.words() == "the running database is as it was, nothing half-restored is left."
    end.left_behind.append("but x_restoring may be left")
    assert end.words() == "the running database is as it was, but x_restoring may be left."
    end.swapped = "x_before"
    assert end.words() == "the restored database is in place, the one before it is x_before."
