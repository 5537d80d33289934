# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a backup is verified, and what a dump that is to be restored has to hold. Private to the collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup import snapshot
from ansible_collections.tria.production.plugins.module_utils._backup.manifest import Manifest
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Facts, Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._result import PASS, CheckResult

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def level(options: dict[str, t.Any], facts: Facts) -> tuple[str, str | None]:
    """What `verified` will be, and why it is less than the option `verify` asks for; raises `ProductionError`."""
    wanted, limit = options["verify"], options["verify_restore_up_to"]
    most = facts.database_size_bytes if limit is None else bytes_of(limit)
    if wanted != "restore" or facts.database_size_bytes <= most:
        return wanted, None
    size = facts.database_size_bytes / (1 << 20)
    return (
        "archive",
        f"The database has {size:.1f} MiB, more than verify_restore_up_to={limit}, so it was not restored.",
    )


def bytes_of(limit: str) -> int:
    """A size such as `2G` in bytes; raises `ProductionError` for what is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", str(limit), re.IGNORECASE)
    if not match:
        remedy = "Use a number with a unit, such as 2G."
        raise ProductionError("verify_restore_up_to", f"{limit} is not a size.", remedy)
    return int(float(match[1]) * (1 << _UNITS[match[2].upper()]))


def words(verified: str) -> str:
    """For people: how far a backup was verified."""
    return {"restore": "verified by restoring it", "archive": "verified by reading it whole", "none": "not verified"}[
        verified
    ]


def result(made: Manifest) -> CheckResult:
    """What reports and the live view say of a backup."""
    facts = {"size_bytes": made.dump.size_bytes, "tables": made.tables, "verified": made.verified}
    return CheckResult(
        f"{made.dbname}, {words(made.verified)}",
        "Backup",
        PASS,
        duration_ms=made.duration_s * 1000,
        message=made.verified_reason or f"{made.tables} tables, {made.dump.size_bytes / (1 << 20):.1f} MiB",
        data=facts,
    )


def dumped(
    source: Server, deadline: Deadline, lock_timeout: float, dump: t.Callable[[list[str]], None]
) -> dict[str, dict[str, t.Any]]:
    """Has `dump` dump a snapshot, with these further options for pg_dump; returns what the snapshot contains.

    The tables are read while it is dumped. What others write meanwhile is in neither.
    """
    with snapshot.Reading(source, deadline, lock_timeout) as held:
        options = [f"--snapshot={held.export()}"]
        held.begin()
        dump(options)
        return held.contents()
