# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a one-shot service says of its migrations (`x-migrations`): which will run, which can be undone. Private.

A plan is {"current": id or None, "head": id or None, "pending": [{"id": str, "reversible": bool}, …]}, the pending ones
in the order in which they run. `current` is None as long as none ever ran.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _redact
from ansible_collections.tria.production.plugins.module_utils._compose_cli import Compose
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

HEAD = "{head}"
EMPTY = "base"  # what HEAD becomes for a schema in which no migration ran; Alembic's word
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{0,254}")  # goes into command lines: no option, no blank
_EXAMPLE = '{"current": "0003", "head": "0004", "pending": [{"id": "0004", "reversible": true}]}'

Plan = t.Dict[str, t.Any]


class Migrations:
    """The migrations of one release: asked and undone by its own image, in its own environment.

    `compose` is that of the release, `service` its one-shot, `settings` its `x-migrations`, {plan: argv, undo: argv or
    []}. The database must run. Every method raises `ProductionError`, which names service and command and holds no secret.
    """

    def __init__(self, compose: Compose, service: str, settings: dict[str, t.Any]) -> None:
        self._compose = compose
        self._service = service
        self._settings = settings

    def plan(self, timeout: float = 120) -> Plan:
        """What is there and what the release's one-shot would run. Without `undo` none of it counts as reversible."""
        argv = self._settings["plan"]
        output = self._run(argv, timeout)
        lines = output.strip().splitlines()
        fault, plan = _read(lines[-1]) if lines else ("it printed nothing", {})
        if fault:
            raise ProductionError(
                f"service {self._service}",
                f"`{' '.join(argv)}` (x-migrations.plan) does not tell which migrations are pending: {fault}.",
                f"Let the last line of its standard output be JSON like {_EXAMPLE}.",
            )
        if not self._settings["undo"]:
            for migration in plan["pending"]:
                migration["reversible"] = False
        return plan

    def undo(self, head: str | None, timeout: float = 600) -> None:
        """Undo every migration above `head` (None: all of them), and make sure that the schema is there then."""
        argv = [part.replace(HEAD, head or EMPTY) for part in self._settings["undo"]]
        if not argv:
            raise ProductionError(f"service {self._service}", "has no x-migrations.undo.", "Say how it undoes them.")
        self._run(argv, timeout)
        found = self.plan()["current"]
        if found != head:
            raise ProductionError(
                f"service {self._service}",
                f"`{' '.join(argv)}` (x-migrations.undo) ended well, but the schema is at {found or 'no migration'} "
                f"instead of {head or 'no migration'}.",
                "See what is left of the migrations, and bring the schema there by hand.",
            )

    def _run(self, argv: t.Sequence[str], timeout: float) -> str:
        try:
            return self._compose.run(self._service, argv, timeout)
        except ProductionError as exc:
            cause = _redact.redact(_redact.printable(exc.cause))
            raise ProductionError(f"service {self._service}", f"`{' '.join(argv)}` {cause}", exc.remedy) from exc


def ran(before: Plan, now: Plan) -> list[str]:
    """IDs of the migrations that were pending in the plan `before` and no longer are in the plan `now`, in order."""
    return [one["id"] for one in _gone(before, now)]


def irreversible(before: Plan, now: Plan) -> list[str]:
    """Those of `ran` that cannot be undone."""
    return [one["id"] for one in _gone(before, now) if not one["reversible"]]


def stopped(migrations: t.Sequence[str], release: str, previous: str, backup: str = "") -> ProductionError:
    """The error that ends a revert before it begins: `migrations` (irreversible ones of `release`) have run.

    `previous` is the release to go back to, `backup` the path of the dump pinned to it, empty when there is none.
    """
    several = len(migrations) > 1
    ways = "(1) Correct what failed and deploy again: the schema is already where that deploy needs it."
    if backup:
        ways += (
            f" (2) Go back to {previous}, and lose what was written since its backup {backup}: "
            f"ansible-playbook tria.production.rollback -e release={previous} -e restore_database=true"
        )
    else:
        ways += f" No backup belongs to this deploy, so {previous or 'the state before it'} cannot be brought back."
    return ProductionError(
        f"release {release}",
        f"migration{'s' if several else ''} {', '.join(migrations)} ran and cannot be undone, so nothing was reverted: "
        "containers, edge and schema are as the failure left them.",
        ways,
        irreversible=list(migrations),
    )


def _gone(before: Plan, now: Plan) -> list[dict[str, t.Any]]:
    pending = {one["id"] for one in now["pending"]}
    return [one for one in before["pending"] if one["id"] not in pending]


def _read(line: str) -> tuple[str, Plan]:
    """What is wrong with the line, empty when nothing is, and the plan. Says nothing of the line's own words."""
    try:
        plan = json.loads(line)
    except (ValueError, RecursionError):
        return "its last line is not JSON", {}
    if not isinstance(plan, dict) or set(plan) != {"current", "head", "pending"}:
        return "its last line is not an object of current, head and pending", {}
    if not all(plan[name] is None or _is_id(plan[name]) for name in ("current", "head")):
        return "current and head must be IDs of migrations or null", {}
    pending = plan["pending"]
    if not isinstance(pending, list) or not all(_is_migration(one) for one in pending):
        return 'pending must be a list of {"id": text, "reversible": true or false}', {}
    ids = [one["id"] for one in pending]
    if len(set(ids)) < len(ids) or plan["current"] in ids:
        return "a migration is pending twice, or pending and current", {}
    if ids and plan["head"] != ids[-1]:
        return "head is not the last of the pending migrations", {}
    return "", plan


def _is_id(value: t.Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_migration(value: t.Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"id", "reversible"}
        and _is_id(value["id"])
        and isinstance(value["reversible"], bool)
    )
