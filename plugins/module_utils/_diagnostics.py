# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person wants to see of a stack that is in trouble, and the facts the next run starts from. Private.

Whatever containers say is untrusted: bounded, without control characters, secrets redacted.
"""

from __future__ import annotations

import calendar
import json
import os
import platform
import signal
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic, _deps, _docker, _host
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._redact import printable, redact, redact_tree
from ansible_collections.tria.production.plugins.module_utils._releases import history, store

LINE_CHARS = 500
LOG_BYTES = 512 * 1024
HEALTH_ENTRIES = 3
SUMMARY_LINES = 10
RESTART_WINDOW_S = 60
_CPU_SAMPLE_S = 0.1
_NEVER = "0001-01-01T00:00:00Z"  # Docker's word for a time that has not come
_VOLATILE_FACTS = ("checked_at", "host")
_KEEPS_RUNNING = ("always", "unless-stopped")


def diagnose(options: dict[str, t.Any], check_mode: bool = False) -> dict[str, t.Any]:
    """Collect everything, write the facts if `facts_path` is given.

    Returns `diagnostics`, `summary`, `changed`, `facts` and `warnings`. Trouble on the host is what this is for, so
    neither a silent Engine nor facts that cannot be written raise: both are told in the result.
    """
    secrets = options["secrets"]
    engine, containers = _engine(options)
    disks = [options["root"], "/"] + [engine["root_dir"]] * bool(engine["root_dir"])
    collected = {
        "project": options["project"],
        "release": options["release"],
        "status": options["status"],
        "collected_at": _now(),
        "engine": engine,
        "containers": containers,
        "host": host_metrics(disks),
    }
    collected = redact_tree(collected, secrets, guess=False)
    facts = {**releases(options["root"]), **stack_facts(collected, options["checks"])}
    result = {"diagnostics": collected, "facts": facts, "changed": False, "warnings": []}
    if options["facts_path"]:
        try:
            result["changed"] = _write_facts(options["facts_path"], facts, check_mode)
        except OSError as exc:
            result["warnings"].append(f"The facts were not written to {options['facts_path']}: {exc.strerror}.")
    return {**result, "summary": summarise(collected)}


def _engine(options: dict[str, t.Any]) -> tuple[dict[str, t.Any], list[dict[str, t.Any]]]:
    """The Docker Engine and the containers of the project; `error` says why when it does not answer."""
    engine: dict[str, t.Any] = {"answers": False, "error": "", "root_dir": ""}
    try:
        docker = _deps.load("docker")
        client = _docker.connect()
    except (ProductionError, _deps.MissingLibrary) as exc:
        return {**engine, "error": str(exc)}, []
    try:
        with client:
            info = client.info()
            engine.update(
                answers=True,
                version=info["ServerVersion"],
                api_version=client.api_version,
                root_dir=info["DockerRootDir"],
                storage_driver=info["Driver"],
                images=info["Images"],
                containers={
                    state: info[f"Containers{state.capitalize()}"] for state in ("running", "paused", "stopped")
                },
            )
            found = _docker.compose_containers(client, options["project"])
            return engine, [_described(client, container, options) for container in found]
    except (docker.errors.DockerException, OSError) as exc:
        return {**engine, "error": f"Docker Engine: stopped answering: {exc}"}, []


def _described(client: t.Any, raw: dict[str, t.Any], options: dict[str, t.Any]) -> dict[str, t.Any]:
    state = raw["State"]
    health = state.get("Health") or {}
    described = {
        "name": raw["Name"].lstrip("/"),
        "service": raw["Config"]["Labels"].get(_docker.SERVICE, ""),
        "id": raw["Id"][:12],
        "image": raw["Config"]["Image"],
        "image_id": raw["Image"],
        "state": state["Status"],
        "exit_code": state["ExitCode"],
        "oom_killed": state["OOMKilled"],
        "error": _bounded(state["Error"], options["secrets"]),
        "restarts": raw["RestartCount"],
        "started_at": _time(state["StartedAt"]),
        "finished_at": _time(state["FinishedAt"]),
        "health": health.get("Status", "none"),
        "health_log": [
            {
                "exit_code": entry["ExitCode"],
                "end": entry["End"],
                "output": _bounded(entry["Output"], options["secrets"]),
            }
            for entry in (health.get("Log") or [])[-HEALTH_ENTRIES:]
        ],
    }
    described["trouble"] = trouble(described, raw["HostConfig"]["RestartPolicy"]["Name"])
    wanted = options["logs"] == "all" or (options["logs"] == "failed" and described["trouble"])
    described["logs"] = _logs(client, raw["Id"], options) if wanted else []
    return described


def trouble(container: dict[str, t.Any], restart_policy: str = "no") -> str:
    """What is wrong with a container, in words; empty when it runs well, or has done its work and ended."""
    state, code = container["state"], container["exit_code"]
    if state == "running":
        if container["health"] == "unhealthy":
            return "running but unhealthy"
        if container["restarts"] and _age_s(container["started_at"]) < RESTART_WINDOW_S:
            return f"running, restarted {container['restarts']} times, just now again"
        return ""
    ended = f"{state} ({exit_reason(code, container['oom_killed'])})"
    if state == "restarting":
        return f"{ended}, {container['restarts']} restarts"
    if state == "created":
        return f"never started ({container['error'] or 'something it depends on is not there'})"
    if state == "exited" and code == 0 and restart_policy not in _KEEPS_RUNNING:
        return ""
    return ended if state in ("exited", "dead") else state


def exit_reason(code: int, oom_killed: bool = False) -> str:
    """An exit code in words: `137, SIGKILL, out of memory`."""
    words = {126: "command not executable", 127: "command not found"}.get(code, "")
    if 128 < code < 128 + signal.NSIG and code - 128 in set(signal.Signals):
        words = signal.Signals(code - 128).name
    return ", ".join(filter(None, [f"exit code {code}", words, "out of memory" if oom_killed else ""]))


def _logs(client: t.Any, container_id: str, options: dict[str, t.Any]) -> list[str]:
    """The last log lines; redacted before they are cut, so that no part of a secret survives at an edge."""
    docker = _deps.load("docker")

    def clean(text: str) -> str:
        return redact(text, options["secrets"])

    try:
        lines = _docker.log_tail(client, container_id, options["log_lines"], LOG_BYTES, clean)
    except docker.errors.APIError as exc:
        lines = [f"(its log cannot be read: {exc.explanation or exc})"]
    text = redact(printable("\n".join(lines)), options["secrets"])
    return [_cut(line) for line in text.splitlines()[-options["log_lines"] :]] if options["log_lines"] else []


def _bounded(text: str, secrets: list[str]) -> str:
    return _cut(redact(printable(text), secrets).strip())


def _cut(text: str) -> str:
    return text if len(text) <= LINE_CHARS else f"{text[:LINE_CHARS]}… ({len(text) - LINE_CHARS} more characters)"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _time(stamp: str) -> str:
    return "" if stamp == _NEVER else stamp


def _age_s(stamp: str) -> float:
    """Seconds since a Docker time, which is UTC with nanoseconds; endless for one that is empty."""
    return time.time() - calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) if stamp else float("inf")


def host_metrics(paths: list[str]) -> dict[str, t.Any]:
    """Load, CPU, memory and the file systems of the paths now; the first path's share is `disk_percent`."""
    busy, total = _cpu_ticks()
    time.sleep(_CPU_SAMPLE_S)
    busy_then, total_then = _cpu_ticks()
    memory = _host.memory_mb(_host.MEMINFO)
    disks = _disks(paths)
    return {
        "hostname": platform.node(),
        "cores": os.cpu_count() or 1,
        "load": [round(load, 2) for load in os.getloadavg()],
        "cpu_percent": round(100 * (busy_then - busy) / max(1, total_then - total), 1),
        "memory_mb": memory["MemTotal"],
        "memory_available_mb": memory["MemAvailable"],
        "memory_percent": round(100 * (1 - memory["MemAvailable"] / memory["MemTotal"]), 1),
        "disk_percent": disks[0]["percent"],
        "disks": disks,
    }


def _cpu_ticks() -> tuple[int, int]:
    """Busy and all ticks since boot: user nice system idle iowait irq softirq steal."""
    with open("/proc/stat", encoding="ascii") as lines:
        ticks = [int(value) for value in lines.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _disks(paths: list[str]) -> list[dict[str, t.Any]]:
    """One entry for each file system among the paths."""
    found = {}
    for path in paths:
        existing = _host.nearest_existing(path)
        state = os.statvfs(existing)
        found.setdefault(
            os.stat(existing).st_dev,
            {
                "path": path,
                "total_gb": round(state.f_blocks * state.f_frsize / _host.GB, 1),
                "free_gb": round(state.f_bavail * state.f_frsize / _host.GB, 1),
                "percent": _used_percent(state.f_blocks - state.f_bfree, state.f_bavail),
                "inodes_percent": _used_percent(state.f_files - state.f_ffree, state.f_favail),
            },
        )
    return list(found.values())


def _used_percent(used: int, available: int) -> float:
    """As `df` counts it: what is kept for root is neither."""
    return round(100 * used / max(1, used + available), 1)


def stack_facts(collected: dict[str, t.Any], checks: dict[str, t.Any]) -> dict[str, t.Any]:
    """The content of the facts file: of each service its worst container, no text that a container wrote."""
    services: dict[str, t.Any] = {}
    for container in sorted(collected["containers"], key=lambda one: bool(one["trouble"]), reverse=True):
        keys = ("state", "health", "image", "restarts", "exit_code")
        services.setdefault(container["service"], {key: container[key] for key in keys})
    percents = ("disk_percent", "memory_percent", "cpu_percent")
    return {
        "release": collected["release"],
        "status": collected["status"],
        "checked_at": collected["collected_at"],
        "checks": checks,
        "services": dict(sorted(services.items())),
        "host": {key: collected["host"][key] for key in percents},
    }


def releases(root: str) -> dict[str, t.Any]:
    """Of those below a stack's folder: {current, last_good: the one to go back to, not_good: failed or bad ones}."""
    known = store.Releases(root)
    current = known.current()
    return {
        "current": current,
        "last_good": known.last_good_before(current) if current else "",
        "not_good": [one["id"] for one in history.history(known) if one["status"] in (store.FAILED, store.BAD)],
    }


def _write_facts(path: str, facts: dict[str, t.Any], check_mode: bool) -> bool:
    """Write the facts; whether anything but times and percentages differs from what was there."""
    try:
        with open(path, encoding="utf-8") as stream:
            before = json.load(stream)
    except (FileNotFoundError, ValueError):
        before = None
    if not check_mode:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o755, exist_ok=True)
        _atomic.write_file(path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n", 0o644)
    return before is None or _lasting(before) != _lasting(facts)


def _lasting(facts: t.Any) -> t.Any:
    if not isinstance(facts, dict):
        return facts
    return {key: value for key, value in facts.items() if key not in _VOLATILE_FACTS}


def summarise(collected: dict[str, t.Any]) -> str:
    """The same for a person: containers in trouble first, each with why, its health checks and its last lines."""
    containers = sorted(collected["containers"], key=lambda one: not one["trouble"])
    failing = sum(bool(one["trouble"]) for one in containers)
    head = f"{collected['project']}: {failing} of {len(containers)} containers in trouble"
    lines = [head if containers else f"{collected['project']}: no containers"]
    if collected["engine"]["error"]:
        lines.append(collected["engine"]["error"])
    for container in containers:
        lines.extend(_container_lines(container))
    host = collected["host"]
    lines.append(
        f"Host {host['hostname']}: load {' '.join(map(str, host['load']))} on {host['cores']} cores,"
        f" memory {host['memory_percent']} % of {host['memory_mb']} MB used"
    )
    lines.extend(f"Disk {one['path']}: {one['percent']} % used, {one['free_gb']} GB free" for one in host["disks"])
    return "\n".join(lines)


def _container_lines(container: dict[str, t.Any]) -> t.Iterator[str]:
    if not container["trouble"]:
        health = "" if container["health"] == "none" else f", {container['health']}"
        yield f"✓ {container['service']} ({container['name']}): {container['state']}{health}"
        return
    yield f"❌ {container['service']} ({container['name']}): {container['trouble']}"
    if container["error"]:
        yield f"    {container['error']}"
    for entry in container["health_log"][-1:]:
        yield f"    health check ended with {entry['exit_code']}: {entry['output']}"
    yield from (f"    | {line}" for line in container["logs"][-SUMMARY_LINES:])
