# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What python-dotenv reads in env files: paths in, readings out, each as JSON. Needs nothing but python-dotenv."""

from __future__ import annotations

import json
import logging
import os
import sys

import dotenv.main


class _Complaints(logging.Handler):
    """Counts the statements that could not be parsed: that is how python-dotenv refuses."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


def reading(path: str, complaints: _Complaints) -> dict | None:
    """The variables of a file, or None where it is refused; the process environment wins, as it does with Compose."""
    before = complaints.count
    try:
        values = dotenv.main.DotEnv(path, encoding="utf-8", override=False).dict()
    except ValueError:
        return None
    if complaints.count > before:
        return None
    known = {name: os.environ.get(name) if value is None else value for name, value in values.items()}
    return {name: value for name, value in known.items() if value is not None}


def main() -> None:
    complaints = _Complaints()
    dotenv.main.logger.addHandler(complaints)
    dotenv.main.logger.propagate = False
    json.dump([reading(path, complaints) for path in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
