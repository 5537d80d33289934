#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thin module over `module_utils/_security/`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: security_check
short_description: Check a stack's Compose configuration, containers, host and HTTP front for security
version_added: 0.1.0
author: tria.production contributors (@tria-production)
description:
  - Holds a stack against a table of rules, most of them those of the CIS Docker Benchmark, and returns every violation
    at once with its remedy. The rules are listed in C(docs/security-rules.md).
  - Reads only. The front is asked with C(GET) and C(OPTIONS), without any credentials.
  - A violation of a critical or high rule is a C(fail), of a medium or low one a C(warn). What could not be looked at
    is C(skip) with its reason, or C(error), never C(pass).
  - No value of a secret is ever part of a result.
requirements:
  - docker (Python library), for the area V(containers)
  - Docker's Compose plug-in, for O(project_src)
attributes:
  check_mode:
    description: Does the same in check mode.
    support: full
  diff_mode:
    description: Nothing is ever changed.
    support: none
options:
  areas:
    description:
      - What is looked at. An area without its input is one result C(skip).
      - V(compose) needs O(project_src) or O(config_path), V(containers) the name of the project, V(front) O(url).
    type: list
    elements: str
    choices: [compose, containers, host, front]
    default: [compose, containers, host, front]
  project_src:
    description:
      - Folder of the Compose project. C(docker compose config) is asked there, once as it is resolved and once as it is
        written, so that secrets in the Compose files themselves are found.
    type: path
  files:
    description: Compose files, relative to O(project_src). By default those that Compose finds.
    type: list
    elements: path
    default: []
  env_files:
    description: Env files, relative to O(project_src). By default C(.env).
    type: list
    elements: path
    default: []
  profiles:
    description: Profiles that are enabled.
    type: list
    elements: str
    default: []
  project_name:
    description: Name of the Compose project. By default that of the configuration.
    type: str
  config_path:
    description:
      - File with what C(docker compose config --format json) prints, instead of O(project_src).
      - It holds every secret of the stack, so keep it with mode 0600.
    type: path
  public_ports:
    description: Ports that everybody is meant to reach.
    type: list
    elements: int
    default: [80, 443]
  max_restarts:
    description: How many restarts of a container are no violation.
    type: int
    default: 3
  secret_files:
    description: Files with secrets on this host, the stack's env file for example.
    type: list
    elements: path
    default: []
  disk_paths:
    description: Paths whose file systems need space and inodes. The nearest existing parent stands for a missing one.
    type: list
    elements: path
    default: [/opt, /var/lib/docker]
  min_disk_percent:
    description: Least share of free space in percent.
    type: float
    default: 10
  min_inodes_percent:
    description: Least share of free inodes in percent.
    type: float
    default: 5
  backup_path:
    description:
      - Folder with the backups of M(tria.production.pg_backup). Without it, backups are not looked at.
      - While the first release of M(tria.production.stack_release) in O(project_src) is younger than O(max_backup_age), no
        backup is due yet.
    type: path
  max_backup_age:
    description: Greatest age of the newest backup in hours.
    type: float
    default: 26
  url:
    description: URL of the HTTP front, as its users reach it.
    type: str
  http_url:
    description: URL that must lead to HTTPS. By default O(url)'s host on port 80. Only for an O(url) with https.
    type: str
  ca_path:
    description: A file or directory with CA certificates to trust instead of the system's.
    type: path
  paths:
    description: Paths of the front whose answers are looked at, besides one that does not exist.
    type: list
    elements: str
    default: [/]
  hidden_paths:
    description: Paths that must not answer with content.
    type: list
    elements: str
    default:
      - /.env
      - /.git/config
      - /.git/HEAD
      - /.aws/credentials
      - /debug
      - /debug/pprof/
      - /server-status
      - /actuator/env
      - /phpinfo.php
      - /compose.yaml
      - /docker-compose.yml
      - /backup.sql
  protected_paths:
    description: Paths that must answer 401 or 403, or lead to a login, without credentials.
    type: list
    elements: str
    default: []
  waivers:
    description: Violations that are accepted. They are reported as C(skip), with their reason.
    type: list
    elements: dict
    default: []
    suboptions:
      rule:
        description: ID or name of the rule.
        type: str
        required: true
      subject:
        description: The service, container, file, path or port as results name it, or V(*) for all.
        type: str
        required: true
      reason:
        description: Why it may stay as it is.
        type: str
        required: true
  timeout:
    description: How long each area may wait for Docker or for the front, in seconds.
    type: float
    default: 30
  fail_on:
    description:
      - What makes the module fail. V(unhealthy) is a critical or high rule that is violated or could not be checked,
        V(degraded) any rule.
    type: str
    choices: [unhealthy, degraded, never]
    default: unhealthy
"""

EXAMPLES = r"""
- name: Check everything about a deployed stack
  tria.production.security_check:
    project_src: /opt/tria/current
    files: [compose.yaml, compose.release.yaml]
    project_name: tria
    secret_files: [/opt/tria/current/.env]
    backup_path: /opt/tria/backups
    url: https://shop.example.org
    protected_paths: [/api/v1/orders]

- name: Hold a Compose project against the rules, before anything is deployed
  tria.production.security_check:
    areas: [compose]
    project_src: "{{ playbook_dir }}/shop"
    waivers:
      - rule: read_only
        subject: legacy
        reason: It writes its licence file beside its program, until version 4 replaces it in March.
    fail_on: degraded

- name: Look at the HTTP front alone
  tria.production.security_check:
    areas: [front]
    url: https://shop.example.org
    paths: [/, /api/v1/health/liveness]
"""

RETURN = r"""
overall_status:
  description: V(healthy), V(degraded) (only medium and low rules are violated) or V(unhealthy).
  returned: when the options are right
  type: str
  sample: unhealthy
violations:
  description: How many rules are violated, by severity. Waived ones do not count.
  returned: when the options are right
  type: dict
  sample: {critical: 1, high: 0, medium: 2, low: 0}
results:
  description:
    - For each rule one graded check of all that was looked at, and one each for what was waived and what was not looked
      at.
  returned: when the options are right
  type: list
  elements: dict
  sample:
    - category: Security
      critical: true
      data:
        area: compose
        cis: "5.14"
        rule: SEC131
        rule_name: published_data
        severity: critical
        subjects: [postgres]
      duration_ms: 0.1
      message: "postgres: publishes port 5432 on all addresses"
      name: SEC131 Databases not published (compose)
      remedy: Remove its ports, or publish them on 127.0.0.1.
      status: fail
culprit:
  description: What is at fault.
  returned: failure
  type: str
  sample: Security
cause:
  description: What was found wrong.
  returned: failure
  type: str
  sample: "1 checks are not good. SEC131 Databases not published (compose): postgres: publishes port 5432 on 0.0.0.0."
remedy:
  description: What to do.
  returned: failure
  type: str
  sample: "SEC131: Remove its ports, or publish them on 127.0.0.1."
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._security import engine

AREAS = ["compose", "containers", "host", "front"]
HIDDEN_PATHS = [
    "/.env", "/.git/config", "/.git/HEAD", "/.aws/credentials", "/debug", "/debug/pprof/", "/server-status",
    "/actuator/env", "/phpinfo.php", "/compose.yaml", "/docker-compose.yml", "/backup.sql",
]


def argument_spec() -> dict:
    """The options of `DOCUMENTATION`."""
    waiver = {name: {"type": "str", "required": True} for name in ("rule", "subject", "reason")}
    return {
        "areas": {"type": "list", "elements": "str", "choices": AREAS, "default": AREAS},
        "project_src": {"type": "path"},
        "files": {"type": "list", "elements": "path", "default": []},
        "env_files": {"type": "list", "elements": "path", "default": []},
        "profiles": {"type": "list", "elements": "str", "default": []},
        "project_name": {"type": "str"},
        "config_path": {"type": "path"},
        "public_ports": {"type": "list", "elements": "int", "default": [80, 443]},
        "max_restarts": {"type": "int", "default": 3},
        "secret_files": {"type": "list", "elements": "path", "default": [], "no_log": False},
        "disk_paths": {"type": "list", "elements": "path", "default": ["/opt", "/var/lib/docker"]},
        "min_disk_percent": {"type": "float", "default": 10},
        "min_inodes_percent": {"type": "float", "default": 5},
        "backup_path": {"type": "path"},
        "max_backup_age": {"type": "float", "default": 26},
        "url": {"type": "str"},
        "http_url": {"type": "str"},
        "ca_path": {"type": "path"},
        "paths": {"type": "list", "elements": "str", "default": ["/"]},
        "hidden_paths": {"type": "list", "elements": "str", "default": HIDDEN_PATHS},
        "protected_paths": {"type": "list", "elements": "str", "default": []},
        "waivers": {"type": "list", "elements": "dict", "default": [], "options": waiver},
        "timeout": {"type": "float", "default": 30},
        "fail_on": {"type": "str", "choices": ["unhealthy", "degraded", "never"], "default": "unhealthy"},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[["project_src", "config_path"]],
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **engine.check(module.params))
    except ProductionError as error:
        module.fail_json(**error.as_result())


if __name__ == "__main__":
    main()
