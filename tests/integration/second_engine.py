# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A second Docker Engine on this machine, as of another host: its own images and containers, no network."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import docker


class SecondEngine:
    """Answers at `url`. It has a network namespace of its own: without a bridge, it would remove the first one's."""

    def __init__(self) -> None:
        # The path of a socket must be short.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="engine-", dir="/var/tmp"))
        self.url = f"unix://{self.folder}/docker.sock"
        options = [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/pid"]
        options += ["--bridge=none", "--iptables=false", "--ip6tables=false", "--config-file=/dev/null"]
        with self._log.open("w") as log:
            command = ["unshare", "--net", "dockerd", f"--host={self.url}", *options]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def _log(self) -> pathlib.Path:
        return self.folder / "log"

    def wait(self) -> None:
        """Until it answers; before its socket is there, it is not even asked."""
        end = time.monotonic() + 30
        while not (self.folder / "docker.sock").exists():
            assert time.monotonic() < end and self._process.poll() is None, self._log.read_text()
            time.sleep(0.1)
        while True:
            try:
                self.client().close()
                return
            except docker.errors.DockerException:
                assert time.monotonic() < end, self._log.read_text()
                time.sleep(0.1)

    def client(self) -> docker.APIClient:
        return docker.APIClient(self.url, version="auto", timeout=60)

    def interpreter(self) -> str:
        """A Python whose modules talk to this Engine, as `ansible_python_interpreter` of a host."""
        path = self.folder / "python"
        path.write_text(f'#!/bin/sh\nDOCKER_HOST={self.url} exec {sys.executable} "$@"\n')
        path.chmod(0o755)
        return str(path)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self.folder)
