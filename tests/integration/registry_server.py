# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A private registry, Debian's `docker-registry`, that knows one user; with TLS when it is given a certificate."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import pathlib
import socket
import subprocess
import time
import uuid

from deployed_stack import free_port

from ansible_collections.tria.production.plugins.module_utils import _docker

USER = "deployer"


def bcrypt(password: str) -> str:
    """The only kind of hash that the registry reads; the C library's own, which Python no longer offers."""
    crypt = ctypes.CDLL(ctypes.util.find_library("crypt")).crypt
    crypt.restype = ctypes.c_char_p
    return crypt(password.encode(), b"$2b$04$abcdefghijklmnopqrstuu").decode()


class Registry:
    """Serves `address` (`host:port`) until it is stopped, and again when it is started; what was pushed stays."""

    def __init__(
        self, folder: pathlib.Path, host: str = "127.0.0.1", certificate: tuple[str, str] | None = None
    ) -> None:
        """`certificate` is (chain, key), for `host`. The password is one that nothing else on this machine holds."""
        self.address = f"{host}:{free_port()}"
        self.password = f"pass-{uuid.uuid4().hex}"
        self._log = folder / "registry.log"
        self._process: subprocess.Popen | None = None
        (folder / "htpasswd").write_text(f"{USER}:{bcrypt(self.password)}\n")
        settings = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}, "delete": {"enabled": True}},
            "http": {"addr": self.address},
            "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
        }
        if certificate:
            for name, content in zip(("certificate", "key"), certificate):
                (folder / name).write_text(content)
            settings["http"]["tls"] = {name: str(folder / name) for name in ("certificate", "key")}
        self._settings = folder / "config.yml"
        self._settings.write_text(json.dumps(settings))

    @property
    def login(self) -> dict[str, str]:
        """As `stack_registries` has it."""
        return {"url": self.address, "username": USER, "password": self.password}

    @property
    def auth(self) -> dict[str, str]:
        """As the Engine's API has it."""
        return {"username": USER, "password": self.password}

    def log(self) -> str:
        return self._log.read_text()

    def start(self) -> None:
        with self._log.open("a") as log:
            command = ["docker-registry", "serve", str(self._settings)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        host, _colon, port = self.address.partition(":")
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < end and self._process.poll() is None, self.log()
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def push(self, engine, image: str, name: str) -> str:
        """Push a local image as `<address>/<name:tag>`; nothing of that name stays on this host. Returns the digest."""
        repository, _colon, tag = f"{self.address}/{name}".rpartition(":")
        engine.tag(image, repository, tag)
        try:
            told = list(engine.push(repository, tag, auth_config=self.auth, stream=True, decode=True))
            failures = [one["error"] for one in told if "error" in one]
            assert not failures, failures
            return next(one["aux"]["Digest"] for one in told if "aux" in one)
        finally:
            engine.remove_image(f"{repository}:{tag}")

    def forget(self, engine) -> None:
        """Remove every image that this host has from here."""
        for image in engine.images():
            for name in (image["RepoTags"] or []) + (image["RepoDigests"] or []):
                # With its tag may go its digest.
                if name.startswith(f"{self.address}/") and _docker.image_id(engine, name):
                    engine.remove_image(name, force=True)
