# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application that somebody else might have written: HTTP, long requests, WebSockets, faults by its environment.

Runs in a container. SIGTERM ends it once its requests and WebSockets have ended; until then it takes no new ones.
"""

import asyncio
import base64
import hashlib
import os
import random
import signal
import time

VERSION = os.environ.get("VERSION", "?")
START_DELAY = float(os.environ.get("START_DELAY", "0"))  # s until it listens
CRASH_AFTER = float(os.environ.get("CRASH_AFTER", "0"))  # s after that
FAIL_RATE = float(os.environ.get("FAIL_RATE", "0"))
LATENCY = float(os.environ.get("LATENCY", "0"))  # s
HEALTHY = os.environ.get("HEALTHY", "1") == "1"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

busy = 0


async def answer(writer, status, body, more=""):
    data = body.encode()
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n{more}\r\n".encode() + data)
    await writer.drain()


async def echo(reader, writer, key):
    accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
    head = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    writer.write(f"HTTP/1.1 101 Switching\r\n{head}\r\n".encode())
    while True:  # short text frames only
        first, length = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        data = await reader.readexactly(length & 0x7F)
        text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        if first & 0x0F == 8:
            return
        said = f"{VERSION} {text.decode()}".encode()
        writer.write(bytes([0x81, len(said)]) + said)
        await writer.drain()


def _header(line):
    name, _colon, value = line.partition(": ")
    return name.lower(), value


async def serve(reader, writer):
    global busy
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            busy += 1
            try:
                path = head.split()[1]
                headers = dict(_header(line) for line in head.split("\r\n")[1:] if line)
                if "sec-websocket-key" in headers:
                    await echo(reader, writer, headers["sec-websocket-key"])
                    return
                if path == "/health":
                    await answer(writer, "200 OK" if HEALTHY else "503 Unavailable", "health")
                    continue
                await asyncio.sleep(float(path[6:]) if path.startswith("/slow/") else LATENCY)
                failed = random.random() < FAIL_RATE
                await answer(writer, "500 Error" if failed else "200 OK", f"version {VERSION}\n")
            finally:
                busy -= 1
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"version {VERSION} starts", flush=True)
    time.sleep(START_DELAY)
    server = await asyncio.start_server(serve, "0.0.0.0", 8000)
    if CRASH_AFTER:
        await asyncio.sleep(CRASH_AFTER)
        print("the disk of cards is empty", flush=True)
        os._exit(3)
    await stop.wait()
    server.close()
    while busy:
        await asyncio.sleep(0.05)


asyncio.run(main())
