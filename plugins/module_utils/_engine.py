# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of a host's Docker Engine before anything is installed: standard library only. Private to the collection."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _apt
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

# pid file -> the process that writes it
CGROUP2 = "/sys/fs/cgroup/cgroup.controllers"
PID_FILES = {"/var/run/docker.pid": "dockerd", "/var/run/docker/containerd/containerd.pid": "containerd"}


def engine_info(config_file: str, libraries: t.Iterable[str], timeout: float) -> dict[str, t.Any]:
    """Everything the role `docker_engine` decides by; waits up to `timeout` seconds for the Engine to answer.

    `engine` and `compose` are version strings, empty when absent or not answering. `stale_pid_files` were left by a
    daemon that no longer runs and would keep a new one from starting.
    """
    engine = engine_version()
    deadline = time.monotonic() + timeout
    while not engine and time.monotonic() < deadline:
        time.sleep(0.2)
        engine = engine_version()
    return {
        "installed": shutil.which("dockerd") is not None,
        "engine": engine,
        "compose": _json_field(["docker", "compose", "version", "--format", "json"], "version").lstrip("v"),
        "daemon_config": read_daemon_config(config_file),
        "missing_libraries": [name for name in libraries if not _importable(name)],
        "stale_pid_files": [] if engine else [path for path, process in PID_FILES.items() if _is_stale(path, process)],
        "cgroup_version": 2 if os.path.exists(CGROUP2) else 1,
        "apt_sources": _apt.sources(),
    }


def engine_version() -> str:
    """The version of the Engine that answers, or an empty string."""
    server = _json_field(["docker", "version", "--format", "{{json .}}"], "Server")
    return server.get("Version", "") if isinstance(server, dict) else ""


def read_daemon_config(path: str) -> dict[str, t.Any]:
    """`daemon.json` as a dict, empty when there is none; raises `ProductionError` when it is not a JSON object."""
    try:
        with open(path, encoding="utf-8") as stream:
            config = json.loads(stream.read().strip() or "{}")
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ProductionError.from_os(exc, "The daemon's configuration must be a readable file.") from exc
    except ValueError as exc:
        raise ProductionError(path, f"is not valid JSON: {exc}.", "Correct it; it is merged, never overwritten.") from exc
    if not isinstance(config, dict):
        raise ProductionError(path, "does not hold a JSON object.", "Correct it; it is merged, never overwritten.")
    return config


def _json_field(command: list[str], field: str) -> t.Any:
    """One field of a command's JSON answer; an empty string when the command is absent, fails or does not answer."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
        return json.loads(done.stdout or b"{}").get(field) or ""
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
        return True
    except ImportError:
        return False


def _is_stale(path: str, process: str) -> bool:
    """Whether a pid file's process is gone, or is another one that got the number later."""
    pid = _apt.read_text(path).strip()
    if not pid.isdigit():  # empty, or zeros after a power cut
        return os.path.exists(path)
    return _apt.read_text(f"/proc/{pid}/comm").strip() != process
