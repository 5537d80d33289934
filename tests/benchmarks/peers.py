# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Provides the programs that we are measured against, in .build/peers: nothing of this machine's own set-up changes."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

from ansible_collections.tria.production.plugins.module_utils import _apt

_ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = _ROOT / ".build" / "peers"
_NEWER = "trixie"  # Debian 13, the first release with goss
_WAIT_ON, _WAIT_ON_FOR_OLD_NODE = "wait-on@9.5.1", "wait-on@8.0.5"  # from 9 on it needs Node.js 20


def debian(program: str) -> str:
    """The path of a program from the Debian package of that name, fetched once and unpacked without installing it."""
    path = FOLDER / "root" / "usr" / "bin" / program
    if not path.exists():
        _unpack(program)
    return str(path)


def installed(program: str, package: str) -> str:
    """The path of a program of this host; its Debian package is installed where it is missing."""
    if not shutil.which(program):
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", package)
    path = shutil.which(program)
    if not path:
        raise RuntimeError(f"package {package} has no {program}")
    return path


def wait_on() -> str:
    """The path of npm's wait-on; Node.js itself is installed where it is missing."""
    installed("npm", "npm")  # and with it Node.js
    version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
    package = _WAIT_ON if int(version.lstrip("v").split(".")[0]) >= 20 else _WAIT_ON_FOR_OLD_NODE
    return str(node(FOLDER, package) / ".bin" / "wait-on")


def node(folder: pathlib.Path, *packages: str) -> pathlib.Path:
    """The `node_modules` of `folder` with npm's `packages` (name@version) in it; Node.js is installed where missing."""
    installed("npm", "npm")
    modules = folder / "node_modules"
    if not all((modules / package.rpartition("@")[0]).exists() for package in packages):
        _run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *packages)
    return modules


def python(folder: pathlib.Path, *packages: str) -> str:
    """The Python of a virtual environment in `folder`, which has `packages` (name==version) in it."""
    wanted, done = "\n".join(packages), folder / ".installed"
    program = folder / "bin" / "python"
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
        done.write_text(wanted, encoding="utf-8")
    return str(program)


def _unpack(package: str) -> None:
    """Fetches by apt with lists of its own, so that no package of this machine ever comes from the newer release."""
    archives = _apt.sources()
    if not archives:
        raise RuntimeError("apt's sources name no archive of this release to take the peers from")
    apt = FOLDER / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    newer = {**archives[0], "suite": _NEWER}
    signed_by = f"[signed-by={newer['signed_by']}] " if newer["signed_by"] else ""
    lines = [archives[0]["line"], f"deb {signed_by}{newer['uri']} {_NEWER} main"]
    (apt / "sources.list").write_text("\n".join(dict.fromkeys(lines)) + "\n", encoding="utf-8")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list", "Dir::Etc::sourceparts": "-", "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache", "APT::Sandbox::User": "root",
    }
    settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    _run("apt-get", *settings, "update", "-qq")
    _run("apt-get", *settings, "download", "-qq", package, cwd=apt)
    found = next(apt.glob(f"{package}_*.deb"))
    _run("dpkg-deb", "--extract", str(found), str(FOLDER / "root"))


def _run(*argv: str, cwd: pathlib.Path | None = None) -> None:
    subprocess.run(argv, check=True, cwd=cwd, stdout=subprocess.DEVNULL)
