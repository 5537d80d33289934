# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reference stack under test: deployed by the real playbooks with the local inventory, under a name of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import docker
import psycopg2
from ansible_collections.tria.production.plugins.module_utils import _docker

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tria"
# One line of the backend that its API shows.
NEW_VERSION = {"backend/src/api/app.py": ('VERSION = "1.0.0"', 'VERSION = "1.0.1"')}


@dataclasses.dataclass
class Run:
    """What an `ansible-playbook` did: exit status, all it printed, seconds it took."""

    status: int
    output: str
    seconds: float

    @property
    def changed(self) -> int:
        return int(re.findall(r"changed=(\d+)", self.output)[-1])

    @property
    def gates(self) -> list[str]:
        """Names of the gates that were entered, in order; the report is shown like one, after whatever stopped the run."""
        return [name for name in re.findall(r"^🔧 (?!Checking )(.+)$", self.output, re.MULTILINE) if name != "report"]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def project_copy(
    folder: pathlib.Path, changes: dict[str, tuple[str, str]], source: pathlib.Path = EXAMPLE
) -> pathlib.Path:
    """A copy of the reference stack with `changes`: file -> (text that is there once, its replacement)."""
    copy = pathlib.Path(shutil.copytree(source, folder / "tria"))
    for name, (before, after) in changes.items():
        text = (copy / name).read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{before!r} is {text.count(before)} times in {name}"
        (copy / name).write_text(text.replace(before, after), encoding="utf-8")
    return copy


def snapshot(folder: pathlib.Path) -> dict[str, tuple[int, int, int]]:
    """Inode, size and time of change of everything below a folder: any write shows."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def descendants(pid: int) -> list[tuple[int, str]]:
    """The children of a process, theirs, and so on, each with when it was begun: IDs are used again."""
    parents = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return [(child, _begun(child)) for child in found[1:]]


def _begun(pid: int) -> str:
    """When a process was begun, in the kernel's ticks; empty when there is none."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


class DeployedStack:
    """A stack on this machine, its folders, and what its containers are."""

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        self.name = name
        self.folder = folder
        self.port = free_port()
        self.source = EXAMPLE
        self.environment: dict[str, object] = {}  # overrides that every deploy gets
        self.root = pathlib.Path("/opt", name)
        self.facts = pathlib.Path(f"/etc/ansible/facts.d/{name}.fact")
        self.reports = folder / "reports"
        self.secrets_folder = folder / "secrets"
        self.first_run: Run | None = None
        self._workers: list[tuple[int, str]] = []

    # --- playbooks ----------------------------------------------------------------------------------------------------

    def command(self, playbook: str, *arguments: str, environment: dict | None = None, **variables) -> list[str]:
        """The command line; `environment` overrides variables of the env file, None takes one away."""
        values = {
            "stack_name": self.name,
            "stack_source": str(self.source),
            "local_secrets_folder": str(self.secrets_folder),
            "deploy_reports": str(self.reports),
            "environment_overrides": {"EDGE_PORT": self.port, **self.environment, **(environment or {})},
            **variables,
        }
        program = [sys.executable, "-m", "ansible", "playbook", str(ROOT / "playbooks" / f"{playbook}.yml")]
        return [*program, "-i", str(ROOT / "inventories" / "local"), "-e", json.dumps(values), *arguments]

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        """Start a playbook in a process group of its own."""
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def kill(self, process: subprocess.Popen[str]) -> None:
        """End a playbook with SIGKILL. Its workers have sessions of their own: they live on, and are gone after `remove`."""
        self._workers += descendants(process.pid)
        os.killpg(process.pid, signal.SIGKILL)

    def playbook(self, playbook: str, *arguments: str, **variables) -> Run:
        """Run a playbook to its end. No run, however it ends, may show a secret."""
        begun = time.monotonic()
        with self.start(self.command(playbook, *arguments, **variables)) as process:
            output, _nothing = process.communicate(timeout=300)
        for name, secret in self.secrets().items():
            assert secret not in output, f"{name} is shown"
        return Run(process.returncode, output, time.monotonic() - begun)

    def deploy(self, *arguments: str, **variables) -> Run:
        return self.playbook("deploy", *arguments, **variables)

    # --- what is there ------------------------------------------------------------------------------------------------

    def secrets(self) -> dict[str, str]:
        return {path.name: path.read_text().strip() for path in self.secrets_folder.glob("*")}

    @property
    def current(self) -> str:
        """The current release's ID, empty when there is none."""
        link = self.root / "current"
        return link.resolve(strict=True).name if link.is_symlink() else ""

    def containers(self) -> dict[str, dict]:
        """`docker inspect` of every container, by service."""
        with _docker.connect() as engine:
            return {
                container["Config"]["Labels"][_docker.SERVICE]: container
                for container in _docker.compose_containers(engine, self.name)
            }

    def running(self) -> dict[str, str]:
        """Image ID by service, of all that runs."""
        return {name: one["Image"] for name, one in self.containers().items() if one["State"]["Running"]}

    def get(self, path: str, **kwargs) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", **kwargs)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()

    def sql(self, statement: str, dbname: str = "tria_aibpo", autocommit: bool = False) -> list[tuple]:
        """Run a statement in the stack's database, or in another one beside it; returns the rows of a query."""
        with _docker.connect() as engine:
            address = _docker.service_address(engine, self.name, "postgres")
        password = self.secrets()["postgres_password"]
        connection = psycopg2.connect(host=address, user="tria_admin", password=password, dbname=dbname)
        connection.autocommit = autocommit
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
            connection.commit()
            return rows
        finally:
            connection.close()

    def report(self) -> dict:
        return json.loads((self.reports / "latest" / "deployment-validation-report.json").read_text())

    def backups(self) -> list[dict]:
        """Manifests of all backups, oldest first."""
        return [json.loads(path.read_text()) for path in sorted((self.root / "backups").glob("*.json"))]

    # --- cleaning -----------------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Remove everything that a deploy of this stack may have made, by the Engine's API, whatever state it is in."""
        for pid, begun in self._workers:
            with contextlib.suppress(ProcessLookupError):  # it may end by itself meanwhile
                if _begun(pid) == begun:
                    os.kill(pid, signal.SIGKILL)
        client = docker.from_env()
        ours = {"label": f"{_docker.PROJECT}={self.name}"}
        try:
            for container in client.containers.list(all=True, filters=ours):
                container.remove(force=True)
            for resource in [*client.volumes.list(filters=ours), *client.networks.list(filters=ours)]:
                resource.remove()
            for image in client.images.list():
                for tag in image.tags:
                    if tag.startswith(f"{self.name}/"):
                        client.images.remove(tag)
        finally:
            client.close()
        shutil.rmtree(self.root, ignore_errors=True)
        self.facts.unlink(missing_ok=True)
