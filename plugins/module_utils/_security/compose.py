# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Area compose: what a stack's resolved configuration asks for. Private to the collection."""

from __future__ import annotations

import json
import os
import re
import subprocess
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _redact
from ansible_collections.tria.production.plugins.module_utils._env import parser
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._security import exposure, hardening, isolation, secrets
from ansible_collections.tria.production.plugins.module_utils._security.observation import Observation, Unseen, look
from ansible_collections.tria.production.plugins.module_utils._security.workload import Workload, from_service

_RESOLVES_ENV_FILES = (2, 35)  # from this version on always, unless --no-env-resolution; before, some did
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_REMEDY = "Run it by hand in that folder, and correct what it says."
_NOT_RESOLVED = "Give what docker compose config --format json prints."


class Definition(t.NamedTuple):
    """A project as Compose resolves it, and as it is written, before variables are replaced (None when not known)."""

    resolved: dict[str, t.Any]
    written: dict[str, t.Any] | None


def load(options: dict[str, t.Any], timeout: float) -> Definition | None:
    """The configuration that the options give, None without any; raises `ProductionError`."""
    if options["config_path"]:
        return Definition(_checked(options["config_path"], _read(options["config_path"])), None)
    if not options["project_src"]:
        return None
    resolved = _checked(options["project_src"], _config(options, timeout))
    # What stands in an env_file does not stand in the Compose file.
    told_not_to = ["--no-env-resolution"] if _version(options, timeout) >= _RESOLVES_ENV_FILES else []
    return Definition(_with_env_files(resolved), _config(options, timeout, "--no-interpolate", *told_not_to))


def workloads(resolved: dict[str, t.Any], image_configs: dict[str, dict[str, t.Any]]) -> list[Workload]:
    """Every service; `image_configs` maps references of images to their `Config`, as far as they are known.

    Raises `ProductionError` when the configuration is not a resolved one.
    """
    found = []
    for name, service in resolved["services"].items():
        try:
            found.append(from_service(name, resolved, image_configs.get(service.get("image") or "")))
        except (TypeError, KeyError, ValueError, AttributeError, IndexError) as exc:
            raise ProductionError(name, f"is not in resolved form ({type(exc).__name__}).", _NOT_RESOLVED) from exc
    return found


def observe(
    definition: Definition, services: list[Workload], public_ports: t.Sequence[int]
) -> t.Iterator[Observation]:
    """Every rule for a workload, held against every service."""
    yield from of_workloads(services, public_ports)
    for one in services:
        yield look("literal_secret", one.service, literal_secret, one.service, definition.written)


def of_workloads(some: list[Workload], public_ports: t.Sequence[int]) -> t.Iterator[Observation]:
    """The rules that services and containers share."""
    stack = exposure.Stack(some, public_ports)
    for one in some:
        for name, check in {**isolation.CHECKS, **hardening.CHECKS}.items():
            yield look(name, one.subject, check, one)
        for name, check in exposure.CHECKS.items():
            yield look(name, one.subject, check, one, stack)


def literal_secret(name: str, written: dict[str, t.Any] | None) -> t.Iterator[str]:
    if written is None:
        raise Unseen("only the Compose files tell, and they were not given (project_src)")
    service = written["services"][name]
    for variable, value in _pairs(service.get("environment")):
        yield from secrets.literals(variable, value)
    build = service.get("build")
    for variable, value in _pairs(build.get("args")) if isinstance(build, dict) else ():
        yield from secrets.literals(variable, value)
    for place in ("command", "entrypoint"):
        words = service.get(place) or []
        yield from secrets.in_arguments(f"its {place}", " ".join([words] if isinstance(words, str) else words))


def _pairs(listed: t.Any) -> t.Iterator[tuple[str, str]]:
    """The variables of `environment` or `args`, in either form, that have a value."""
    if isinstance(listed, list):
        listed = dict(item.partition("=")[::2] for item in listed)
    for name, value in (listed or {}).items():
        if value is not None:
            yield name, str(value)


def _checked(culprit: str, resolved: t.Any) -> dict[str, t.Any]:
    services = resolved.get("services") if isinstance(resolved, dict) else None
    if not isinstance(services, dict) or not all(isinstance(service, dict) for service in services.values()):
        raise ProductionError(culprit, "is no Compose configuration: it has no services.", _NOT_RESOLVED)
    return resolved


def _read(path: str) -> t.Any:
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except OSError as exc:
        raise ProductionError.from_os(exc, "Correct config_path.") from exc
    except ValueError as exc:
        raise ProductionError(path, "is not JSON.", _NOT_RESOLVED) from exc


def _with_env_files(resolved: dict[str, t.Any]) -> dict[str, t.Any]:
    """`resolved` with the variables of every env_file that Compose left as it was."""
    services = {}
    for name, service in resolved["services"].items():
        variables: dict[str, str] = {}
        for one in service.get("env_file") or []:
            path, required = (one["path"], one.get("required", True)) if isinstance(one, dict) else (one, True)
            variables.update(_env_file(path, required))
        own = {key: value for key, value in (service.get("environment") or {}).items() if value is not None}
        services[name] = {**service, "environment": {**variables, **own}} if variables else service
    return {**resolved, "services": services}


def _env_file(path: str, required: bool) -> dict[str, str]:
    """Its variables, written as a resolved configuration has them: with $$ for $."""
    if not required and not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as stream:
            values = parser.parse(stream.read()).values
    except OSError as exc:
        raise ProductionError.from_os(exc, "Correct env_file.") from exc
    except ValueError as exc:
        raise ProductionError(path, "is not UTF-8 text.", "Correct env_file.") from exc
    return {name: value.replace("$", "$$") for name, value in values.items()}


def _version(options: dict[str, t.Any], timeout: float) -> tuple[int, ...]:
    """The Compose plug-in's version, (0, 0) for one that is not understood."""
    found = _VERSION.match(_docker_compose(options, timeout, [], "version", "--short").decode("utf-8", "replace"))
    return tuple(int(part) for part in found.groups()) if found else (0, 0)


def _config(options: dict[str, t.Any], timeout: float, *flags: str) -> t.Any:
    """What `docker compose config` prints."""
    arguments = []
    for option, values in (
        ("--project-name", [options["project_name"]] if options["project_name"] else []),
        ("--file", options["files"]),
        ("--env-file", options["env_files"]),
        ("--profile", options["profiles"]),
    ):
        for value in values:
            arguments += [option, value]
    try:
        return json.loads(_docker_compose(options, timeout, arguments, "config", "--format", "json", *flags))
    except ValueError as exc:
        culprit = " ".join(["docker compose config", *flags])
        raise ProductionError(options["project_src"], f"{culprit} printed no JSON.", _REMEDY) from exc


def _docker_compose(options: dict[str, t.Any], timeout: float, arguments: list[str], *command: str) -> bytes:
    """What `docker compose <arguments> <command>` prints; raises `ProductionError` when it fails."""
    culprit = " ".join(["docker compose", *command])
    try:
        ran = subprocess.run(
            ["docker", "compose", *arguments, *command],
            cwd=options["project_src"], env={**os.environ, "COMPOSE_ANSI": "never"}, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=timeout, check=False,
        )
    except subprocess.TimeoutExpired as exc:
        remedy = "Raise timeout, or see what it waits for."
        raise ProductionError(culprit, f"did not end within {timeout:g} s.", remedy) from exc
    except OSError as exc:
        raise ProductionError.from_os(exc, "Install Docker's Compose plug-in, and correct project_src.") from exc
    if ran.returncode:
        told = _redact.printable(_redact.redact(ran.stderr.decode("utf-8", "replace"))).strip()[-500:]
        raise ProductionError(options["project_src"], f"{culprit} failed: {told}", _REMEDY)
    return ran.stdout
