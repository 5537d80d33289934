#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: looks at all targets once, at the same time."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_health
short_description: Look at services once and grade their health
version_added: 0.1.0
description:
  - Probes databases, caches, HTTP endpoints and whole sequences of requests, containers, ports, certificates, names,
    programs and the host, all at the same time, and returns one graded health document.
  - Nothing is changed. A check that could not be made is an C(error), never a C(pass).
  - To wait until services are ready, use M(tria.production.readiness_wait).
extends_documentation_fragment:
  - tria.production.targets
options:
  timeout:
    description: Seconds after which all probes together end.
    type: float
    default: 30.0
  fail_on:
    description:
      - When the module fails. With V(unhealthy), when a critical target is not good; with V(degraded), when any is not
        good or slower than its budget; with V(never), not because of a target.
      - A failure has all return values too.
    type: str
    choices: [unhealthy, degraded, never]
    default: unhealthy
seealso:
  - module: tria.production.readiness_wait
"""

EXAMPLES = r"""
- name: Look at the whole stack
  tria.production.service_health:
    targets:
      - name: database
        postgres:
          project: shop
          service: postgres
          dbname: shop
          login_user: shop
          login_password: "{{ postgres_password }}"
          tables: [catalog]
          min_rows: {catalog: 1}
      - name: cache
        max_ms: 50
        redis:
          project: shop
          service: redis
          login_password: "{{ redis_password }}"
          round_trip: true
      - name: backend
        depends_on: [database, cache]
        container: {project: shop, service: backend, replicas: 2}
      - name: api
        depends_on: [backend]
        max_ms: 2000
        http:
          url: http://127.0.0.1:8080/api/v1/health/readiness
          json: {overall_healthy: true, services.database.healthy: true}
      - name: search
        critical: false
        tcp: {port: 9200}
      - name: host
        system: {max_memory_percent: 90}

- name: Look at the file database of a small application, and at what it may have been set up without
  tria.production.service_health:
    targets:
      - name: database
        sqlite: {path: /var/lib/shop/shop.db, min_rows: {catalog: 1}, migration_head: 3f2a9c1d7e55, integrity: true}
      - name: uploads
        http:
          url: http://127.0.0.1:8080/api/v1/files
          not_configured: {reason: uploads are switched off, status: [503], json: {error.code: storage_not_configured}}
      - name: search
        skip: "{{ '' if search_enabled else 'this stack has no search' }}"
        tcp: {port: 9200}

- name: Is there a young backup, and does its schedule run?
  tria.production.service_health:
    targets:
      - name: backup
        backup: {dest: /opt/shop/backups, dbname: shop, max_age: 26}

- name: Look at what the internet sees of it
  tria.production.service_health:
    targets:
      - name: name
        dns: {name: shop.example.org, type: A, answers: [192.0.2.10]}
      - name: certificate
        depends_on: [name]
        tls: {host: shop.example.org, min_days: 14, warn_days: 30}

- name: Take the health documents of others at their word
  tria.production.service_health:
    targets:
      - name: orders
        http: {url: "http://127.0.0.1:8081/actuator/health", health: require}

- name: Run a program on the host, and one in a container
  tria.production.service_health:
    targets:
      - name: clock
        critical: false
        command: {argv: [timedatectl, show, --property=NTPSynchronized], contains: "NTPSynchronized=yes", read_only: true}
      - name: queue
        command:
          argv: [celery, --app=shop, inspect, ping, --json]
          json: {worker1.ok: pong}
          project: shop
          service: worker

- name: The same order, sent twice, is taken once
  tria.production.service_health:
    targets:
      - name: chatbot
        http:
          url: http://127.0.0.1:8080/api/chatbot
          method: POST
          headers: {Idempotency-Key: "check-{{ now().timestamp() }}"}
          body: {message: hello, user_id: check}
          idempotent: true

- name: Hold the response times against their budget
  tria.production.service_health:
    timeout: 30
    targets:
      - name: performance
        timeout: 30
        flow:
          url: https://shop.example.org
          steps:
            - {name: status, path: /api/v1/status, max_ms: 50}
          repeat: {samples: 40, warmup: 2, concurrency: 2, max_p95_ms: 200}
"""

RETURN = r"""
overall_status:
  description: V(healthy), V(degraded) (only trouble that is not critical) or V(unhealthy).
  returned: always
  type: str
  sample: healthy
health:
  description:
    - The readiness document, with one entry in C(services) for each target. C(overall_healthy) says whether all
      critical targets are good. C(healthy) of a service is null when it was not looked at.
    - Where a service answers with a health document of its own, its components are in C(services) within its entry, in
      the same form.
  returned: always
  type: dict
  sample:
    status: healthy
    overall_healthy: true
    services:
      database: {healthy: true, response_time_ms: 12.5, kind: postgres, pool: {used: 4, max: 100, percent: 4.0}}
      cache: {healthy: true, response_time_ms: 2.3, kind: redis, host: 172.18.0.3, port: 6379, round_trip: true}
      api:
        healthy: true
        response_time_ms: 8.1
        kind: http
        status_code: 200
        url: http://127.0.0.1:8080/api/v1/health/readiness
        services:
          database: {healthy: true, response_time_ms: 1.9, pool: {size: 10, checked_in: 8, checked_out: 2}}
          redis: {healthy: true, response_time_ms: 0.6, host: redis, port: 6379}
        metrics: {cpu_percent: 14.8, memory_percent: 45.8, disk_percent: 23.1}
    metrics: {cpu_percent: 15.2, memory_percent: 45.8, disk_percent: 23.1}
    timestamp: "2026-01-24T10:30:00Z"
results:
  description: One graded check for each target, in their order.
  returned: always
  type: list
  elements: dict
  sample:
    - name: api
      category: API
      status: pass
      critical: true
      duration_ms: 8.1
      message: GET answered 200
      remedy: ""
      data:
        kind: http
        healthy: true
        status_code: 200
        url: http://127.0.0.1:8080/api/v1/health/readiness
        health:
          format: readiness
          status: pass
          reported: healthy
          components:
            database:
              status: pass
              reported: healthy
              response_time_ms: 1.9
              pool: {size: 10, checked_in: 8, checked_out: 2}
culprit:
  description: Names of the targets at fault.
  returned: failure
  type: str
  sample: database
cause:
  description: What was found wrong with each.
  returned: failure
  type: str
  sample: "1 of 6 targets are not good. database: table catalog does not exist."
remedy:
  description: What to do.
  returned: failure
  type: str
  sample: "database: Run the migrations and load the data."
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _health, _lock, _probes
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_probes.argument_spec(),
            "timeout": {"type": "float", "default": 30.0},
            "fail_on": {"type": "str", "choices": ["unhealthy", "degraded", "never"], "default": "unhealthy"},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        with _lock.beating():
            found = _health.check(
                options["targets"], options["timeout"], options["fail_on"], options["secrets"], module.check_mode
            )
    except ProductionError as exc:
        module.fail_json(**exc.as_result())
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
