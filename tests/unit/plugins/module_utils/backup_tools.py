# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small scripts in the place of PostgreSQL's tools, and a backup that is made with them."""

from __future__ import annotations

import os
import pathlib
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import engine, spec

DEFAULTS = {name: each.get("default") for name, each in spec.MAKING.items()}
LOGIN = {"dbname": "shop", "login_host": "db", "login_user": "u", "login_password": "s3cret-pw"}
OPTIONS = {**DEFAULTS, **LOGIN, "timeout": 30.0, "lock_timeout": 5.0}
LIST = (
    ";     TOC Entries: 5\\n;     Dumped from database version: 15.1\\n;     Dumped by pg_dump version: 15.2\\n"
    "215; 1259 16387 TABLE public catalog u\\n"
)
TOOLS = {
    "psql": """case "$*" in *terminate*) echo '{"left": 0}';; *pg_locks*) echo '["catalog (pid 7)"]';;
        *) echo '{"server_version": "15.1", "database_size_bytes": 1000, "tables": 1, "before": {}}';; esac""",
    "pg_dump": "head -c 100000 /dev/zero",
    "pg_dumpall": "echo 'CREATE ROLE a;'; echo '-- PostgreSQL database cluster dump complete'",
    "pg_restore": f"""case "$*" in *--list*) printf '{LIST}';; *) cat > /dev/null;; esac""",
}


def create(dest: pathlib.Path, check_mode: bool = False, **changes: t.Any) -> dict[str, t.Any]:
    return engine.create({**OPTIONS, "dest": str(dest), **changes}, check_mode)


def names(dest: pathlib.Path) -> list[str]:
    return sorted(name for name in os.listdir(dest) if name != ".pg_backup.lock") if dest.exists() else []
