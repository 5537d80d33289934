# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that copies of backups go to, rclone's own, and something before them that spoils what is uploaded."""

from __future__ import annotations

import http.client
import http.server
import os
import pathlib
import socket
import subprocess
import threading
import time
import typing as t

USER, PASSWORD = "copies", "C4nary-remote-9b"
REPOSITORY_PASSWORD = "C4nary-restic-5e"
Spoil = t.Callable[[str, str, bytes], bytes]


class CopyServer:
    """`rclone serve <protocol>` of a folder, with a user and a password.

    `spoil` gets (method, path, body) of each request, and gives the body that the server gets.
    """

    def __init__(self, protocol: str, folder: pathlib.Path, spoil: Spoil | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        argv = ["rclone", "serve", protocol, str(folder), f"--addr=127.0.0.1:{self.port}"]
        login = {"RCLONE_USER": USER, "RCLONE_PASS": PASSWORD, "RCLONE_CONFIG": os.devnull}
        self._process = subprocess.Popen(argv, env={**os.environ, **login}, stderr=subprocess.DEVNULL)
        self._proxy = _Proxy(self.port, spoil) if spoil else None
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < end and self._process.poll() is None, "rclone serve did not start"
                time.sleep(0.02)
        if self._proxy:
            self.port = self._proxy.server_port

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        if self._proxy:
            self._proxy.stop()

    def __enter__(self) -> CopyServer:
        return self

    def __exit__(self, *_exc: t.Any) -> None:
        self.stop()

    def config(self, file: pathlib.Path, password: str = PASSWORD) -> str:
        """A configuration of rclone with this server as the remote `nas`."""
        argv = ["rclone", "obscure", "-"]
        hidden = subprocess.run(argv, input=password, text=True, capture_output=True, check=True).stdout.strip()
        url = f"http://127.0.0.1:{self.port}"
        file.write_text(f"[nas]\ntype = webdav\nvendor = other\nurl = {url}\nuser = {USER}\npass = {hidden}\n")
        file.chmod(0o600)
        return str(file)

    @property
    def rest(self) -> str:
        """As restic's repository."""
        return f"rest:http://{USER}:{PASSWORD}@127.0.0.1:{self.port}/"


class _Proxy(http.server.ThreadingHTTPServer):
    def __init__(self, port: int, spoil: Spoil) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.spoil = port, spoil
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        body = self.server.spoil(self.command, self.path, body)
        left_out = ("content-length", "transfer-encoding", "connection", "oc-total-length")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=30)
        connection.request(self.command, self.path, body or None, {**headers, "Content-Length": str(len(body))})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in left_out:
                self.send_header(name, value)
        size = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", size)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_MKCOL = do_MOVE = do_PROPFIND = do_OPTIONS = _forward

    def log_message(self, *_args: t.Any) -> None:
        return
