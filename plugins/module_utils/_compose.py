# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Compose project consists of, from its parsed file. Private to the collection."""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import interpolation, parser
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

# What is looked at here; the rest is left to Compose.
_INTERPOLATED = ("image", "build", "deploy", "scale", "stop_grace_period", "container_name", "network_mode", "networks")
_INTERPOLATED += ("ports", "volumes", "env_file", "label_file", "x-rollout", "x-migrations")
_MAPPINGS = ("environment", "labels", "depends_on", "networks", "build", "extra_hosts", "sysctls")
_APPENDED = ("ports", "volumes", "configs", "secrets", "env_file", "label_file", "expose", "tmpfs", "dns")


def merged(files: t.Sequence[dict[str, t.Any]]) -> dict[str, t.Any]:
    """Several parsed Compose files as one, as far as it is looked at here: the later one wins, or adds to a list."""
    whole: dict[str, t.Any] = {}
    for parsed in files:
        services = {**(whole.get("services") or {})}
        for name, service in (parsed.get("services") or {}).items():
            services[name] = _service_over(services.get(name) or {}, service or {})
        whole = {**_over(whole, parsed), "services": services}
    return whole


def _service_over(first: dict[str, t.Any], second: dict[str, t.Any]) -> dict[str, t.Any]:
    service = {**first}
    for key, value in second.items():
        if key in _MAPPINGS and key in first:
            service[key] = _over(mapping(first[key]), mapping(value))
        elif key in _APPENDED and key in first:
            service[key] = [*listed(first[key]), *listed(value)]
        else:
            service[key] = _over(first.get(key), value)
    return service


def _over(first: t.Any, second: t.Any) -> t.Any:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    return {**first, **{key: _over(first.get(key), value) for key, value in second.items()}}


def mapping(value: t.Any) -> dict[str, t.Any]:
    """What Compose lets one write as a mapping, a list (`[A=1]`, `[name]`) or text (`build: web`), as a mapping."""
    if isinstance(value, str):
        return {"context": value}
    if isinstance(value, list):
        pairs = [str(item).partition("=") for item in value]
        return {name: text if equals else None for name, equals, text in pairs}
    return dict(value or {})


def listed(value: t.Any) -> list[t.Any]:
    """What Compose lets one write as a list or as its only element, as a list."""
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def interpolated(compose: dict[str, t.Any], project: str, env_content: str) -> dict[str, t.Any]:
    """`compose` with the variables in what is looked at here replaced, as Compose will do it.

    That holds nothing of `environment` and `command`. Raises `ProductionError` naming the service.
    """
    variables = {**parser.parse(env_content).values, "COMPOSE_PROJECT_NAME": project}
    whole = {**compose}
    whole["services"] = {
        name: _interpolated(name, service, _INTERPOLATED, variables)
        for name, service in (compose.get("services") or {}).items()
    }
    for kind in ("configs", "secrets"):
        whole[kind] = {
            name: _interpolated(name, one or {}, ("file",), variables)
            for name, one in (compose.get(kind) or {}).items()
        }
    return whole


def _interpolated(
    name: str, raw: dict[str, t.Any], keys: t.Sequence[str], variables: dict[str, str]
) -> dict[str, t.Any]:
    try:
        return {**raw, **{key: _substituted(raw[key], variables.get) for key in keys if key in raw}}
    except interpolation.InterpolationError as exc:
        raise ProductionError(name, f"{exc.cause}.", "Set it in the env file, or correct the Compose file.") from exc


def _substituted(value: t.Any, lookup: interpolation.Lookup) -> t.Any:
    if isinstance(value, str):
        return interpolation.substitute(value, lookup, [])
    if isinstance(value, dict):
        return {key: _substituted(item, lookup) for key, item in value.items()}
    return [_substituted(item, lookup) for item in value] if isinstance(value, list) else value


def active_services(compose: dict[str, t.Any], profiles: t.Iterable[str]) -> dict[str, dict[str, t.Any]]:
    """The services that run with these profiles: those without a profile, and those with one of them."""
    enabled = set(profiles)
    services = compose.get("services") or {}
    return {
        name: service
        for name, service in services.items()
        if not service.get("profiles") or "*" in enabled or enabled.intersection(service["profiles"])
    }


def is_one_shot(compose: dict[str, t.Any], name: str) -> bool:
    """Whether a service is meant to exit with 0: it never restarts, or others wait for its completion."""
    services = compose["services"]
    if services[name].get("restart") in ("no", False):
        return True
    for service in services.values():
        needs = service.get("depends_on")
        if isinstance(needs, dict) and needs.get(name, {}).get("condition") == "service_completed_successfully":
            return True
    return False


def replicas(service: dict[str, t.Any]) -> int:
    """How many containers the service has; raises `ProductionError` when that is no number."""
    number = (service.get("deploy") or {}).get("replicas", service.get("scale", 1))
    try:
        return int(number)
    except (TypeError, ValueError) as exc:
        raise ProductionError("replicas", f"{number!r} is not a whole number.", "Correct the Compose file.") from exc


def build_context(service: dict[str, t.Any]) -> str | None:
    """The path of the service's build context, normalised, or None when nothing is built."""
    build = service.get("build")
    if not build:
        return None
    return os.path.normpath(build if isinstance(build, str) else build.get("context", "."))


def plan_images(
    project: str,
    compose: dict[str, t.Any],
    profiles: t.Iterable[str],
    context_hashes: dict[str, str],
    file_hashes: dict[str, str],
    base_images: dict[str, str],
) -> tuple[dict[str, str], list[dict[str, t.Any]]]:
    """Which image every active service runs, and what is to be built for it.

    `base_images` maps a service to the image that stands in for what a registry would give: to the service itself, or,
    when it is built, to the `FROM` of its Dockerfile (build argument `BASE_IMAGE`). A built image's tag is a hash of its
    context, build options and base, so that an image that exists is an image that is current. `file_hashes` has the
    Dockerfile where `.dockerignore` leaves it out of the context. Services that are built alike, or name the image that
    another one builds, share one image; the other may be one of another host's profiles.
    Returns ({service: reference}, [{image, context, dockerfile, target, args}]); raises `ProductionError`.
    """
    images: dict[str, str] = {}
    builds: dict[str, dict[str, t.Any]] = {}
    built_as: dict[str, str] = {}  # what the Compose file calls an image -> what this release calls it
    services = active_services(compose, profiles)
    for name, service in _built_services(compose, services).items():
        context = build_context(service) or ""
        if context not in context_hashes:
            raise ProductionError(name, f"there is no hash of its build context {context}.", "Name it in contexts.")
        recipe = _recipe(service["build"], context, {"BASE_IMAGE": base_images[name]} if name in base_images else {})
        dockerfile = file_hashes.get(os.path.normpath(os.path.join(context, recipe["dockerfile"])), "")
        key = content_hash([context_hashes[context], dockerfile, recipe])
        first = builds.setdefault(key, {"image": f"{project}/{name}:{key[:12]}", **recipe})
        if name in services:
            images[name] = first["image"]
        built_as.setdefault(service.get("image", ""), first["image"])
    for name, service in services.items():
        if name not in images:
            declared = service.get("image", "")
            images[name] = base_images.get(name) or built_as.get(declared, declared)
    return images, list(builds.values())


def registry_references(
    compose: dict[str, t.Any], profiles: t.Iterable[str], base_images: dict[str, str]
) -> list[str]:
    """The images that `plan_images` takes as they are named: what runs and is not built, and what builds start from."""
    services = active_services(compose, profiles)
    built = _built_services(compose, services)
    ours = {service.get("image") for service in built.values()}
    found = {base_images.get(name, "") for name in (*services, *built)}
    for name, service in services.items():
        if name not in built and name not in base_images and service.get("image") not in ours:
            found.add(service.get("image", ""))
    return sorted(found - {""})


def _recipe(build: t.Any, context: str, more: dict[str, str]) -> dict[str, t.Any]:
    build = build if isinstance(build, dict) else {}
    return {
        "context": context,
        "dockerfile": build.get("dockerfile", "Dockerfile"),
        "target": build.get("target", ""),
        "args": {**_arguments(build), **more},
    }


def _built_services(compose: dict[str, t.Any], active: dict[str, dict[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """The services whose images a release builds: those of `active` that are built, and whose images others of it name."""
    named = {service["image"] for service in active.values() if "image" in service and not service.get("build")}
    return {
        name: service
        for name, service in (compose.get("services") or {}).items()
        if build_context(service) is not None and (name in active or service.get("image") in named)
    }


def _arguments(build: dict[str, t.Any]) -> dict[str, str]:
    args = build.get("args") or {}
    if isinstance(args, list):
        args = dict(item.partition("=")[::2] for item in args)
    return {key: str(value) for key, value in args.items()}


def container_targets(project: str, compose: dict[str, t.Any], profiles: t.Iterable[str]) -> list[dict[str, t.Any]]:
    """One `readiness_wait` target for every active service."""
    targets = []
    for name, service in active_services(compose, profiles).items():
        container: dict[str, t.Any] = {"project": project, "service": name}
        if is_one_shot(compose, name):
            container["one_shot"] = True
        else:
            container["replicas"] = replicas(service)
        targets.append({"name": name, "critical": name not in optional_services(compose), "container": container})
    return targets


def optional_services(compose: dict[str, t.Any]) -> set[str]:
    """Services whose failure only degrades the stack: those with the label `tria.production.critical: "false"`."""
    found = set()
    for name, service in (compose.get("services") or {}).items():
        labels = mapping(service.get("labels"))
        if str(labels.get("tria.production.critical", "true")).lower() == "false":
            found.add(name)
    return found


def referenced_files(compose: dict[str, t.Any], name: str) -> list[str]:
    """Paths inside the project that a service of an interpolated project reads when it is started, normalised.

    Bind mounts, env files, label files, configs, secrets, and the files that it extends.
    """
    service = compose["services"][name]
    extends = service.get("extends")
    found = [extends.get("file") if isinstance(extends, dict) else None]
    found += [source for source, _read_only in binds(service)]
    for entry in [*listed(service.get("env_file")), *listed(service.get("label_file"))]:
        found.append(entry.get("path") if isinstance(entry, dict) else entry)
    found += mounted_files(compose, name)
    return _inside(found)


def binds(service: dict[str, t.Any]) -> list[tuple[str, bool]]:
    """What a service of an interpolated project mounts by a path that is not absolute: (path, whether read-only)."""
    found = []
    for volume in service.get("volumes") or []:
        if isinstance(volume, dict):
            source = volume.get("source") if volume.get("type") == "bind" else None
            read_only = bool(volume.get("read_only"))
        else:
            source, *rest = volume.split(":")
            source = source if source.startswith(".") else None
            read_only = "ro" in rest[1].split(",") if len(rest) > 1 else False
        if source and not source.startswith(("/", "~")):
            found.append((source, read_only))
    return found


def mounted_files(compose: dict[str, t.Any], name: str) -> list[str]:
    """The files behind a service's configs and secrets. A container does not get another one's when they change."""
    found = []
    for kind in ("configs", "secrets"):
        for entry in compose["services"][name].get(kind) or []:
            source = entry.get("source") if isinstance(entry, dict) else entry
            found.append(((compose.get(kind) or {}).get(source) or {}).get("file"))
    return _inside(found)


def _inside(paths: t.Iterable[str | None]) -> list[str]:
    normal = {os.path.normpath(path) for path in paths if path}
    return sorted(path for path in normal if not os.path.isabs(path) and path.split("/")[0] not in ("..", "~"))


def content_hash(value: t.Any) -> str:
    """sha256 of a JSON-serialisable value, in a canonical form; a date of YAML counts as its text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()
