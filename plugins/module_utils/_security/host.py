# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Area host: the machine below the stack. Private to the collection.

Programs are asked only where files do not tell: sshd, apt and iptables, with a time limit, and only to read.
"""

from __future__ import annotations

import datetime
import glob
import grp
import json
import os
import re
import shutil
import stat
import subprocess
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _git, _host, _ports
from ansible_collections.tria.production.plugins.module_utils._backup import manifest
from ansible_collections.tria.production.plugins.module_utils._releases.store import RECORD
from ansible_collections.tria.production.plugins.module_utils._security.exposure import is_loopback
from ansible_collections.tria.production.plugins.module_utils._security.observation import (
    Broken,
    Inapplicable,
    Observation,
    Unseen,
    look,
)

PROC = "/proc"
DAEMON_CONFIG = "/etc/docker/daemon.json"
DOCKER_SOCKET = "/var/run/docker.sock"
APT_LISTS = "/var/lib/apt/lists"
SEARCH_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
STALE_LISTS_DAYS = 7
_PROGRAM_S = 30.0  # at most, for one program
_SECURITY_UPDATE = re.compile(r"^(?P<package>[^/\s]+)/\S*-security\b", re.MULTILINE)


def observe(options: dict[str, t.Any]) -> t.Iterator[Observation]:
    """Every rule for a host, by the options of `security_check`."""
    yield look("docker_api", "dockerd", docker_api)
    yield look("docker_socket_mode", DOCKER_SOCKET, docker_socket_mode)
    for path in options["secret_files"]:
        yield look("secret_files", path, secret_file, path)
    if not options["secret_files"]:
        yield look("secret_files", "", _nothing_given, "secret_files")
    for path in options["disk_paths"]:
        yield look("disk", path, disk, path, options["min_disk_percent"], options["min_inodes_percent"])
    yield look("clock", "", clock)
    yield look("sshd", "sshd", sshd)
    yield look("security_updates", "", security_updates)
    yield from _firewall(options["public_ports"])
    backups = options["backup_path"]
    yield look("backup_age", backups or "", backup_age, backups, options["max_backup_age"], options["project_src"])


def docker_api() -> t.Iterator[str]:
    config, commands = _daemon_config(), _daemon_commands()
    if config is None and not commands:
        raise Unseen("neither dockerd nor its configuration is visible here")
    listens = [str(one) for one in (config or {}).get("hosts") or []]
    verified = bool((config or {}).get("tlsverify"))
    for words in commands:
        listens += _hosts(words)
        verified = verified or "--tlsverify" in words or "--tlsverify=true" in words
    for address in dict.fromkeys(listens):
        if address.startswith("tcp://") and not verified:
            yield f"listens on {address} without tlsverify"


def docker_socket_mode() -> t.Iterator[str]:
    try:
        state = os.stat(DOCKER_SOCKET)
    except FileNotFoundError:
        raise Unseen("does not exist") from None
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o007:
        yield f"has mode {mode:04o}"
    if state.st_uid != 0:
        yield f"belongs to uid {state.st_uid}"
    if state.st_gid != 0 and _group(state.st_gid) != "docker":
        yield f"belongs to the group {_group(state.st_gid)}"


def secret_file(path: str) -> t.Iterator[str]:
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        raise Unseen("does not exist") from None
    if stat.S_ISLNK(state.st_mode):
        yield "is a symbolic link"
    elif stat.S_IMODE(state.st_mode) & 0o077:
        yield f"has mode {stat.S_IMODE(state.st_mode):04o}"
    if state.st_uid not in (0, os.geteuid()):
        yield f"belongs to uid {state.st_uid}"
    if _tracked_by_git(path):
        yield "is tracked by git"


def disk(path: str, least_space: float, least_inodes: float) -> t.Iterator[str]:
    state = os.statvfs(_host.nearest_existing(path))
    if state.f_flag & os.ST_RDONLY:
        yield "is mounted read-only"
    for free, total, least, kind in (
        (state.f_bavail, state.f_blocks, least_space, "space"),
        (state.f_favail, state.f_files, least_inodes, "inodes"),
    ):
        if total and 100 * free / total < least:  # some file systems have no fixed number of inodes
            yield f"has {100 * free / total:.1f} % of its {kind} free, {least:g} % needed"


def clock() -> t.Iterator[str]:
    synchronised = _host.kernel_clock_synchronised()
    if synchronised is None:
        raise Unseen("the kernel does not tell this process")
    if not synchronised:
        yield "nothing synchronises the kernel's clock"


def sshd() -> t.Iterator[str]:
    program = shutil.which("sshd", path=SEARCH_PATH)
    if program is None:
        raise Unseen("is not installed")
    words = (line.split(None, 1) for line in _output([program, "-T"]).lower().splitlines())
    settings = {pair[0]: pair[1] for pair in words if len(pair) == 2}
    if settings.get("permitrootlogin") == "yes":
        yield "PermitRootLogin is yes"
    for name in ("passwordauthentication", "permitemptypasswords"):
        if settings.get(name) == "yes":
            yield f"{name} is yes"


def security_updates() -> t.Iterator[str]:
    program = shutil.which("apt", path=SEARCH_PATH)
    if program is None:
        raise Unseen("this host has no apt")
    lists = [os.path.getmtime(path) for path in glob.glob(os.path.join(APT_LISTS, "*_Packages*"))]
    if not lists:
        raise Unseen("apt has no package lists here: apt-get update")
    listed = _output([program, "list", "--upgradable"])  # takes a third of the time of a simulated upgrade
    packages = sorted(set(_SECURITY_UPDATE.findall(listed)))
    if packages:
        rest = f" and {len(packages) - 5} more" if len(packages) > 5 else ""
        yield f"{len(packages)} pending: {', '.join(packages[:5])}{rest}"
        return
    days = (time.time() - max(lists)) / 86400
    if days > STALE_LISTS_DAYS:
        raise Unseen(f"apt's package lists are {days:.0f} days old: apt-get update")


def backup_age(path: str | None, most_hours: float, project_src: str | None) -> t.Iterator[str]:
    if not path:
        _nothing_given("backup_path")
    found = manifest.published(path)
    if not found:
        hours = _hours_of_first_release(project_src)
        if hours is not None and hours <= most_hours:
            raise Unseen(f"the first release is {hours:.0f} hours old: no backup is due before {most_hours:g}")
        yield "holds no complete backup"
        return
    newest = found[-1]
    hours = _hours_since(newest.created_at)
    if hours > most_hours:
        yield f"its newest backup is {hours:.0f} hours old, {most_hours:g} are allowed"
    if newest.verified in ("", "none"):
        yield "its newest backup was not verified"


def _hours_of_first_release(folder: str | None) -> float | None:
    """How old the stack's release in `folder` is; None when it is not the first one, or no release at all."""
    if not folder or not os.path.isfile(os.path.join(folder, RECORD)):
        return None
    with open(os.path.join(folder, RECORD), encoding="utf-8") as stream:
        record = json.load(stream)
    return None if record["previous"] else _hours_since(record["created_at"])


def _hours_since(moment: str) -> float:
    made = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (datetime.datetime.now(datetime.timezone.utc) - made).total_seconds() / 3600


def _firewall(public_ports: t.Sequence[int]) -> t.Iterator[Observation]:
    published, unasked = _ports.published()
    if unasked:
        yield look("firewall", "", _unseen, unasked)
        return
    reachable = sorted({(one.port, one.container) for one in published if not is_loopback(one.host)})
    beyond = [(port, container) for port, container in reachable if port not in public_ports]
    for port, container in beyond:
        yield look("firewall", f"port {port}", firewall, container)
    if not beyond:
        yield look("firewall", "", tuple)


def firewall(container: str) -> t.Iterator[str]:
    rules = _docker_user_rules()
    if re.search(r"-j (?:DROP|REJECT)\b", rules):
        raise Unseen("the chain DOCKER-USER has rules of its own; whether they cover this port is not looked at")
    yield f"{container} publishes it beyond this machine, past the host's firewall"


def _docker_user_rules() -> str:
    """The rules that Docker leaves to the administrator; empty when there are none, or when they cannot be read."""
    program = shutil.which("iptables", path=SEARCH_PATH)
    if program is None:
        return ""
    try:
        return _output([program, "-w", "2", "-S", "DOCKER-USER"])
    except Broken:  # no such chain, or not root
        return ""


def _nothing_given(option: str) -> t.NoReturn:
    raise Inapplicable(f"{option} is not given")


def _unseen(reason: str) -> t.NoReturn:
    raise Unseen(reason)


def _daemon_config() -> dict[str, t.Any] | None:
    try:
        with open(DAEMON_CONFIG, encoding="utf-8") as stream:
            return dict(json.loads(stream.read().strip() or "{}"))
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise Broken(f"{DAEMON_CONFIG} is not valid JSON") from exc


def _daemon_commands() -> list[list[str]]:
    """The command lines of every dockerd that /proc shows."""
    found = []
    for pid in filter(str.isdigit, os.listdir(PROC)):
        try:
            with open(f"{PROC}/{pid}/comm", encoding="utf-8", errors="replace") as stream:
                if stream.read().strip() != "dockerd":
                    continue
            with open(f"{PROC}/{pid}/cmdline", encoding="utf-8", errors="replace") as stream:
                found.append(stream.read().rstrip("\0").split("\0"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended meanwhile, or hidden from us
    return found


def _hosts(words: list[str]) -> t.Iterator[str]:
    """The values of -H and --host."""
    for word, following in zip(words, [*words[1:], ""]):
        if word in ("-H", "--host"):
            yield following
        elif word.startswith("--host="):
            yield word[len("--host="):]
        elif word.startswith("-H") and not word.startswith("--"):
            yield word[2:].lstrip("=")


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _tracked_by_git(path: str) -> bool:
    state = _git.state(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)))
    if state == "unknown":
        raise Unseen("is in a git repository whose index cannot be read")
    return state == "tracked"


def _output(command: list[str]) -> str:
    """What a program prints; raises `Broken` when it fails."""
    name = os.path.basename(command[0])
    try:
        ran = subprocess.run(
            command, env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_PROGRAM_S, check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise Broken(f"{name} did not end within {_PROGRAM_S:g} s") from exc
    if ran.returncode:
        told = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Broken(f"{name} failed: {told[-1][:200] if told else ran.returncode}")
    return ran.stdout.decode("utf-8", "replace")
