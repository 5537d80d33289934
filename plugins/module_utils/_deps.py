# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guarded imports: a missing or too old library is reported by name, with pip's traceback. Private to the collection."""

from __future__ import annotations

import importlib
import platform
import sys
import traceback
import types
import typing as t

# import name -> (distribution name on PyPI, Debian package)
LIBRARIES = {
    "cryptography": ("cryptography", "python3-cryptography"),
    "dns": ("dnspython", "python3-dnspython"),
    "docker": ("docker", "python3-docker"),
    "psycopg2": ("psycopg2-binary", "python3-psycopg2"),
    "urllib3": ("urllib3", "python3-urllib3"),
    "yaml": ("PyYAML", "python3-yaml"),
    "zstandard": ("zstandard", "python3-zstandard"),
}


class MissingLibrary(Exception):
    """Raised by `load`; `as_result` gives the arguments for `fail_json`."""

    def __init__(self, name: str) -> None:
        self.library, self.package = LIBRARIES[name]
        python = f"{platform.node()}'s Python {sys.executable}"
        super().__init__(f"The Python library {self.library} (Debian package {self.package}) is missing on {python}.")
        self.traceback = traceback.format_exc()

    def as_result(self) -> dict[str, t.Any]:
        return {"msg": str(self), "exception": self.traceback, "culprit": self.library}


def load(name: str) -> types.ModuleType:
    """Import one of `LIBRARIES`; raises `MissingLibrary`."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingLibrary(name) from None
