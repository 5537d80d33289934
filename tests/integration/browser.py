# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chromium without a window, told what to do over its DevTools protocol. Needs nothing but the browser."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import time

FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --disable-dev-shm-usage"
_PATIENCE_S = 60


class Browser:
    """One tab of a browser of its own. Use it as a context manager."""

    def __init__(self, profile: pathlib.Path) -> None:
        program = shutil.which("chromium")
        assert program, "chromium is missing: install Debian's package chromium (tests/setup.yml does)."
        # The protocol is spoken on descriptors 3 (to the browser) and 4; those of ours must be neither.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for pair in (os.pipe(), os.pipe()) for end in pair]
        its_input, self._output, self._input, its_output = ends
        command = [program, *FLAGS.split(), "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        redirected = f'exec "$@" 3<&{its_input} 4>&{its_output}'
        self._process = subprocess.Popen(
            ["bash", "-c", redirected, "bash", *command],
            pass_fds=(its_input, its_output),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(its_input)
        os.close(its_output)
        self._received, self._count, self._session = b"", 0, None
        self.events: list[dict] = []
        [target] = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exc: object) -> None:
        self._session = None
        self.call("Browser.close")
        self._process.wait(timeout=_PATIENCE_S)
        os.close(self._input)
        os.close(self._output)

    def call(self, method: str, **params: object) -> dict:
        """Send a command, wait for its answer; what happens meanwhile is kept in `events`."""
        self._count += 1
        sent = {"id": self._count, "method": method, "params": params}
        if self._session:
            sent["sessionId"] = self._session
        message = memoryview(json.dumps(sent).encode() + b"\0")
        while message:
            message = message[os.write(self._output, message) :]
        number = self._count
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict:
        deadline = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._received:
            ready, _w, _x = select.select([self._input], [], [], deadline - time.monotonic())
            assert ready, "the browser does not answer"
            chunk = os.read(self._input, 1 << 20)
            assert chunk, "the browser has ended"
            self._received += chunk
        message, _nul, self._received = self._received.partition(b"\0")
        return json.loads(message)

    def show(
        self, page: pathlib.Path, width: int = 1280, height: int = 900, scheme: str = "light", media: str = ""
    ) -> None:
        """Open a file as a reader with that screen and those settings would."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        deadline = time.monotonic() + _PATIENCE_S
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            assert time.monotonic() < deadline, "the page does not load"
            self.events.append(self._next())

    def evaluate(self, expression: str):
        """The value of a JavaScript expression, awaited if it is a promise."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def complaints(self) -> list[dict]:
        """What stands in the console: errors, warnings, violations of the content security policy."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [event for event in self.events if event.get("method") in kinds]

    def requests(self) -> list[str]:
        """The addresses that were fetched."""
        sent = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def screenshot(self, path: pathlib.Path) -> None:
        """The whole page as a picture."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(picture["data"]))

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"])
