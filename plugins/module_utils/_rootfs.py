# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A minimal root file system of the host's own distribution as a Docker image. Private to the collection."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _apt, _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

# Documentation, translations: what no container reads.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")


def ensure_image(name: str, suite: str, write: bool = True) -> dict[str, t.Any]:
    """Make sure that image `name` (`repository:tag`) exists, built from the archive this host itself uses.

    Returns `changed` and `image` (the ID, empty when check mode would build it). Raises `ProductionError`.
    """
    repository, _colon, tag = name.rpartition(":")
    if not repository or "/" in tag:
        raise ProductionError(name, "names no tag.", "Write it as repository:tag.")
    client = _docker.connect(timeout=300)
    present = _docker.image_id(client, name)
    if present or not write:
        return {"changed": not present, "image": present}
    lines = [source["line"] for source in _apt.sources(codename=suite)]
    if not lines:
        raise ProductionError(
            suite, "apt's sources on this host name no archive of this release.", "Add it to /etc/apt/sources.list.d."
        )
    if not shutil.which("mmdebstrap"):
        raise ProductionError("mmdebstrap", "is not installed.", "Install the package mmdebstrap.")
    with tempfile.TemporaryDirectory(prefix="tria-rootfs-", dir="/var/tmp") as folder:
        archive = os.path.join(folder, "rootfs.tar")
        _bootstrap(suite, archive, lines)
        client.import_image_from_file(archive, repository=repository, tag=tag)
    imported = _docker.image_id(client, name)
    if not imported:
        raise ProductionError(name, "was built, but the Engine did not import it.", "See the Engine's log.")
    return {"changed": True, "image": imported}


def _bootstrap(suite: str, archive: str, lines: list[str]) -> None:
    command = ["mmdebstrap", "--quiet", "--variant=minbase", '--aptopt=Acquire::Languages "none"']
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT] + [suite, archive, "-"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProductionError(
            f"root file system of {suite}",
            "could not be built: " + " ".join(done.stderr.strip().splitlines()[-3:]),
            "Check that apt can reach its archives from this host.",
        )
