# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The container's health check: exit status 0 when readiness answers 200 (`python -S healthcheck.py`).

Runs once a second while the application starts, so it imports nothing but sockets.
"""

import os
import socket
import sys

_REQUEST = b"GET /api/v1/health/readiness HTTP/1.0\r\nHost: localhost\r\n\r\n"


def main() -> int:
    """One request; what the application answered is the engine's health log."""
    try:
        with socket.create_connection(("127.0.0.1", int(os.environ.get("PORT", "8000"))), 4) as connection:
            connection.settimeout(4)
            connection.sendall(_REQUEST)
            answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode("utf-8", "replace")
    except OSError as error:
        print(f"not listening: {error}")
        return 1
    head, _blank, body = answer.partition("\r\n\r\n")
    print(body[:1000])
    return 0 if head.split(" ")[1:2] == ["200"] else 1


if __name__ == "__main__":
    sys.exit(main())
