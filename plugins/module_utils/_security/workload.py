# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One shape for a Compose service as declared and for a container as it runs. Private to the collection."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _compose, _docker
from ansible_collections.tria.production.plugins.module_utils._security.observation import Unseen

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>h|ms|m|us|µs|ns|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class Mount(t.NamedTuple):
    """`source` is a path of the host."""

    source: str
    target: str
    read_only: bool
    propagation: str


class Port(t.NamedTuple):
    """A published port; `host` is empty for all addresses, `first` and `last` 0 for whichever port is free."""

    host: str
    first: int
    last: int
    target: int


@dataclasses.dataclass
class Healthcheck:
    """Times in seconds, None where the Engine's default of 30 s holds."""

    test: list[str]
    interval: float | None
    timeout: float | None
    retries: int | None


@dataclasses.dataclass
class Process:
    """The main process as the kernel has it."""

    uid: int
    no_new_privileges: bool


@dataclasses.dataclass
class Workload:
    """`user` is None where the image decides and is not known, `log_driver` where the Engine decides.

    `health_known` says whether `healthcheck`, None without one, is the image's word too.
    """

    subject: str
    service: str
    image: str = ""
    built_here: bool = False
    one_shot: bool = False
    privileged: bool = False
    user: str | None = None
    process: Process | None = None
    cap_add: list[str] = dataclasses.field(default_factory=list)
    cap_drop: list[str] = dataclasses.field(default_factory=list)
    devices: list[str] = dataclasses.field(default_factory=list)
    device_rules: list[str] = dataclasses.field(default_factory=list)
    mounts: list[Mount] = dataclasses.field(default_factory=list)
    namespaces: dict[str, str] = dataclasses.field(default_factory=dict)
    security_opt: list[str] = dataclasses.field(default_factory=list)
    unlimited: list[str] = dataclasses.field(default_factory=list)
    restart: str = ""
    healthcheck: Healthcheck | None = None
    health_known: bool = True
    read_only: bool = False
    tmpfs: dict[str, str] = dataclasses.field(default_factory=dict)
    log_driver: str | None = None
    log_options: dict[str, str] = dataclasses.field(default_factory=dict)
    ports: list[Port] = dataclasses.field(default_factory=list)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    arguments: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def known_user(self) -> str:
        """The configured user, empty for the default, which is root."""
        if self.user is None:
            raise Unseen("the image says which user, and the image is not known here; the containers tell")
        return self.user


def from_service(
    name: str, project: dict[str, t.Any], image_config: dict[str, t.Any] | None = None
) -> Workload:
    """A service of a resolved Compose configuration; `image_config` is its image's `Config`, None where not known."""
    service = project["services"][name]
    built = {one.get("image") for one in project["services"].values() if one.get("build")}
    user = service.get("user")
    if user is None and image_config is not None:
        user = image_config.get("User") or ""
    check = service.get("healthcheck")
    if check is None and image_config is not None:
        healthcheck = _image_healthcheck(image_config)
    else:
        healthcheck = _healthcheck(check)
    return Workload(
        subject=name,
        service=name,
        image=service.get("image") or "",
        built_here=bool(service.get("build")) or service.get("image") in built,
        one_shot=_compose.is_one_shot(project, name),
        privileged=bool(service.get("privileged")),
        user=None if user is None else str(user),
        cap_add=_capabilities(service.get("cap_add")),
        cap_drop=_capabilities(service.get("cap_drop")),
        devices=[_device(one) for one in service.get("devices") or []],
        device_rules=list(service.get("device_cgroup_rules") or []),
        mounts=list(_service_mounts(service, project)),
        namespaces={
            "network": service.get("network_mode") or "",
            "process": service.get("pid") or "",
            "IPC": service.get("ipc") or "",
            "UTS": service.get("uts") or "",
            "user": service.get("userns_mode") or "",
        },
        security_opt=list(service.get("security_opt") or []),
        unlimited=_unlimited(service),
        restart=_restart(service),
        healthcheck=healthcheck,
        health_known=check is not None or image_config is not None,
        read_only=bool(service.get("read_only")),
        tmpfs=_tmpfs(service.get("tmpfs")),
        log_driver=(service.get("logging") or {}).get("driver"),
        log_options=(service.get("logging") or {}).get("options") or {},
        ports=[_published(port) for port in service.get("ports") or []],
        environment=_environment(service),
        arguments=_service_arguments(service),
    )


def from_container(
    container: dict[str, t.Any], process: Process | None = None, one_shot: bool = False
) -> Workload:
    """A container as `GET /containers/{id}/json` gives it."""
    config, host = container["Config"], container["HostConfig"]
    log = host.get("LogConfig") or {}
    return Workload(
        subject=container["Name"].lstrip("/"),
        service=(_docker.service_of(config.get("Labels") or {}) or ("", ""))[1] or "",
        image=config["Image"],
        one_shot=one_shot,
        privileged=bool(host.get("Privileged")),
        user=config.get("User") or "",
        process=process,
        cap_add=_capabilities(host.get("CapAdd")),
        cap_drop=_capabilities(host.get("CapDrop")),
        devices=[one["PathOnHost"] for one in host.get("Devices") or []],
        device_rules=list(host.get("DeviceCgroupRules") or []),
        mounts=[
            Mount(one.get("Source") or "", one["Destination"], not one.get("RW", True), one.get("Propagation") or "")
            for one in container.get("Mounts") or []
            if one["Type"] == "bind"
        ],
        namespaces={
            "network": host.get("NetworkMode") or "",
            "process": host.get("PidMode") or "",
            "IPC": host.get("IpcMode") or "",
            "UTS": host.get("UTSMode") or "",
            "user": host.get("UsernsMode") or "",
        },
        security_opt=list(host.get("SecurityOpt") or []),
        unlimited=[
            kind
            for kind, limit in (
                ("memory", host.get("Memory")),
                ("CPU", host.get("NanoCpus") or host.get("CpuQuota")),
                ("process", host.get("PidsLimit")),
            )
            if not limit or limit < 0
        ],
        restart=(host.get("RestartPolicy") or {}).get("Name") or "no",
        healthcheck=_image_healthcheck(config),
        read_only=bool(host.get("ReadonlyRootfs")),
        tmpfs=dict(host.get("Tmpfs") or {}),
        log_driver=log.get("Type") or "json-file",
        log_options=log.get("Config") or {},
        ports=[
            Port(bound.get("HostIp") or "", *[int(bound["HostPort"])] * 2, int(inside.partition("/")[0]))
            for inside, bindings in ((container.get("NetworkSettings") or {}).get("Ports") or {}).items()
            for bound in bindings or []
        ],
        environment=dict(item.partition("=")[::2] for item in config.get("Env") or []),
        arguments={
            "command": [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])],
            "health check": list((config.get("Healthcheck") or {}).get("Test") or []),
        },
    )


def _plain(value: t.Any) -> str:
    """A string of the resolved configuration as the container gets it."""
    return str(value).replace("$$", "$")


def _environment(service: dict[str, t.Any]) -> dict[str, str]:
    given = (service.get("environment") or {}).items()
    return {name: _plain(value) for name, value in given if value is not None}


def _capabilities(names: t.Any) -> list[str]:
    upper = [str(name).upper() for name in names or []]
    return [name[4:] if name.startswith("CAP_") else name for name in upper]


def _device(device: t.Any) -> str:
    return device["source"] if isinstance(device, dict) else str(device).partition(":")[0]


def _service_mounts(service: dict[str, t.Any], project: dict[str, t.Any]) -> t.Iterator[Mount]:
    for volume in service.get("volumes") or []:
        source, read_only = volume.get("source") or "", bool(volume.get("read_only"))
        if volume["type"] == "bind":
            yield Mount(source, volume["target"], read_only, (volume.get("bind") or {}).get("propagation") or "")
        elif volume["type"] == "volume":
            options = ((project.get("volumes") or {}).get(source) or {}).get("driver_opts") or {}
            flags = str(options.get("o") or "").split(",")
            if {"bind", "rbind"}.intersection(flags):
                yield Mount(str(options.get("device") or ""), volume["target"], read_only or "ro" in flags, "")


def _unlimited(service: dict[str, t.Any]) -> list[str]:
    limits = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    given = {
        "memory": service.get("mem_limit") or limits.get("memory"),
        "CPU": service.get("cpus") or limits.get("cpus") or service.get("cpu_quota"),
        "process": service.get("pids_limit") or limits.get("pids"),
    }
    return [kind for kind, limit in given.items() if not limit or str(limit).startswith("-") or str(limit) == "0"]


def _restart(service: dict[str, t.Any]) -> str:
    policy = (service.get("deploy") or {}).get("restart_policy")
    if policy:
        condition = policy.get("condition") or "any"
        return "no" if condition == "none" else condition
    return str(service.get("restart") or "no")


def _healthcheck(check: dict[str, t.Any] | None) -> Healthcheck | None:
    if not check or check.get("disable"):
        return None
    test = check.get("test") or []
    if not test or test[0] == "NONE":
        return None
    interval, timeout = _seconds(check.get("interval")), _seconds(check.get("timeout"))
    return Healthcheck([_plain(word) for word in test], interval, timeout, check.get("retries"))


def _image_healthcheck(config: dict[str, t.Any]) -> Healthcheck | None:
    check = config.get("Healthcheck") or {}
    test = check.get("Test") or []
    if not test or test[0] == "NONE":
        return None
    interval, timeout = (check[key] / 1e9 if check.get(key) else None for key in ("Interval", "Timeout"))
    return Healthcheck(list(test), interval, timeout, check.get("Retries") or None)


def _seconds(duration: t.Any) -> float | None:
    """`1m0s` -> 60.0"""
    if duration is None:
        return None
    return sum(float(part["number"]) * _SECONDS[part["unit"]] for part in _DURATION.finditer(str(duration)))


def _tmpfs(entries: t.Any) -> dict[str, str]:
    listed = [entries] if isinstance(entries, str) else entries or []
    return dict(entry.partition(":")[::2] for entry in listed)


def _published(port: dict[str, t.Any]) -> Port:
    first, _dash, last = str(port.get("published") or 0).partition("-")
    return Port(port.get("host_ip") or "", int(first), int(last or first), int(port["target"]))


def _service_arguments(service: dict[str, t.Any]) -> dict[str, list[str]]:
    """Where a value shows to everybody on the host, or to whoever has the image."""
    build = service.get("build") or {}
    words = {
        "command": [*(service.get("entrypoint") or []), *(service.get("command") or [])],
        "health check": (service.get("healthcheck") or {}).get("test") or [],
        "labels": list((service.get("labels") or {}).values()),
        "build arguments": [value for value in (build.get("args") or {}).values() if value is not None],
    }
    return {place: [_plain(word) for word in listed] for place, listed in words.items()}
