# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release's folder, written whole or not at all. Private to the collection."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
import tarfile
import tempfile
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._compose_cli import Compose
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import services as _services
from ansible_collections.tria.production.plugins.module_utils._releases import store
from ansible_collections.tria.production.plugins.module_utils._releases.desired import ENV_FILE, FORMAT, Desired

GENERATION = "tria.production.generation"
FILES = "tria.production.files"
EDGE = "edge"  # folder below a stack's root with what its edges read
PARTIAL = ".partial-"

Render = t.Callable[[str, t.Dict[str, t.Any]], t.Dict[str, t.Any]]  # of a folder and a record
Overlay = t.Dict[str, t.Dict[str, t.Dict[str, t.Any]]]


@dataclasses.dataclass
class Origin:
    """Where a release comes from: the archive with its files, who deploys, the run over all hosts. `offline`: no pull."""

    archive: str
    offline: bool = False
    by: store.By = dataclasses.field(default_factory=dict)
    deploy: str = ""


def rendered(folder: str, record: dict[str, t.Any]) -> dict[str, t.Any]:
    """The project in a folder as Compose's own command understands it."""
    return Compose(folder, record).config()


def stage(
    releases: store.Releases, release: str, desired: Desired, origin: Origin, render: Render = rendered
) -> dict[str, t.Any]:
    """Write a release's folder and remove the archive; returns the record. Raises `ProductionError`, `OSError`."""
    os.makedirs(releases.folder, mode=0o750, exist_ok=True)
    sweep(releases)
    partial = tempfile.mkdtemp(prefix=PARTIAL, dir=releases.folder)
    try:
        _extract(origin.archive, partial)
        _atomic.write_file(os.path.join(partial, ENV_FILE), desired.env_content, 0o600)
        record = _record(releases, release, desired, origin)
        overlay = _pinned(desired, origin.offline)
        _add_mounts(overlay, desired, releases.root)
        project = _rendered(partial, releases.path(release), record, overlay, render)
        if _add_generations(overlay, record["services"], project["services"]):
            project = _rendered(partial, releases.path(release), record, overlay, render)
        store.write_json(os.path.join(partial, store.RENDERED), project)
        store.write_json(os.path.join(partial, store.RECORD), record)
        store.write_json(os.path.join(partial, store.OUTCOME), store.first_outcome(origin.by))
        os.rename(partial, releases.path(release))
    except BaseException:
        shutil.rmtree(partial)
        raise
    _atomic.sync_folder(releases.folder)
    os.unlink(origin.archive)
    return record


def sweep(releases: store.Releases) -> None:
    """Remove what a killed run left of a folder that it was writing."""
    for name in os.listdir(releases.folder):
        if name.startswith(PARTIAL):
            shutil.rmtree(releases.path(name))


def _record(releases: store.Releases, release: str, desired: Desired, origin: Origin) -> dict[str, t.Any]:
    return {
        "id": release,
        "format": FORMAT,
        "project": desired.project,
        "content_hash": desired.content_hash(),
        "created_at": store.now().isoformat(timespec="seconds"),
        "created_by": origin.by,
        "deploy": origin.deploy,
        "previous": releases.current(),
        "compose_files": [*desired.compose_files, store.OVERLAY],
        "profiles": desired.profiles,
        "images": desired.images,
        "digests": desired.digests,
        "targets": desired.targets,
        "services": {name: {**service, "generation": ""} for name, service in desired.services.items()},
    }


def _pinned(desired: Desired, offline: bool) -> Overlay:
    """The last Compose file of a release: every service's image, and labels where a change would go unnoticed."""
    pull = {"pull_policy": "never"} if offline else {}
    services: Overlay = {}
    for name, image in sorted(desired.images.items()):
        if image:
            services[name] = {"image": image, **pull}
    for name, digest in desired.mounted().items():
        services.setdefault(name, {})["labels"] = {FILES: digest}
    return services


def _add_mounts(overlay: Overlay, desired: Desired, root: str) -> None:
    for name, folders in _services.edge_mounts(desired.services).items():
        overlay.setdefault(name, {})["volumes"] = [
            {
                "type": "bind",
                "source": os.path.join(root, EDGE, name),
                "target": folder,
                "read_only": True,
                "bind": {"create_host_path": True},
            }
            for folder in folders
        ]


def _add_generations(overlay: Overlay, services: dict[str, t.Any], project: dict[str, t.Any]) -> bool:
    """Name the generation of each service that is rolled out, in overlay and record; returns whether there is one."""
    rolled = [name for name, service in services.items() if service["order"] == _services.START_FIRST]
    for name in rolled:
        generation = services[name]["generation"] = _services.generation(project[name])
        own = overlay.setdefault(name, {})
        own["labels"] = {**own.get("labels", {}), GENERATION: generation}
        aliases = {"aliases": [_services.alias(name, generation)]}
        networks = {network: copy.deepcopy(aliases) for network in project[name].get("networks") or {}}
        if networks:
            own["networks"] = networks
    return bool(rolled)


def _rendered(partial: str, path: str, record: dict[str, t.Any], overlay: Overlay, render: Render) -> dict[str, t.Any]:
    """The project as it will be at `path`, where the folder goes once it is whole."""
    content = json.dumps({"services": overlay}, indent=2)
    _atomic.write_file(os.path.join(partial, store.OVERLAY), content + "\n", 0o644)
    return dict(_moved(render(partial, record), partial, path))


def _moved(value: t.Any, source: str, target: str) -> t.Any:
    if isinstance(value, str):
        return value.replace(source, target)
    if isinstance(value, dict):
        return {key: _moved(item, source, target) for key, item in value.items()}
    return [_moved(item, source, target) for item in value] if isinstance(value, list) else value


def _extract(archive: str, folder: str) -> None:
    try:
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(folder, filter="data")
            else:  # Python without PEP 706, as Debian 12's
                for member in tar.getmembers():
                    _require_inside(member)
                tar.extractall(folder)
    except tarfile.TarError as exc:
        remedy = "Links of a project must stay inside it; a damaged archive is copied again by the next deploy."
        raise ProductionError(archive, f"cannot be unpacked: {exc}.", remedy) from exc


def _require_inside(member: tarfile.TarInfo) -> None:
    """Raises `tarfile.TarError` for a member, or a link's target, that is not below the folder it is extracted to."""
    reached = [member.name]
    if member.issym() or member.islnk():
        reached.append(os.path.join(os.path.dirname(member.name) if member.issym() else "", member.linkname))
    if any(os.path.isabs(path) or os.path.normpath(path).split(os.sep)[0] == os.pardir for path in reached):
        raise tarfile.ExtractError(f"{member.name} reaches outside")
