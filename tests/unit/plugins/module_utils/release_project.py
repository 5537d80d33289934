# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A project, the releases of it on a real file system, and an Engine that holds what the test says."""

from __future__ import annotations

import io
import json
import os
import tarfile

import docker

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._releases import outcome, staging
from ansible_collections.tria.production.plugins.module_utils._releases.desired import Desired
from ansible_collections.tria.production.plugins.module_utils._releases.store import Releases

BY = {"user": "anna", "host": "laptop"}
COMPOSE = {
    "services": {
        "web": {"build": "web", "image": "${COMPOSE_PROJECT_NAME}/web"},
        "db": {"image": "postgres:${PG:-15}", "environment": {"PASSWORD": "${PASSWORD:-}"}},
        "migrate": {"image": "${COMPOSE_PROJECT_NAME}/web", "restart": "no"},
    }
}
EDGE = {
    "service": "edge",
    "path": "/etc/nginx/upstream/web.conf",
    "content": "server {upstream}:8000;",
    "test": ["nginx", "-t"],
    "reload": ["nginx", "-s", "reload"],
}
ROLLED = {
    "services": {
        "edge": {"image": "nginx:1", "networks": ["front"], "ports": ["80:80"]},
        "web": {
            "image": "web:1",
            "networks": ["front", "data"],
            "deploy": {"update_config": {"order": "start-first"}},
            "x-rollout": {"edge": EDGE},
        },
    }
}


def desired(compose=None, **fields):
    """What a deploy of COMPOSE wants, or of something that differs in one thing."""
    return Desired(
        **{
            "project": "tria",
            "compose": [compose or COMPOSE],
            "compose_files": ["compose.yaml"],
            "profiles": [],
            "contexts": {"web": "b" * 64},
            "files": {},
            "base_images": {},
            "env_content": "PASSWORD=hunter2-secret\n",
            **fields,
        }
    )


def rendered(folder, record):
    """What Compose makes of a folder, as far as it matters: the services of its overlay on the networks of ROLLED."""
    with open(os.path.join(folder, "compose.release.yaml"), encoding="utf-8") as stream:
        overlay = json.load(stream)["services"]
    services = {name: {"image": "", **overlay.get(name, {}), "working_dir": folder} for name in record["services"]}
    if "edge" in services:
        services["web"].setdefault("networks", {"front": None, "data": None})
    return {"name": record["project"], "services": services}


def pack(folder, *members):
    """An archive as it comes to the host; a member is (name or TarInfo, content)."""
    path = os.path.join(folder, "source.tar")
    with tarfile.open(path, "w") as tar:
        for member, content in members or (("compose.yaml", b"services: {}\n"),):
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


class Engine:
    """An Engine's API with containers of the project `tria` and images by name."""

    def __init__(self):
        self.found = []
        self.images = {}
        self.mounts = []
        self.busy = set()

    def add(self, service, image, status="running", exit_code=0, **labels):
        state = {"Status": status, "Running": status == "running", "ExitCode": exit_code}
        config = {"Image": image, "Labels": {_docker.SERVICE: service, _docker.PROJECT: "tria", **labels}}
        name = f"/tria-{service}-{len(self.found)}"
        self.found.append({"Id": name, "Name": name, "State": state, "Config": config})

    def containers(self, all, filters=None):  # noqa: A002 (the name is the SDK's)
        return [
            {"Id": one["Id"], "Image": one["Config"]["Image"], "ImageID": self.images.get(one["Config"]["Image"], "")}
            for one in self.found
        ] + [{"Image": "", "ImageID": "", "Mounts": [{"Source": source}]} for source in self.mounts if not filters]

    def inspect_container(self, container):
        return next(each for each in self.found if each["Id"] == container)

    def inspect_image(self, name):
        if name not in self.images:
            raise docker.errors.ImageNotFound(name)
        return {"Id": self.images[name]}

    def remove_image(self, name):
        if name in self.busy:
            raise docker.errors.APIError("409", response=Refused())
        self.inspect_image(name)
        del self.images[name]

    def run_all(self, wanted):
        """Everything as it should be."""
        self.found.clear()
        for name, service in wanted.services.items():
            self.add(name, wanted.images[name], "exited" if service["one_shot"] else "running")
        return self


class Refused:
    """The Engine's answer that something is in use."""

    status_code = 409


class Project:
    """The releases below one folder, staged and committed in one call."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.releases = Releases(os.path.join(self.folder, "tria"))
        self.engine = Engine()

    def stage(self, release, wanted=None, *members, render=rendered, **origin):
        archive = pack(self.folder, *members)
        origin = staging.Origin(archive, **{"by": BY, "deploy": "d1", **origin})
        return staging.stage(self.releases, release, wanted or desired(), origin, render)

    def deploy(self, release="20260101T000000Z-0123456789ab", wanted=None, keep=5, **found):
        self.stage(release, wanted)
        outcome.commit(self.releases, release, self.engine, keep, BY, found)
        return release

    def listing(self):
        return sorted(os.listdir(self.releases.folder))

    def read(self, release, name):
        with open(os.path.join(self.releases.path(release), name), encoding="utf-8") as stream:
            return stream.read()
