# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images from one host's Engine to another's, without a registry, and only the layers that are missing. Private.

An Engine that loads an archive does not read the layers that it has already. So the host that wants images says what it
has, and the archive is made without that. Layers are told apart by their chain IDs: a layer with all those below it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import posixpath
import tarfile
import tempfile
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_TIMEOUT = 300.0  # s that the Engine may take between two words on an archive
_WHOLE_ONLY = ["driver-type", "io.containerd.snapshotter.v1"]  # an image store that reads every layer of an archive
_BLOCK = 1 << 20


def wanted(images: t.Iterable[str]) -> dict[str, t.Any]:
    """What this host lacks of `images`, and what it has that others need not send.

    Returns `images`, the missing ones; `layers`, the chain IDs of all layers here, if any are missing; `architecture`.
    """
    with _docker.connect() as client:
        missing = sorted(image for image in set(images) if not _docker.image_id(client, image))
        layers: set[str] = set()
        if missing and _WHOLE_ONLY not in (client.info().get("DriverStatus") or []):
            for one in client.images():
                layers.update(chain_ids(client.inspect_image(one["Id"])["RootFS"].get("Layers") or []))
        return {"images": missing, "layers": sorted(layers), "architecture": client.version()["Arch"]}


def chain_ids(diff_ids: t.Sequence[str]) -> list[str]:
    """The chain ID of each layer of an image, from the `diff_ids`, the hashes of its layers from the lowest on."""
    chain: list[str] = []
    for diff_id in diff_ids:
        digest = hashlib.sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest() if chain else ""
        chain.append(f"sha256:{digest}" if digest else diff_id)
    return chain


def save(images: t.Sequence[str], layers: t.Iterable[str], architecture: str, path: str) -> dict[str, t.Any]:
    """Write an archive (0600, gzip) of this host's `images` without `layers`, for a host of `architecture`.

    It belongs to the owner of its folder, who is to fetch it. Returns `changed` and `size` in bytes. Raises
    `ProductionError`, `OSError`.
    """
    with _docker.connect(_TIMEOUT) as client:
        for image in images:
            _refuse_other(client, image, architecture)
        with tempfile.TemporaryDirectory(prefix="tria-images-", dir="/var/tmp") as folder:
            whole = os.path.join(folder, "images.tar")
            url = f"{client.base_url}/v{client.api_version}/images/get"
            with client.get(url, params={"names": list(images)}, stream=True, timeout=_TIMEOUT) as answer:
                answer.raise_for_status()
                with open(whole, "wb") as stream:
                    for block in answer.iter_content(_BLOCK):
                        stream.write(block)
            without(whole, set(layers), path)
    return {"changed": True, "size": os.path.getsize(path)}


def _refuse_other(client: t.Any, image: str, architecture: str) -> None:
    if not _docker.image_id(client, image):
        remedy = "Deploy there first, or set stack_builder to a host that has it."
        raise ProductionError(image, "is not on the host that builds.", remedy)
    own = client.inspect_image(image)["Architecture"]
    if own != architecture:
        remedy = "Set stack_builder to a host of that architecture for it, or stack_ship_images to false."
        raise ProductionError(image, f"is for {own}, and the host that wants it is {architecture}.", remedy)


def without(whole: str, layers: set[str], path: str) -> None:
    """Copy an archive of `docker save`, compressed, without the files of layers whose chain ID is in `layers`."""
    with tarfile.open(whole) as source:
        spared = _layer_files(source, layers)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            owner = os.stat(os.path.dirname(path))
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fchmod(descriptor, 0o600)
            # The fastest level: most of the work is on the network's side or in unpacking.
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed:
                with tarfile.open(fileobj=packed, mode="w|") as target:
                    for member in source:
                        if member.name not in spared:
                            target.addfile(member, source.extractfile(member) if member.isreg() else None)


def _layer_files(archive: tarfile.TarFile, layers: set[str]) -> set[str]:
    """The files of layers that need not go along: of no image of the archive is one of them a layer that is missing."""
    known: set[str] = set()
    needed: set[str] = set()
    for image in json.loads(_content(archive, "manifest.json")):
        diff_ids = json.loads(_content(archive, image["Config"]))["rootfs"]["diff_ids"]
        for name, chain_id in zip(image["Layers"], chain_ids(diff_ids)):
            (known if chain_id in layers else needed).add(_behind_link(archive, name))
    return known - needed


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    return stream.read() if stream else b""


def _behind_link(archive: tarfile.TarFile, name: str) -> str:
    """Older Engines write a layer that occurs twice once, and a link to it."""
    member = archive.getmember(name)
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)) if member.issym() else name


def load(images: t.Sequence[str], path: str) -> dict[str, t.Any]:
    """Load an archive that `save` made; `images` must be here afterwards. Raises `ProductionError`, `OSError`."""
    with _docker.connect(_TIMEOUT) as client:
        with open(path, "rb") as stream:
            failures = [told["error"] for told in client.load_image(stream) if "error" in told]
        missing = [image for image in images if not _docker.image_id(client, image)]
    if failures or missing:
        remedy = "Layers that were removed meanwhile are sent by the next deploy; for anything else see the Engine's log."
        raise ProductionError(", ".join(missing or images), f"could not be loaded: {' '.join(failures)}", remedy)
    return {"changed": True}
