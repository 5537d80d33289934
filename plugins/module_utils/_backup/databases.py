# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases of a server as a whole: made like another one, swapped by name, dropped. Private to the collection."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import BEFORE_SQL, Server, literal
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_NAME_BYTES = 63  # what PostgreSQL keeps of a name; it cuts the rest off without a word
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
# Settings whose value is a list of names that PostgreSQL has already quoted (GUC_LIST_QUOTE).
_LISTS = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)

_STATE_SQL = f"""
SELECT json_build_object(
    'server_version', current_setting('server_version'),
    'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
    'max_wal_bytes', pg_size_bytes(current_setting('max_wal_size')),
    'data_directory',
        CASE WHEN pg_has_role('pg_read_all_settings', 'MEMBER') THEN current_setting('data_directory') END,
    'roles', (SELECT json_agg(rolname) FROM pg_roles),
    'oids', (SELECT json_object_agg(datname, oid::text) FROM pg_database),
    'before', {BEFORE_SQL},
    'live', (
        SELECT json_build_object(
            'attributes', to_jsonb(d),
            'owner', pg_get_userbyid(d.datdba),
            'encoding', pg_encoding_to_char(d.encoding),
            'tablespace', s.spcname,
            'location', pg_tablespace_location(s.oid),
            'grants', (
                SELECT json_agg(json_build_object('privilege', privilege_type, 'grantable', is_grantable,
                                'grantee', CASE grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(grantee) END))
                FROM aclexplode(d.datacl)),
            'settings', (
                SELECT json_agg(json_build_object('values', setconfig,
                                'role', CASE setrole WHEN 0 THEN NULL ELSE pg_get_userbyid(setrole) END))
                FROM pg_db_role_setting WHERE setdatabase = d.oid))
        FROM pg_database d JOIN pg_tablespace s ON s.oid = d.dattablespace
        WHERE d.datname = {{name}}))
"""

# While pg_database is locked nobody can connect to any database: who tries waits, and then finds the new one under the
# name. Sessions that do nothing are ended, the others when they have had time to finish. One that has just become idle
# may be a pool's that was tried before it is used.
_HOLD_SQL = "LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE;"
_SWAP_SQL = """
BEGIN;
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '20s';
{hold}
DO $swap$
DECLARE
    databases oid[] := ARRAY[{oids}]::oid[];
    begun timestamptz := clock_timestamp();
BEGIN
    LOOP
        PERFORM pg_stat_clear_snapshot();
        EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE datid = ANY (databases))
            AND NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'object' AND objid = ANY (databases)
                            AND classid = 'pg_catalog.pg_database'::regclass);
        IF clock_timestamp() > begun + interval '10 seconds' THEN
            RAISE 'its connections do not end';
        END IF;
        PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datid = ANY (databases) AND (clock_timestamp() > begun + interval '1 second'
            OR state = 'idle' AND state_change < clock_timestamp() - interval '10 milliseconds');
        PERFORM pg_sleep(0.005);
    END LOOP;
END $swap$;
{renames}
COMMIT;
"""


@dataclasses.dataclass
class State:
    """A server and one database of it.

    `oids` are those of all databases by name. `before` is as in `source.Facts`. `live` describes the database: its row
    of pg_database (`attributes`) and what that row names by number or keeps elsewhere; None when there is no such
    database.
    """

    server_version: str
    superuser: bool
    max_wal_bytes: int
    data_directory: str | None
    roles: list[str]
    oids: dict[str, str]
    before: dict[str, dict[str, t.Any]]
    live: dict[str, t.Any] | None


def maintenance_of(server: Server) -> Server:
    """The same server through the database that clients connect to when they want none of the others."""
    return server.at("template1" if server.connection.dbname == "postgres" else "postgres")


def state(server: Server, name: str, deadline: Deadline) -> State:
    return State(**server.query(_STATE_SQL.format(name=literal(name)), deadline))


def beside(name: str, suffix: str) -> str:
    """`name` with `suffix`, cut so that PostgreSQL keeps all of the suffix."""
    head = name.encode("utf-8")[: _NAME_BYTES - len(suffix.encode("utf-8"))]
    return head.decode("utf-8", "ignore") + suffix


def quoted(name: str) -> str:
    """As an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def create_statement(name: str, live: dict[str, t.Any] | None) -> str:
    """Makes an empty database: the server's default, or one of the same kind as `live` of the same owner."""
    words = [f"CREATE DATABASE {quoted(name)} TEMPLATE template0"]
    if live:
        attributes = live["attributes"]
        words += [f"OWNER {quoted(live['owner'])}", f"ENCODING {literal(live['encoding'])}"]
        if live["location"]:  # the server's own needs no word, and to say it takes a right to it
            words.append(f"TABLESPACE {quoted(live['tablespace'])}")
        words += [f"LC_COLLATE {literal(attributes['datcollate'])}", f"LC_CTYPE {literal(attributes['datctype'])}"]
        provider = _PROVIDERS[attributes.get("datlocprovider", "c")]
        locale = attributes.get("datlocale") or attributes.get("daticulocale")
        if provider != "libc":
            words.append(f"LOCALE_PROVIDER {provider} {provider.upper()}_LOCALE {literal(locale)}")
        if attributes.get("daticurules"):
            words.append(f"ICU_RULES {literal(attributes['daticurules'])}")
    return " ".join(words)


def property_statements(name: str, live: dict[str, t.Any] | None) -> list[str]:
    """Gives the database the limit, grants and settings of `live`; pg_restore leaves them to who makes a database."""
    if not live:
        return []
    database = quoted(name)
    statements = [f"ALTER DATABASE {database} CONNECTION LIMIT {live['attributes']['datconnlimit']:d}"]
    if live["grants"] is not None:
        statements.append(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC, {quoted(live['owner'])}")
    for grant in live["grants"] or []:
        grantee = "PUBLIC" if grant["grantee"] is None else quoted(grant["grantee"])
        option = " WITH GRANT OPTION" if grant["grantable"] and grant["grantee"] != live["owner"] else ""
        statements.append(f"GRANT {grant['privilege']} ON DATABASE {database} TO {grantee}{option}")
    for setting in live["settings"] or []:
        whom = "" if setting["role"] is None else f"ROLE {quoted(setting['role'])} IN "
        for value in setting["values"]:
            parameter, _equals, text = value.partition("=")
            parameter = ".".join(quoted(part) for part in parameter.split("."))
            statements.append(f"ALTER {whom}DATABASE {database} SET {parameter} TO {_setting(value, text)}")
    return statements


def _setting(assignment: str, text: str) -> str:
    if assignment.lower().startswith(tuple(f"{name}=" for name in _LISTS)):
        return re.sub(r'"((?:[^"]|"")*)"', lambda match: literal(match[1].replace('""', '"')), text)
    return literal(text)


def drop(server: Server, name: str, deadline: Deadline, ours: bool = False) -> None:
    """Drops a database, if it is there. Fails while somebody is connected to it, unless it is known to be `ours`."""
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {literal(name)};\n" if ours else ""
    server.script(f"{end}DROP DATABASE IF EXISTS {quoted(name)};\n", deadline)


def swap(server: Server, databases: State, names: tuple[str, str, str], deadline: Deadline) -> None:
    """Gives `names` (`restored`, `live`, `before`): the restored database the live one's name, that one the third.

    In one transaction: whole or not at all. Sessions of both are ended. Raises `ProductionError`, and then nothing is
    renamed, unless the connection was lost while it was committed.
    """
    restored, live, before = names
    renames = [f"ALTER DATABASE {quoted(restored)} RENAME TO {quoted(live)};"]
    if live in databases.oids:
        renames.insert(0, f"ALTER DATABASE {quoted(live)} RENAME TO {quoted(before)};")
    oids = ", ".join(databases.oids[name] for name in (restored, live) if name in databases.oids)
    # Whoever reads pg_database in a long transaction (a dump of another database does) keeps it from being locked.
    # Then, and for those who may not lock it, what connects in the wrong moment makes the attempt fail.
    holds = [_HOLD_SQL, _HOLD_SQL, "", "", ""] if databases.superuser else ["", "", ""]
    for left, hold in zip(range(len(holds) - 1, -1, -1), holds):
        script = _SWAP_SQL.format(hold=hold, oids=oids, renames="\n".join(renames))
        try:
            server.script(script, deadline)
            return
        except ProductionError as exc:
            if not left or not re.search(r"deadlock|lock timeout|other users", exc.cause):
                raise
