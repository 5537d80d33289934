#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases of a stack on a host: immutable folders, and a link that is switched by rename."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_release
short_description: Plan, stage, commit, mark and find again releases of a Compose stack
version_added: 0.1.0
description:
  - A release is a folder below C(releases) in O(root) that holds a project's files, its env file (0600), the images it
    runs, the project as Compose renders it, its record, which never changes, and its outcome. Its ID carries a hash, so
    that "is there anything to do?" is a comparison.
  - That hash is over what the Compose files say, the values of the env file, the images, and those files of the project
    that a Compose file names (bind mounts, env files, configs, secrets). Everything else gets into a container through
    an image or not at all. A comment in a Compose file, a README or a test makes no new release.
  - A service with C(deploy.update_config.order=start-first) gets a generation, a hash of what its containers are made
    from, as label C(tria.production.generation) and as alias C(<service>-<generation>) on its networks, so that old and
    new containers can run side by side. Its C(x-rollout) and the C(x-migrations) of a one-shot are checked here.
author: tria.production contributors (@tria-production)
options:
  state:
    description:
      - V(planned) only tells what a deploy would do.
      - V(staged) writes the folder of O(release), whole or not at all. It needs the C(docker) command.
      - V(current) records that O(release) passed every gate and switches C(current) to it.
      - V(failed) records that O(release) did not pass; if it was current, the last good one before it is again.
      - V(bad) records that O(release) was rolled back by hand.
      - V(target) only tells what a rollback would do, to O(release) or to the newest good one before the current.
      - V(history) only lists all releases that are there.
    type: str
    choices: [planned, staged, current, failed, bad, target, history]
    required: true
  root:
    description: The stack's folder on the host.
    type: path
    required: true
  project:
    description: Compose project name. Needed to plan and to stage.
    type: str
  compose:
    description: The parsed O(compose_files), not interpolated, in their order. Needed to plan and to stage.
    type: list
    elements: dict
  compose_files:
    description: Paths of the Compose files inside the project, in order.
    type: list
    elements: str
    default: [compose.yaml]
  compose_sources:
    description: Texts of the Compose files, in the same order, for the diff.
    type: list
    elements: str
    default: []
  profiles:
    description: Compose profiles that are on.
    type: list
    elements: str
    default: []
  contexts:
    description: Hashes of the build contexts, from M(tria.production.source_archive).
    type: dict
    default: {}
  files:
    description: Hashes of the files that no build context has, from M(tria.production.source_archive).
    type: dict
    default: {}
  base_images:
    description: Images that stand in for a registry's, by service; see P(tria.production.stack#role).
    type: dict
    default: {}
  digests:
    description: What each image of a registry is in this release, such as C(shop:1.4@sha256:...) for C(shop:1.4).
    type: dict
    default: {}
  env_content:
    description: Text of the env file. Needed to plan and to stage.
    type: str
  offline:
    description: Whether Compose must never pull an image of this release.
    type: bool
    default: false
  archive:
    description: Archive with the project's files, on the host. Needed to stage; removed once its files are in the release.
    type: path
  release:
    description:
      - ID of the release. Needed to stage and to mark. For O(state=target) it may also be the O(deploy) of a run over several
        hosts, and means what each of them ran after it.
    type: str
  before:
    description: The O(deploy) of a run; for O(state=target), it means the last good release of before that run.
    type: str
  by:
    description: Who deploys, with C(user) and C(host); goes into the record and into every event of the outcome.
    type: dict
    default: {}
  deploy:
    description: ID of the run over all hosts that this belongs to, for the record.
    type: str
    default: ""
  keep:
    description:
      - How many releases to keep. The current one and the last good one before it always stay, so do those that an
        interrupted deploy was about and those whose files a container has mounted.
      - Images that only removed releases had go too, if they were built for the project or pulled by digest.
    type: int
    default: 5
  failure:
    description: Why the release failed, or was rolled back.
    type: str
    default: ""
  migration_head:
    description: The migration that the database is at with this release.
    type: str
  schema_hash:
    description: Hash of the database's schema with this release.
    type: str
  gates:
    description: What the gates of the deploy said, each with C(name), C(status) and C(duration_s).
    type: list
    elements: dict
  backup:
    description: Path of the dump made before this release.
    type: str
requirements:
  - docker (Python library) >= 5.0
  - Docker Compose >= 2, to stage
attributes:
  check_mode:
    description: Reading is the same; the other states tell what they would change.
    support: full
  diff_mode:
    description: Staging shows services, images, names of variables and Compose files, before and after.
    support: full
"""

EXAMPLES = r"""
- name: Ask what a deploy would do
  tria.production.stack_release:
    state: planned
    root: /opt/tria
    project: tria
    compose:
      - "{{ lookup('ansible.builtin.file', 'compose.yaml') | from_yaml }}"
    contexts: "{{ source.contexts }}"
    files: "{{ source.files }}"
    env_content: "{{ environment_content }}"
  register: plan

- name: Find the release to go back to
  tria.production.stack_release:
    state: target
    root: /opt/tria
  register: back
"""

RETURN = r"""
irreversible:
  description: Migrations that ran after the release and cannot be undone.
  type: list
  elements: str
  returned: when O(state=target)
backup:
  description: Path of the dump that holds the database as it was with the release, empty when there is none.
  type: str
  returned: when O(state=target)
action:
  description: V(none) when the release is current and runs, V(start) when not all of it runs, else V(deploy).
  type: str
  returned: when O(state=planned) or O(state=target)
reasons:
  description: Why there is something to do.
  type: list
  elements: str
  returned: when O(state=planned) or O(state=target)
release:
  description: ID of the release that is wanted.
  type: str
  returned: when O(state=planned) or O(state=target)
  sample: 20260101T120000Z-5891b5b522d5
path:
  description: Folder of that release.
  type: str
  returned: when O(state=planned) or O(state=target)
current:
  description: ID of the release that is current, empty before the first deploy.
  type: str
  returned: when O(state=planned) or O(state=target)
current_path:
  description: Folder of the current release, empty before the first deploy.
  type: str
  returned: when O(state=planned) or O(state=target)
good:
  description: IDs of the releases that passed every gate and were not rolled back, the newest first.
  type: list
  elements: str
  returned: when O(state=planned) or O(state=target)
current_record:
  description: Record of the current release, empty before the first deploy. Of targets in it only the names show.
  type: dict
  returned: when O(state=planned) or O(state=target)
images:
  description: Image of every service.
  type: dict
  returned: when O(state=planned) or O(state=target)
build:
  description: Images that do not exist yet, with what to build them from.
  type: list
  elements: dict
  returned: when O(state=planned) or O(state=target)
targets:
  description: A C(container) target for every service, for M(tria.production.readiness_wait).
  type: list
  elements: dict
  returned: when O(state=planned) or O(state=target)
services:
  description: How every service is rolled out, times in seconds. Of targets in it only the names show.
  type: dict
  returned: when O(state=planned) or O(state=target)
journal:
  description: What a deploy that did not end left written down, empty when there is none.
  type: dict
  returned: when O(state=planned) or O(state=target)
record:
  description: Record of the release that is wanted. Of targets in it only the names show.
  type: dict
  returned: when O(state=target)
outcome:
  description: What became of that release.
  type: dict
  returned: when O(state=target)
releases:
  description:
    - All releases, the newest first. C(status) is V(staged), V(good), V(failed), V(bad), or V(damaged) when it cannot be
      read; C(why) is why that is so, if somebody said it, and C(events) all that became of it.
  type: list
  elements: dict
  returned: when O(state=history)
  sample:
    - id: 20260101T120000Z-5891b5b522d5
      current: true
      status: good
      created_at: "2026-01-01T12:00:00+00:00"
      created_by: {user: anna, host: laptop}
      why: ""
summary:
  description: The same as the lines of a table for a person.
  type: list
  elements: str
  returned: when O(state=history)
removed:
  description: Releases that retention removed.
  type: list
  elements: str
  returned: when O(state=current)
removed_images:
  description: Images that retention removed.
  type: list
  elements: str
  returned: when O(state=current)
diff:
  description: What a deploy changes (services, images, names of variables, Compose files); empty when there is none.
  type: dict
  returned: when O(state=planned) or O(state=staged)
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _docker
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._releases import (
    history, outcome, planning, staging, store, targets,
)  # fmt: skip
from ansible_collections.tria.production.plugins.module_utils._releases.desired import Desired
from ansible_collections.tria.production.plugins.module_utils._releases.difference import difference

DESIRED = ("project", "compose", "env_content")
FOUND = ("migration_head", "schema_hash", "gates", "backup")


def planned(module: AnsibleModule, releases: store.Releases) -> dict[str, t.Any]:
    try:
        engine = _docker.connect()
    except (ProductionError, MissingLibrary):
        engine = None  # a host that is not provisioned yet: everything is to be done
    wanted = desired(module)
    plan = planning.plan(releases, wanted, engine)
    return {"changed": False, **plan, "diff": diff(module, releases, wanted) if plan["action"] == "deploy" else {}}


def staged(module: AnsibleModule, releases: store.Releases) -> dict[str, t.Any]:
    release = module.params["release"]
    if releases.is_staged(release):
        return {"changed": False}
    wanted = desired(module)
    shown = diff(module, releases, wanted)
    if not module.check_mode:
        origin = {name: module.params[name] for name in ("archive", "offline", "by", "deploy")}
        staging.stage(releases, release, wanted, staging.Origin(**origin))
    return {"changed": True, "diff": shown}


def current(module: AnsibleModule, releases: store.Releases) -> dict[str, t.Any]:
    release = module.params["release"]
    done = releases.current() == release and releases.status(release) == store.GOOD
    if done or module.check_mode:
        return {"changed": not done, "removed": [], "removed_images": []}
    found = {name: module.params[name] for name in FOUND if module.params[name] is not None}
    engine = _docker.connect()
    removed = outcome.commit(releases, release, engine, module.params["keep"], module.params["by"], found)
    return {"changed": True, **removed}


def failed(module: AnsibleModule, releases: store.Releases) -> dict[str, t.Any]:
    if not module.check_mode:
        outcome.fail(releases, module.params["release"], module.params["by"], module.params["failure"])
    return {"changed": True}


def bad(module: AnsibleModule, releases: store.Releases) -> dict[str, t.Any]:
    if not module.check_mode:
        releases.note(module.params["release"], store.BAD, module.params["by"], module.params["failure"])
    return {"changed": True}


def target(module: AnsibleModule, releases: store.Releases) -> dict[str, t.Any]:
    release, before = (module.params[name] or "" for name in ("release", "before"))
    return {"changed": False, **planning.target(releases, _docker.connect(), release, before)}


def listed(_module: AnsibleModule, releases: store.Releases) -> dict[str, t.Any]:
    entries = history.history(releases)
    return {"changed": False, "releases": entries, "summary": history.table(entries)}


def desired(module: AnsibleModule) -> Desired:
    names = ("project", "compose", "compose_files", "profiles", "contexts", "files", "base_images", "digests")
    wanted = Desired(**{name: module.params[name] for name in (*names, "env_content")})
    targets.check(wanted.services)
    return wanted


def diff(module: AnsibleModule, releases: store.Releases, wanted: Desired) -> dict[str, str]:
    return {"prepared": difference(releases, wanted, module.params["compose_sources"])}


STATES = {
    "planned": planned, "staged": staged, "current": current, "failed": failed, "bad": bad, "target": target,
    "history": listed,
}  # fmt: skip


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "root": {"type": "path", "required": True},
            "project": {"type": "str"},
            "compose": {"type": "list", "elements": "dict"},
            "compose_files": {"type": "list", "elements": "str", "default": ["compose.yaml"]},
            "compose_sources": {"type": "list", "elements": "str", "default": []},
            "profiles": {"type": "list", "elements": "str", "default": []},
            "contexts": {"type": "dict", "default": {}},
            "files": {"type": "dict", "default": {}},
            "base_images": {"type": "dict", "default": {}},
            "digests": {"type": "dict", "default": {}},
            "env_content": {"type": "str", "no_log": True},
            "offline": {"type": "bool", "default": False},
            "archive": {"type": "path"},
            "release": {"type": "str"},
            "before": {"type": "str"},
            "by": {"type": "dict", "default": {}},
            "deploy": {"type": "str", "default": ""},
            "keep": {"type": "int", "default": 5},
            "failure": {"type": "str", "default": ""},
            "migration_head": {"type": "str"},
            "schema_hash": {"type": "str"},
            "gates": {"type": "list", "elements": "dict"},
            "backup": {"type": "str"},
        },
        required_if=[
            ("state", "planned", DESIRED),
            ("state", "staged", (*DESIRED, "archive", "release")),
            *(("state", state, ("release",)) for state in ("current", "failed", "bad")),
        ],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**STATES[module.params["state"]](module, store.Releases(module.params["root"])))
    except (ProductionError, MissingLibrary) as exc:
        module.fail_json(**exc.as_result())
    except OSError as exc:
        module.fail_json(**ProductionError.from_os(exc, "The releases before it are untouched.").as_result())


if __name__ == "__main__":
    main()
