# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pebble, the ACME server that Let's Encrypt tests clients with: issues to whoever answers on this machine."""

from __future__ import annotations

import json
import os
import pathlib
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from deployed_stack import free_port


class Pebble:
    """An authority of its own; every host name is this machine, where HTTP is asked for on `http_port`."""

    def __init__(self, folder: pathlib.Path, http_port: int, chain: str, key: str, ca: pathlib.Path) -> None:
        """`chain` and `key` are those of the server itself, for localhost; `ca` is who issued them."""
        self.ca = ca
        self.roots = folder / "roots.pem"
        self._log = folder / "pebble.log"
        (folder / "server.pem").write_text(chain)
        (folder / "server.key").write_text(key)
        port, management, names, names_management = (free_port() for _each in range(4))
        self.directory = f"https://localhost:{port}/dir"
        self._management = f"https://localhost:{management}"
        settings = {
            "listenAddress": f"127.0.0.1:{port}",
            "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(folder / "server.pem"),
            "privateKey": str(folder / "server.key"),
            "httpPort": http_port,
            "tlsPort": http_port,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        # Every order is to ask anew, and at once; some nonces are refused, as it happens in real life.
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"}
        with self._log.open("w") as log:
            resolver = ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01",
                        f"127.0.0.1:{names}", "-management", f"127.0.0.1:{names_management}"]
            resolver += [word for kind in ("http01", "https01", "tlsalpn01") for word in (f"-{kind}", "")]
            server = ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{names}"]
            self._processes = [
                subprocess.Popen(command, env=environment, stdout=log, stderr=log) for command in (resolver, server)
            ]

    def wait(self) -> None:
        """Until it answers; keeps its root certificate in `roots`."""
        context = ssl.create_default_context(cafile=str(self.ca))
        end = time.monotonic() + 10
        while True:
            try:
                with urllib.request.urlopen(f"{self._management}/roots/0", context=context, timeout=5) as answer:
                    self.roots.write_bytes(answer.read())
                return
            except urllib.error.URLError:
                assert time.monotonic() < end, self._log.read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
