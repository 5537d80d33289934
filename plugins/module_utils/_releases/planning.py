# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is to do on a host. Private to the collection.

A plan is a dict with `action`, `reasons`, `release`, `path`, `current`, `current_path`, `current_record`, `images`,
`build`, `targets`, `services`, `good` and `journal`; see the module `stack_release`. It holds no secret.
"""

from __future__ import annotations

import typing as t

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import services as _services
from ansible_collections.tria.production.plugins.module_utils._releases import staging, store
from ansible_collections.tria.production.plugins.module_utils._releases.desired import Desired

Plan = t.Dict[str, t.Any]


def plan(releases: store.Releases, desired: Desired, engine: t.Any) -> Plan:
    """What a deploy would do: `action` is `none`, `start` (same release, not all of it runs) or `deploy`.

    `engine` is a Docker API client, or None when the host has no Engine yet. A release that failed or was rolled back
    is deployed again as a new one.
    """
    current = releases.current()
    record = releases.record(current) if current else {}
    unchanged = record.get("content_hash") == desired.content_hash() and releases.status(current) == store.GOOD
    reasons = not_running(engine, record) if unchanged else [_change(current, record, desired.images)]
    digits = desired.content_hash()[: _services.DIGITS]
    release = current if unchanged else f"{store.now():%Y%m%dT%H%M%SZ}-{digits}"
    return {
        **_common(releases, release, current, record),
        "action": "deploy" if not unchanged else "start" if reasons else "none",
        "reasons": reasons,
        "images": desired.images,
        "build": [build for build in desired.builds if engine is None or not _docker.image_id(engine, build["image"])],
        "targets": desired.targets,
        "services": _services.public(record["services"] if unchanged else desired.services),
    }


def target(releases: store.Releases, engine: t.Any, release: str = "", before: str = "") -> Plan:
    """What a rollback would do: the plan of going to `release`, or to the newest good one before the current.

    `release` may also be the ID of a deploy: what this host ran after it. `before` is one too: what it ran before it.
    Has `record` and `outcome` of that release, `irreversible`, the migrations since then that cannot be undone, and
    `backup`, the dump that was made before the first of them. Raises `ProductionError`, which lists what there is.
    """
    current = releases.current()
    chosen = _chosen(releases, current, release, before)
    if not chosen:
        remedy = "Deploy again: there is no release to go back to."
        raise ProductionError(releases.folder, f"no good release is older than {before or current or 'the first'}.", remedy)
    record, outcome = _usable(releases, engine, chosen)
    same = chosen == current
    reasons = not_running(engine, record) if same else [f"back from {current or 'nothing'}"]
    return {
        **_common(releases, chosen, current, releases.record(current) if current else {}),
        **_since(releases, chosen, current),
        "action": "deploy" if not same else "start" if reasons else "none",
        "reasons": reasons,
        "images": record["images"],
        "build": [],
        "targets": record["targets"],
        "services": _services.public(record["services"]),
        "record": public_record(record),
        "outcome": outcome,
    }


def _chosen(releases: store.Releases, current: str, release: str, before: str) -> str:
    if release and not releases.is_staged(release):
        of_deploys = [name for name in releases.good() if releases.record(name).get("deploy")]
        if any(releases.record(name)["deploy"] == release for name in of_deploys):
            return next(name for name in of_deploys if releases.record(name)["deploy"] <= release)
    if before and not release:
        return next((name for name in releases.good() if releases.record(name).get("deploy", "") < before), "")
    return release or releases.last_good_before(current)


def _since(releases: store.Releases, chosen: str, current: str) -> dict[str, t.Any]:
    """What was done to the database after a release, up to the current one."""
    later = [releases.outcome(name) for name in reversed(releases.names()) if chosen < name <= current]
    ran = [one for outcome in later for one in outcome.get("migrations") or []]
    backups = [outcome["backup"] for outcome in later if outcome["backup"]]
    return {
        "irreversible": [one["id"] for one in ran if not one["reversible"]],
        "backup": backups[0] if backups else "",
    }


def _usable(releases: store.Releases, engine: t.Any, release: str) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    remedy = f"Good ones are: {', '.join(releases.good()) or 'none'}."
    if not releases.is_staged(release):
        raise ProductionError(release, "there is no such release here.", remedy)
    outcome = releases.outcome(release)
    if outcome["status"] != store.GOOD:
        why = outcome["events"][-1]["why"]
        raise ProductionError(release, f"is {outcome['status']}{': ' + why if why else ''}.", remedy)
    record = releases.record(release)
    ours = {image for image in record["images"].values() if image and "@" not in image}  # others can be pulled again
    gone = sorted(image for image in ours if not _docker.image_id(engine, image))
    if gone:
        raise ProductionError(release, f"its images are gone: {', '.join(gone)}.", remedy)
    return record, outcome


def _common(releases: store.Releases, release: str, current: str, record: dict[str, t.Any]) -> Plan:
    return {
        "release": release,
        "path": releases.path(release),
        "current": current,
        "current_path": releases.path(current) if current else "",
        "current_record": public_record(record),
        "good": releases.good(),
        "journal": releases.journal(),
    }


def public_record(record: dict[str, t.Any]) -> dict[str, t.Any]:
    """A record for output, without what could be a secret."""
    return {**record, "services": _services.public(record["services"])} if record else {}


def not_running(engine: t.Any, record: dict[str, t.Any]) -> list[str]:
    """Why a release that is current does not run as it should, a line for each service."""
    if engine is None:
        return ["no Docker Engine answers on this host"]
    reasons = []
    containers = _docker.compose_containers(engine, record["project"])
    for name, service in record["services"].items():
        own = [each for each in containers if each["Config"]["Labels"].get(_docker.SERVICE) == name]
        done = [each for each in own if _as_wanted(each, record["images"][name], service)]
        wanted = 1 if service["one_shot"] else service["replicas"]
        if len(done) < wanted:
            reasons.append(f"{name}: {len(done)} of {wanted} containers are as they should be")
    return reasons


def _as_wanted(container: dict[str, t.Any], image: str, service: dict[str, t.Any]) -> bool:
    state, config = container["State"], container["Config"]
    if config["Image"] != image or config["Labels"].get(staging.GENERATION, "") != service["generation"]:
        return False
    return state["Status"] == "exited" and state["ExitCode"] == 0 if service["one_shot"] else bool(state["Running"])


def _change(current: str, record: dict[str, t.Any], images: dict[str, str]) -> str:
    if not current:
        return "first deploy"
    before = record.get("images", {})
    changed = sorted(name for name in {**before, **images} if before.get(name) != images.get(name))
    return "changed: " + (", ".join(f"image of {name}" for name in changed) or "configuration")
