# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a deploy wants on a host. Private to the collection."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _compose
from ansible_collections.tria.production.plugins.module_utils._env import parser
from ansible_collections.tria.production.plugins.module_utils._releases import services as _services

ENV_FILE = ".env"
FORMAT = 2  # part of every content hash: raise it when the same inputs give another release


@dataclasses.dataclass
class Desired:
    """`compose` are the parsed files, in the order of `compose_files`; `contexts` and `files` hashes by path.

    `files` are those that are in no build context, or left out of it by its `.dockerignore`. `digests` maps images of
    registries to what they are in this release.
    """

    project: str
    compose: list[dict[str, t.Any]]
    compose_files: list[str]
    profiles: list[str]
    contexts: dict[str, str]
    files: dict[str, str]
    base_images: dict[str, str]
    env_content: str = dataclasses.field(repr=False)
    digests: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        raw = _compose.merged(self.compose)
        self._whole = _compose.interpolated(raw, self.project, self.env_content)
        images, self.builds = _compose.plan_images(
            self.project, self._whole, self.profiles, self.contexts, self.files, self._pinned(self.base_images)
        )
        self.images = self._pinned(images)
        self.services = _services.describe(self._whole, self.profiles)
        mounts = _services.edge_mounts(self.services)
        for name, service in self.services.items():
            _services.refuse_lost_writes(name, _compose.binds(self._whole["services"][name]), self.files)
            read = {path: self._hashes(path) for path in _compose.referenced_files(self._whole, name)}
            own = [raw["services"][name], mounts.get(name)]
            service["definition"] = _services.definition(own, self.env_content, read)
        self.targets = _compose.container_targets(self.project, self._whole, self.profiles)

    def _pinned(self, images: dict[str, str]) -> dict[str, str]:
        return {service: self.digests.get(image, image) for service, image in images.items()}

    def _hashes(self, path: str) -> t.Any:
        """What is known of the content of a file or folder of the project, be it in a build context or not."""
        if path == ENV_FILE:
            return parser.parse(self.env_content).values
        known = {**self.contexts, **self.files}
        return {name: digest for name, digest in known.items() if _within(name, path) or _within(path, name)}

    def mounted(self) -> dict[str, str]:
        """A hash of the files behind the configs and secrets of each service that has any."""
        found = {}
        for name in self.services:
            files = _compose.mounted_files(self._whole, name)
            if files:
                hashes = {path: self._hashes(path) for path in files}
                found[name] = _compose.content_hash(hashes)[: _services.DIGITS]
        return found

    def content_hash(self) -> str:
        """The hash of everything that goes into the release.

        That is what the Compose files say, the env file's values, the images, and the files that a Compose file names.
        Everything else of the project gets into a container through an image or not at all.
        """
        definitions = {name: service["definition"] for name, service in self.services.items()}
        inputs = [FORMAT, self.project, self.compose_files, self.profiles, self.compose, self.images, definitions]
        return _compose.content_hash([*inputs, parser.parse(self.env_content).values])


def _within(path: str, folder: str) -> bool:
    return folder == "." or path == folder or path.startswith(folder + "/")
