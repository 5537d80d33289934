# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user's own Compose project: an application behind nginx, and releases of it."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import urllib.request
import uuid

import yaml

from ansible_collections.tria.production.plugins.module_utils._releases import staging
from ansible_collections.tria.production.plugins.module_utils._releases.desired import Desired
from ansible_collections.tria.production.plugins.module_utils._releases.store import OVERLAY, Releases

HERE = pathlib.Path(__file__).parent
MODULE = "ansible_collections.tria.production.plugins.modules.stack_rollout"
KILLED = str(HERE / "rollout_killed.py")
NGINX = """
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  resolver 127.0.0.11 valid=1s ipv6=off;
  UPSTREAM
  map $http_upgrade $connection_header { default upgrade; "" ""; }
  server {
    listen 8080;
    root /etc/nginx/upstream/app;
    location = /edge-upstream { return 200 "$app\\n"; }
    location / {
      proxy_pass http://$app;
      proxy_http_version 1.1;
      proxy_read_timeout 60s;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_header;
    }
  }
}
"""
# How such a configuration learns where requests go: by a file that is loaded, or by a link that is read each time.
BY_FILE = "include /etc/nginx/upstream/*.conf;"
BY_LINK = 'map $realpath_root $app { "~/(?<upstream>[^/]+)$" $upstream:8000; }'
HEALTHCHECK = "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=2)"


FILE = {
    "path": "/etc/nginx/upstream/app.conf",
    "content": 'map "" $$app { default {upstream}:8000; }',
    "test": ["nginx", "-t"],
    "reload": ["nginx", "-s", "reload"],
}
LINK = {"path": "/etc/nginx/upstream/app"}


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Project:
    """`compose` is what the next release is made of; change it, then `stage`."""

    def __init__(self, folder: pathlib.Path, engine, by_link: bool = False):
        self.name = "ro" + uuid.uuid4().hex[:8]
        self.engine = engine
        self.root = folder / "stack"
        self.port = free_port()
        self.staged = 0
        (self.root / "releases").mkdir(parents=True)
        shutil.copy(HERE / "rollout_app.py", folder / "app.py")
        (folder / "nginx.conf").write_text(NGINX.replace("UPSTREAM", BY_LINK if by_link else BY_FILE))
        self.folder = folder
        self._log_commands()
        self.by_link = by_link
        self.compose = {"services": {"app": self._app(), "edge": self._edge()}, "networks": {"default": {}}}

    @property
    def app(self):
        return self.compose["services"]["app"]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _app(self):
        return {
            "image": os.environ["TRIA_TEST_PYTHON_IMAGE"],
            "command": ["python3", "/srv/app.py"],
            "restart": "unless-stopped",
            "environment": {"VERSION": "1"},
            "volumes": [f"{self.folder}/app.py:/srv/app.py:ro"],
            "healthcheck": {
                "test": ["CMD", "python3", "-c", HEALTHCHECK],
                "interval": "5s", "retries": 2, "start_period": "30s", "start_interval": "300ms",
            },
            "stop_grace_period": "3s",
            "deploy": {
                "replicas": 1,
                "update_config": {
                    "order": "start-first", "parallelism": 1, "delay": "0s", "monitor": "2s",
                    "max_failure_ratio": 0.1,
                },
            },
            "x-rollout": {
                "edge": {
                    "service": "edge",
                    "confirm": ["curl", "-fsS", "http://127.0.0.1:8080/edge-upstream"],
                    **(LINK if self.by_link else FILE),
                },
                "smoke": [{"name": "direct", "http": {"url": "http://{address}:8000/"}}],
                "verify": [{"name": "through the edge", "http": {"url": "http://{edge}:8080/"}, "timeout": 2.0}],
                "drain": "5s",
                "long_drain": "2s",
            },
        }

    def _edge(self):
        return {
            "image": os.environ["TRIA_TEST_NGINX_IMAGE"],
            "command": ["nginx", "-g", "daemon off;"],
            "volumes": [f"{self.folder}/nginx.conf:/etc/nginx/nginx.conf:ro"],
            "ports": [f"127.0.0.1:{self.port}:8080"],
            "depends_on": {"app": {"condition": "service_started"}},
            "stop_grace_period": "3s",
        }

    def stage(self, version=None, **environment):
        """Stages a release of `compose` and returns its ID; `version` and the rest go into the app's environment."""
        if version is not None:
            self.app["environment"] = {
                "VERSION": str(version), **{key: str(value) for key, value in environment.items()}
            }
        self.staged += 1
        compose = copy.deepcopy(self.compose)
        desired = Desired(self.name, [compose], ["compose.yaml"], [], {}, {}, {}, env_content="")
        release = f"20260101T0000{self.staged:02d}Z-{desired.content_hash()[:12]}"
        source, archive = self.folder / "compose.yaml", self.folder / "project.tar"
        source.write_text(yaml.safe_dump(compose))
        with tarfile.open(archive, "w") as tar:
            tar.add(source, "compose.yaml")
        origin = staging.Origin(str(archive), offline=True, deploy="d1")
        staging.stage(Releases(str(self.root)), release, desired, origin)
        return release

    # --- the module ---------------------------------------------------------------------------------------------------

    def start(self, state, release, check=False, kill_before=None, **options):
        """The module as a process of its own, as Ansible runs it; options in capitals are its environment.

        `kill_before` is the number of the deed before which it is killed, see `rollout_killed`.
        """
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        environment["PATH"] = f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}"
        environment.update({name: options.pop(name) for name in list(options) if name.isupper()})
        arguments = {"state": state, "root": str(self.root), "release": release, "deploy": "d1", "timeout": 15}
        arguments.update(options, _ansible_check_mode=check)
        file = self.folder / f"args-{uuid.uuid4().hex}.json"
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        argv = ["-m", MODULE] if kill_before is None else [KILLED, str(kill_before), str(self.folder / "deeds")]
        (self.folder / "deeds").unlink(missing_ok=True)
        return subprocess.Popen(
            [sys.executable, *argv, str(file)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )

    def deeds(self):
        """What the last run with `kill_before` did."""
        return (self.folder / "deeds").read_text().split()

    def slow_down_commands(self, seconds):
        self._log_commands(f"sleep {seconds}\n")

    def _log_commands(self, more=""):
        """Puts a `docker` before the real one that writes down what it is asked for."""
        (self.folder / "bin").mkdir(exist_ok=True)
        program = self.folder / "bin" / "docker"
        log, real = self.folder / "commands", shutil.which("docker")
        program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{more}exec {real} "$@"\n')
        program.chmod(0o755)

    def commands(self):
        """What `docker` was asked for since the last `forget_commands`, each a list of words."""
        log = self.folder / "commands"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def forget_commands(self):
        (self.folder / "commands").unlink(missing_ok=True)

    def run(self, state, release, **options):
        with self.start(state, release, **options) as process:
            out, err = process.communicate(timeout=120)
        assert out, err
        return json.loads(out)

    def done(self, state, release, **options):
        """The result of a run that must succeed."""
        result = self.run(state, release, **options)
        assert not result.get("failed"), result
        return result

    def refused(self, state, release, **options):
        """The result of a run that must fail."""
        result = self.run(state, release, **options)
        assert result.get("failed"), result
        return result

    def deploy(self, release):
        """All the way, as a deploy that passes does it."""
        result = self.done("present", release)
        self.commit(release)
        self.done("finished", release)
        return result

    def commit(self, release):
        link = self.root / "current"
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(pathlib.Path("releases") / release)

    def make_legacy(self, release):
        """Turns a release into one from before generations, and starts it as releases were started then."""
        folder = self.root / "releases" / release
        record = json.loads((folder / "release.json").read_text())
        del record["services"], record["format"]
        (folder / "release.json").write_text(json.dumps(record))
        (folder / "rendered.json").unlink()
        images = record["images"].items()
        overlay = {"services": {name: {"image": image, "pull_policy": "never"} for name, image in images}}
        compose = yaml.safe_load((folder / "compose.yaml").read_text())
        by_name = NGINX.replace("UPSTREAM", 'map "" $app { default app:8000; }')
        (self.folder / "nginx-legacy.conf").write_text(by_name)
        compose["services"]["edge"]["volumes"] = [f"{self.folder}/nginx-legacy.conf:/etc/nginx/nginx.conf:ro"]
        (folder / "compose.yaml").write_text(yaml.safe_dump(compose))
        (folder / OVERLAY).write_text(json.dumps(overlay))
        argv = ["docker", "compose", "-p", self.name, "--project-directory", str(folder)]
        argv += ["-f", str(folder / "compose.yaml"), "-f", str(folder / OVERLAY)]
        subprocess.run([*argv, "up", "-d", "--wait"], check=True, capture_output=True)
        self.commit(release)

    # --- what there is ------------------------------------------------------------------------------------------------

    def containers(self, service=None):
        labels = [f"com.docker.compose.project={self.name}"]
        labels += [f"com.docker.compose.service={service}"] if service else []
        return self.engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)

    def versions(self):
        """The versions of all running containers of the app."""
        found = []
        for one in self.containers("app"):
            environment = dict(entry.partition("=")[::2] for entry in one.attrs["Config"]["Env"])
            found += [environment["VERSION"]] if one.status == "running" else []
        return sorted(found)

    def served(self):
        """Which version answers."""
        with urllib.request.urlopen(self.url, timeout=5) as response:
            return response.read().decode().split()[1]

    def journal(self):
        path = self.root / "journal.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def remove(self):
        for one in self.containers():
            one.remove(force=True, v=True)
        for network in self.engine.networks.list(filters={"label": f"com.docker.compose.project={self.name}"}):
            network.remove()


class WebSocket:
    """A client that sends short texts."""

    def __init__(self, port):
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        key = base64.b64encode(os.urandom(16)).decode()
        head = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._sock.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self._stream = self._sock.makefile("rb")
        assert b"101" in self._stream.readline()
        while self._stream.readline().strip():
            pass

    def ask(self, text):
        """What the other side says; empty when it has hung up."""
        self._sock.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode())
        head = self._stream.read(2)
        return self._stream.read(head[1]).decode() if len(head) == 2 else ""

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._stream.close()
        self._sock.close()
