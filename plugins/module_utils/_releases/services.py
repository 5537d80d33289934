# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services of a release: how each is rolled out, and what of it can be compared. Private to the collection.

A service is {order, one_shot, replicas, critical, generation, definition, parallelism (0: all), delay, monitor,
max_failure_ratio, stop_grace_period, depends_on, rollout, migrations}; times are seconds. `generation` is empty unless
its order is start-first, `definition` a hash of all but the image that its containers are made from; `rollout` is None
unless start-first, `migrations` None without `x-migrations`.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _compose
from ansible_collections.tria.production.plugins.module_utils._env import parser
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import settings

START_FIRST = "start-first"
DIGITS = 12  # of the hashes that go into names and labels
_STOP_GRACE = "10s"  # Compose's default
# What does not go into a container: Compose leaves it out of its own hash as well.
_NOT_OF_A_CONTAINER = ("build", "pull_policy", "scale", "depends_on", "profiles")
_NOT_OF_A_DEPLOY = ("replicas", "update_config", "rollback_config")


def describe(compose: dict[str, t.Any], profiles: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
    """The active services of an interpolated project by name, without `generation` and `definition`.

    Raises `ProductionError` that names the service, also when what it asks for cannot be done.
    """
    active = _compose.active_services(compose, profiles)
    optional = _compose.optional_services(compose)
    described = {}
    for name, service in active.items():
        one_shot = _compose.is_one_shot(compose, name)
        deploy = service.get("deploy") or {}
        update = settings.update_config(name, deploy.get("update_config"))
        rollout = settings.rollout(name, service.get("x-rollout"))
        migrations = service.get("x-migrations")
        if migrations is not None and not one_shot:
            raise ProductionError(name, "has x-migrations, but never ends.", 'Give it restart: "no", or remove them.')
        if rollout["edge"]:
            rollout["edge"] = _edge(compose, active, name, rollout["edge"])
        if update["order"] == START_FIRST:
            _refuse(name, service, one_shot)
        described[name] = {
            **update,
            "one_shot": one_shot,
            "replicas": _compose.replicas(service),
            "critical": name not in optional,
            "stop_grace_period": settings.duration(
                name, "stop_grace_period", service.get("stop_grace_period", _STOP_GRACE)
            ),
            "depends_on": sorted(needed for needed in _compose.mapping(service.get("depends_on")) if needed in active),
            "rollout": rollout if update["order"] == START_FIRST else None,
            "migrations": None if migrations is None else settings.migrations(name, migrations),
        }
    _check_edge_files(described)
    return described


def _edge(
    compose: dict[str, t.Any], active: t.Container[str], name: str, edge: dict[str, t.Any]
) -> dict[str, t.Any] | None:
    """The edge of a service, None where this host does not run it."""
    other = edge["service"]
    if other not in compose["services"] or other == name:
        known = ", ".join(sorted(service for service in compose["services"] if service != name))
        cause = f"x-rollout.edge.service: there is no other service {other}."
        raise ProductionError(name, cause, f"Name the one in front of it, of {known}.")
    shared = _networks(compose["services"][name]) & _networks(compose["services"][other])
    if not shared:
        raise ProductionError(name, f"is on no network of its edge {other}.", "Put both on one network.")
    return edge if other in active else None


def _networks(service: dict[str, t.Any]) -> set[str]:
    if service.get("network_mode"):
        return set()
    return set(_compose.mapping(service.get("networks"))) or {"default"}


def _refuse(name: str, service: dict[str, t.Any], one_shot: bool) -> None:
    """Raises for what two containers beside each other cannot both have."""
    remedy = "Remove it, or deploy.update_config.order: start-first, so that the service is replaced in place."
    networks = _compose.mapping(service.get("networks"))
    fixed = [port for port in service.get("ports") or [] if _host_port(port)]
    if one_shot:
        raise ProductionError(name, "ends by itself, so it cannot be rolled out (order: start-first).", remedy)
    if service.get("container_name"):
        raise ProductionError(name, "has a container_name: there is no second container beside the first.", remedy)
    if fixed:
        raise ProductionError(name, f"has a host port ({_host_port(fixed[0])}), which is taken once.", remedy)
    if service.get("network_mode") == "host":
        raise ProductionError(name, "has network_mode host: the host's ports are taken once.", remedy)
    if any((options or {}).get(key) for options in networks.values() for key in ("ipv4_address", "ipv6_address")):
        raise ProductionError(name, "has a fixed address, which is taken once.", remedy)


def refuse_lost_writes(name: str, binds: t.Sequence[tuple[str, bool]], files: t.Container[str]) -> None:
    """Raises for a mount of the project's folder that the service may write to: the next release has another one.

    One of the project's own `files` is read, whether `:ro` stands there or not. What is in a build context is not known to
    be a file.
    """
    for source, read_only in binds:
        path = os.path.normpath(source)
        if path.split(os.sep)[0] == "..":
            cause, more = f"mounts {source}, which is outside the project and so not on the host.", ""
        elif not read_only and path not in files:
            cause = f"may write to {source}, but every release has its own: what is written there would be left behind."
            more = " Where it is only read, add :ro."
        else:
            continue
        raise ProductionError(name, cause, f"Use a named volume, or an absolute path.{more}")


def _host_port(port: t.Any) -> str:
    """The port of the host that an entry of `ports` asks for, empty when any one will do."""
    if isinstance(port, dict):
        return str(port.get("published") or "")
    return str(port).rpartition(":")[0].rpartition(":")[2]


def _check_edge_files(services: dict[str, dict[str, t.Any]]) -> None:
    """Services behind one edge share the folder of their files."""
    taken: dict[tuple[str, str], str] = {}
    for name, service in services.items():
        edge = (service["rollout"] or {}).get("edge")
        if edge:
            file = os.path.basename(edge["path"])
            other = taken.setdefault((edge["service"], file), name)
            if other != name:
                cause = f"x-rollout.edge.path: {other} has a file {file} at {edge['service']} as well."
                raise ProductionError(name, cause, "Give each a name of its own.")


def edge_mounts(services: dict[str, dict[str, t.Any]]) -> dict[str, list[str]]:
    """The folders of each edge service that are mounted from the host."""
    folders: dict[str, set[str]] = {}
    for service in services.values():
        edge = (service["rollout"] or {}).get("edge")
        if edge:
            folders.setdefault(edge["service"], set()).add(os.path.dirname(edge["path"]))
    return {name: sorted(found) for name, found in folders.items()}


def definition(raw: t.Any, env_content: str, files: dict[str, t.Any]) -> str:
    """A hash of what a service's containers are made from, its image aside, from its uninterpolated description."""
    text = json.dumps(raw, sort_keys=True, default=str)
    mentioned = set(re.findall(r"\w+", text))  # a reference may be nested in another one
    values = {name: value for name, value in parser.parse(env_content).values.items() if name in mentioned}
    return _compose.content_hash([text, values, files])[:DIGITS]


def generation(rendered: dict[str, t.Any]) -> str:
    """What tells a service's containers from those of another release, from its description as Compose renders it."""
    kept = {key: value for key, value in rendered.items() if key not in _NOT_OF_A_CONTAINER}
    deploy = rendered.get("deploy") or {}
    deploy = {key: value for key, value in deploy.items() if value and key not in _NOT_OF_A_DEPLOY}
    return _compose.content_hash({**kept, "deploy": deploy})[:DIGITS]


def alias(name: str, tag: str) -> str:
    """The name at which the other containers reach a generation of a service."""
    return f"{name}-{tag}"


def public(services: dict[str, dict[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """`services` for output: of targets, which may hold passwords, only the names."""
    shown = {}
    for name, service in services.items():
        rollout = service["rollout"]
        if rollout:
            named = {key: [target["name"] for target in rollout[key]] for key in ("smoke", "verify")}
            rollout = {**rollout, **named}
        shown[name] = {**service, "rollout": rollout}
    return shown


def of_targets(targets: list[dict[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """The services of a record from before there were any in it: everything is replaced in place."""
    described = {}
    for target in targets:
        container = target["container"]
        described[target["name"]] = {
            **settings.update_config(target["name"], None),
            "one_shot": bool(container.get("one_shot")),
            "replicas": container.get("replicas", 1),
            "critical": target["critical"],
            "generation": "",
            "definition": "",
            "stop_grace_period": settings.duration(target["name"], "stop_grace_period", _STOP_GRACE),
            "depends_on": [],
            "rollout": None,
            "migrations": None,
        }
    return described
