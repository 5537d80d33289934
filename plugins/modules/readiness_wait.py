#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: waits until all targets are ready, or says at once why one never will be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: readiness_wait
short_description: Wait until services are ready, or say at once why they never will be
version_added: 0.1.0
description:
  - Waits for databases, caches, HTTP endpoints and whole sequences of requests, containers, ports, certificates, names
    and programs, all at the same time, and returns as soon as all of them are ready.
  - Ends at once, with the culprit, its last error and its last log lines, when waiting is useless. That is when a
    container has ended, was killed for want of memory, restarts or does not exist, and when credentials, database or
    certificate are wrong.
  - Targets that are not critical are waited for too. When they do not get ready, the module succeeds and the outcome is
    C(degraded).
  - A container without a healthcheck counts as ready after it has been running for O(targets[].container.min_uptime).
    A success that is older than a second when the last target gets ready is confirmed first.
  - Nothing is changed. To look once, use M(tria.production.service_health).
extends_documentation_fragment:
  - tria.production.targets
options:
  timeout:
    description: Seconds that all targets together have, on a clock that nobody can set.
    type: float
    default: 120.0
  stable_for:
    description: Seconds for which a target must have been good without a break before it is ready.
    type: float
    default: 0.0
  successes:
    description: How many attempts in a row must have been good before a target is ready.
    type: int
    default: 1
  startup_grace:
    description: Seconds for which containers may be missing. By default a missing container is a failure at once.
    type: float
    default: 0.0
  interval_min:
    description:
      - Seconds between two attempts in the beginning. The interval grows with the time already waited, to 1% of it,
        and varies by a fifth.
      - With many targets it is longer, so that there are no more than 4000 connects and 500 requests in a second.
    type: float
    default: 0.02
  interval_max:
    description: Greatest number of seconds between two attempts.
    type: float
    default: 1.0
  progress:
    description:
      - File on the host, in a folder that exists, in which the module writes down what it still waits for, at most once a
        second and not within the first. It has mode 0600 and is removed at the end.
      - Filled in by the action plugin while the callback plugin P(tria.production.gates#callback) shows the run.
    type: path
seealso:
  - module: tria.production.service_health
"""

EXAMPLES = r"""
- name: Wait until the stack is ready
  tria.production.readiness_wait:
    timeout: 120
    secrets: ["{{ postgres_password }}", "{{ redis_password }}"]
    targets:
      - name: migrations
        container: {project: shop, service: migrate, one_shot: true}
      - name: database
        postgres:
          project: shop
          service: postgres
          dbname: shop
          login_user: shop
          login_password: "{{ postgres_password }}"
      - name: cache
        redis: {project: shop, service: redis, login_password: "{{ redis_password }}"}
      - name: backend
        depends_on: [database, cache, migrations]
        container: {project: shop, service: backend, replicas: 2}
      - name: api
        depends_on: [backend]
        http: {url: "http://127.0.0.1:8080/health"}
      - name: search
        critical: false
        tcp: {port: 9200}

- name: Wait until the disk has room and the API has been good for five seconds
  tria.production.readiness_wait:
    stable_for: 5
    successes: 3
    targets:
      - name: host
        system: {max_disk_percent: 80}
      - name: api
        http: {url: "https://shop.example.org/health", ca_path: /etc/ssl/shop-ca.pem}

- name: Wait until the application has made its database and has run its migrations
  tria.production.readiness_wait:
    targets:
      - name: database
        sqlite: {path: /var/lib/shop/shop.db, tables: [catalog], migration_head: 3f2a9c1d7e55}

- name: Wait until a schedule that was just set up has made its first backup
  tria.production.readiness_wait:
    timeout: 900
    targets:
      - name: backup
        backup: {dest: /var/backups/postgresql, dbname: shop, max_age: 0.25}

- name: Wait until the old server is gone
  tria.production.readiness_wait:
    timeout: 60
    targets:
      - name: old server
        invert: true
        tcp: {host: 192.0.2.7, port: 8080}

- name: Wait until the new name and its certificate are out, and the workers answer
  tria.production.readiness_wait:
    timeout: 600
    targets:
      - name: name
        dns: {name: shop.example.org, answers: [192.0.2.10]}
      - name: certificate
        depends_on: [name]
        tls: {host: shop.example.org}
      - name: workers
        command: {argv: [celery, --app=shop, inspect, ping], project: shop, service: worker}

- name: Wait until somebody can log in, upload a file, fetch it and delete it
  tria.production.readiness_wait:
    timeout: 60
    secrets: ["{{ demo_password }}"]
    targets:
      - name: upload
        flow:
          url: http://127.0.0.1:8080
          headers: {Authorization: "Bearer ${token}"}
          steps:
            - name: login
              path: /api/v1/auth/login
              method: POST
              body: {username: check, password: "{{ demo_password }}"}
              capture: {token: {json: access_token}}
            - name: upload
              path: /api/v1/files
              method: POST
              body_format: form-multipart
              body:
                key: check-${random}
                file: {content: hello, filename: check.txt, mime_type: text/plain}
              status: [201]
              capture: {id: {json: id}}
            - {name: fetch, path: "/api/v1/files/${id}", contains: hello}
          cleanup:
            - {name: delete, path: "/api/v1/files/${id}", method: DELETE, status: [204]}
"""

RETURN = r"""
elapsed:
  description: Seconds waited.
  returned: always
  type: float
  sample: 3.182
overall_status:
  description: V(healthy), V(degraded) (only trouble that is not critical) or V(unhealthy).
  returned: always
  type: str
  sample: healthy
results:
  description:
    - One graded check for each target, in their order. C(data) has C(ready), C(ready_after) (seconds), C(attempts),
      C(flaps) (how often it was good and then not), C(phase) of the last attempt and C(timeline), and for failed ones
      C(containers) with state, exit code, health log and last log lines.
  returned: always
  type: list
  elements: dict
  sample:
    - name: api
      category: API
      status: pass
      critical: true
      duration_ms: 4.2
      message: GET answered 200
      remedy: ""
      data:
        kind: http
        healthy: true
        ready: true
        ready_after: 2.41
        attempts: 37
        flaps: 0
        phase: ""
        timeline:
          - {after: 0.001, status: fail, message: "cannot connect to 127.0.0.1 port 8080: Connection refused"}
          - {after: 2.41, status: pass, message: GET answered 200}
culprit:
  description: The target at fault. A dead container comes before what depends on it.
  returned: failure
  type: str
  sample: backend
cause:
  description: What was found wrong with it and with the other targets.
  returned: failure
  type: str
  sample: "container shop-backend-1 has ended (exit code 3) (after 0.4 s, phase container, attempts: 2)."
remedy:
  description: What to do.
  returned: failure
  type: str
  sample: Read its last log lines (log_tail), correct the cause and start it again.
phase:
  description: How far the last attempt at the culprit came.
  returned: failure
  type: str
  sample: container
last_error:
  description: What the last attempt at the culprit said.
  returned: failure
  type: str
  sample: container shop-backend-1 has ended (exit code 3)
victims:
  description: The targets that are not good because of the culprit, as O(targets[].depends_on) says.
  returned: failure
  type: list
  elements: str
  sample: [api, edge]
attempts:
  description: How often the culprit was looked at.
  returned: failure
  type: int
  sample: 2
exit_code:
  description: Exit code of the culprit's container.
  returned: failure
  type: int
  sample: 3
health_log:
  description: Last results of the engine's healthcheck of the culprit's container.
  returned: failure
  type: list
  elements: str
  sample: ["1: connection refused"]
log_tail:
  description: Last log lines of the culprit's container, without secrets.
  returned: failure
  type: list
  elements: str
  sample: ["phase redis: WRONGPASS invalid username-password pair"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _lock, _probes, _waiting
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def main() -> None:
    times = ("timeout", "stable_for", "successes", "startup_grace", "interval_min", "interval_max")
    module = AnsibleModule(
        argument_spec={
            **_probes.argument_spec(),
            "timeout": {"type": "float", "default": 120.0},
            "stable_for": {"type": "float", "default": 0.0},
            "successes": {"type": "int", "default": 1},
            "startup_grace": {"type": "float", "default": 0.0},
            "interval_min": {"type": "float", "default": 0.02},
            "interval_max": {"type": "float", "default": 1.0},
            "progress": {"type": "path"},
        },
        supports_check_mode=True,
    )
    options = module.params
    settings = _waiting.Settings(**{name: options[name] for name in times})
    try:
        with _lock.beating():
            found = _waiting.wait(
                options["targets"], settings, options["secrets"], module.check_mode, options["progress"] or ""
            )
    except ProductionError as exc:
        module.fail_json(**exc.as_result())
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
