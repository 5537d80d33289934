# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real runs of `ansible-playbook`, with and without a terminal, of small playbooks whose modules do as told."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[4]
PROGRAM = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
COLOR = re.compile("\x1b\\[[0-9;]*m")
# Takes `sleep` seconds, then answers `answer`.
MODULE = """
import time
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"answer": {"type": "dict", "default": {}}, "sleep": {"type": "float", "default": 0}, "name": {},
                        "state": {}, "fail": {"type": "bool", "default": False}, "warn": {}}, supports_check_mode=True)
time.sleep(module.params["sleep"])
if module.params["warn"]:
    module.warn(module.params["warn"])
answer = {"changed": False, **module.params["answer"]}
if module.params["fail"]:
    module.fail_json(**answer)
module.exit_json(**answer)
"""
# A host that is not there, or one that cannot be asked twice.
CONNECTION = """
DOCUMENTATION = "name: {name}\\nauthor: nobody\\nshort_description: broken\\ndescription: [broken]\\noptions: {{}}"
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local

class Connection(Local):
    transport = "{name}"
    has_pipelining = False

    def exec_command(self, cmd, in_data=None, sudoable=True):
        if "{broken}" in str(cmd):
            raise AnsibleConnectionFailure("the line is \\x1b[5mdead")
        return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
"""


def check(category: str, name: str, status: str = "pass", **more: object) -> dict[str, object]:
    return {"category": category, "name": name, "status": status, "critical": True, "duration_ms": 12.4, **more}


@dataclasses.dataclass
class Done:
    """A run's exit status, what it printed (errors too), and its seconds."""

    status: int
    output: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


class Plays:
    """A folder with playbooks and modules; `run` plays tasks."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        (folder / "library").mkdir()
        for name in ("answers", "docker_image_build", "pg_backup", "pg_restore"):
            (folder / "library" / f"{name}.py").write_text(MODULE, encoding="utf-8")
        (folder / "connection_plugins").mkdir()
        for name, broken in (("gone", ""), ("deaf", "cat /tmp/.readiness")):
            text = CONNECTION.format(name=name, broken=broken)
            (folder / "connection_plugins" / f"{name}.py").write_text(text, encoding="utf-8")

    def command(self, tasks: list[dict], hosts: str, options: tuple[str, ...], play: dict) -> list[str]:
        """JSON is YAML; hosts are this machine."""
        whole = {
            "name": "A play",
            "hosts": "all",
            "gather_facts": False,
            "tasks": tasks,
            **play,
            "vars": {"ansible_python_interpreter": sys.executable, "ansible_connection": "local", **play.get("vars", {})},
        }
        (self.folder / "play.yml").write_text(json.dumps([whole]), encoding="utf-8")
        return [PROGRAM, "-i", f"{hosts},", str(self.folder / "play.yml"), *options]

    @staticmethod
    def environment(more: dict[str, str]) -> dict[str, str]:
        unset = ("TRIA_VIEW", "TRIA_VIEW_PROGRESS", "NO_COLOR", "ANSIBLE_NOCOLOR", "ANSIBLE_FORCE_COLOR", "PYTHONIOENCODING")
        kept = {name: value for name, value in os.environ.items() if name not in unset}
        given = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "tria.production.gates"}
        return {**kept, **given, "TERM": "xterm", "COLUMNS": "200", **more}

    def start(self, tasks: list[dict], hosts: str = "here", options: tuple[str, ...] = (), play: dict | None = None, **env: str):
        """A run under way, in a process group of its own, printing into a pipe."""
        command = self.command(tasks, hosts, options, play or {})
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, tasks: list[dict], **kwargs) -> Done:
        """Without a terminal; keywords as for `start`."""
        begun = time.monotonic()
        with self.start(tasks, **kwargs) as process:
            output, _nothing = process.communicate(timeout=60)
        return Done(process.returncode, output.decode("utf-8"), time.monotonic() - begun)

    def run_in_terminal(self, tasks: list[dict], hosts: str = "here", **env: str) -> Done:
        begun = time.monotonic()
        ours, theirs = pty.openpty()
        command = self.command(tasks, hosts, (), {})
        with subprocess.Popen(
            command, cwd=ROOT, env=self.environment(env), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        ) as process:
            os.close(theirs)
            output = b""
            try:
                while True:
                    output += os.read(ours, 65536)
            except OSError:  # the last who wrote is gone
                os.close(ours)
        text = output.decode("utf-8").replace("\r\n", "\n")
        return Done(process.returncode, text, time.monotonic() - begun)
