# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container may do to its host. Each check yields what is wrong with one workload. Private to the collection."""

from __future__ import annotations

import posixpath
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._security.observation import Check
from ansible_collections.tria.production.plugins.module_utils._security.workload import Mount, Workload

_SOCKETS = ("docker.sock", "containerd.sock", "crio.sock", "podman.sock")
_SOCKET_FOLDERS = ("/", "/run", "/var", "/var/run", "/run/docker", "/run/containerd", "/var/run/docker")
_HARMLESS_DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))
_HOST_CAPABILITIES = frozenset(
    """
    ALL AUDIT_CONTROL BPF CHECKPOINT_RESTORE DAC_READ_SEARCH LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE NET_ADMIN PERFMON
    SYS_ADMIN SYS_BOOT SYS_MODULE SYS_PTRACE SYS_RAWIO SYS_TIME SYSLOG
    """.split()
)
# the folder itself in any mode, what is below it when it can be written to
_SYSTEM = tuple(
    "/bin /boot /dev /etc /lib /lib64 /proc /root /sbin /sys /usr /var/lib/containerd /var/lib/docker".split()
)
_WHOLE = ("/", "/home", "/var", "/var/lib", "/run", "/var/run", "/opt", "/srv")  # too much of the host at once
_HARMLESS_PATHS = ("/dev/log", "/dev/null", "/var/lib/docker/volumes")
_SECRET_FILES = ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/root/.ssh", "/etc/docker")
_SECRET_FOLDERS = re.compile(r"/home/[^/]+/\.(?:ssh|gnupg|aws|azure|kube|docker|config/gcloud)(?:/|\Z)")
# sockets of services that run as root; whoever may connect to one may not care whether it is read-only
_RUNTIME = re.compile(r"(?:/var)?/run/(?:systemd|dbus|[^/]+\.sock)(?:/|\Z)")
_UNCONFINED = ("seccomp=unconfined", "apparmor=unconfined", "label=disable", "systempaths=unconfined")
_IMPLIED = "label=disable"  # the Engine's own addition where that is shared which labels keep apart


def docker_socket(workload: Workload) -> t.Iterator[str]:
    for mount in workload.mounts:
        source = _path(mount)
        if source.endswith(_SOCKETS):
            yield f"mounts {source}"
        elif source in _SOCKET_FOLDERS:
            yield f"mounts {source}, where the socket is"


def privileged(workload: Workload) -> t.Iterator[str]:
    if workload.privileged:
        yield "is privileged"


def devices(workload: Workload) -> t.Iterator[str]:
    for device in workload.devices:
        if posixpath.normpath(device) not in _HARMLESS_DEVICES:
            yield f"gets the device {device}"
    for rule in workload.device_rules:
        yield f"may make devices of its own ({rule})"


def host_capabilities(workload: Workload) -> t.Iterator[str]:
    for name in workload.cap_add:
        if name in _HOST_CAPABILITIES:
            yield f"adds {name}"


def host_paths(workload: Workload) -> t.Iterator[str]:
    for mount in workload.mounts:
        source = _path(mount)
        told = f"mounts {source}" + ("" if mount.read_only else " writable")
        secret = _within(source, _SECRET_FILES) or _SECRET_FOLDERS.match(source) or _RUNTIME.match(source)
        if source in _WHOLE or source in _SYSTEM or (secret and not source.endswith(_SOCKETS)):
            yield told
        elif not mount.read_only and _within(source, _SYSTEM) and not _within(source, _HARMLESS_PATHS):
            yield told


def host_namespaces(workload: Workload) -> t.Iterator[str]:
    for kind, mode in workload.namespaces.items():
        if mode == "host":
            yield f"shares the host's {kind} namespace"


def confinement(workload: Workload) -> t.Iterator[str]:
    shared = workload.privileged or "host" in (workload.namespaces.get("process"), workload.namespaces.get("IPC"))
    for option in workload.security_opt:
        known = option.replace(":", "=", 1).lower()
        if known in _UNCONFINED and not (shared and known == _IMPLIED):
            yield f"has {option}"


def shared_propagation(workload: Workload) -> t.Iterator[str]:
    for mount in workload.mounts:
        if mount.propagation in ("shared", "rshared"):
            yield f"shares what is mounted below {mount.target}"


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        docker_socket, privileged, devices, host_capabilities, host_paths, host_namespaces, confinement,
        shared_propagation,
    )
}


def _path(mount: Mount) -> str:
    return posixpath.normpath(mount.source) if mount.source else ""


def _within(path: str, folders: t.Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)
