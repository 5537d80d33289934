# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of every module that probes targets."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment C(tria.production.targets)."""

    DOCUMENTATION = r"""
options:
  targets:
    description:
      - What to probe. Each target has a name of its own and exactly one kind.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the target in results and messages.
        type: str
        required: true
      critical:
        description:
          - Whether the stack is C(unhealthy) without this target.
          - A failure of a target that is not critical is a C(warn), and the stack is C(degraded).
        type: bool
        default: true
      max_ms:
        description:
          - Performance budget in milliseconds. A target that is good but slower is a C(warn).
        type: float
      timeout:
        description: Seconds that one attempt may take, whatever the other side does.
        type: float
        default: 5.0
      category:
        description:
          - Category of the result in reports.
          - By default V(API) for O(targets[].http), V(Network) for O(targets[].tcp), V(Database) for
            O(targets[].postgres), V(Cache) for O(targets[].redis), V(Container) for O(targets[].container) and
            V(System) for O(targets[].system).
        type: str
      http:
        description:
          - An HTTP endpoint. Proxies of the environment are not used.
          - In check mode, requests other than C(GET), C(HEAD) and C(OPTIONS) are not sent; the result is C(skip).
        type: dict
        suboptions:
          url:
            description:
              - The URL. With O(targets[].http.service), only the address that is connected to is that of the container;
                the C(Host) header and the name in the certificate are those of the URL.
            type: str
            required: true
          method:
            description: Request method.
            type: str
            default: GET
          headers:
            description:
              - Request headers. Not sent to another host that a redirect leads to.
              - Values of C(Authorization), C(Cookie) and C(X-API-Key) are masked in messages. Put secrets into
                O(secrets) too, which masks them in Ansible's own record of the options.
            type: dict
            default: {}
          body:
            description: Request body. A dictionary or a list is sent as JSON.
            type: raw
          url_username:
            description: User name for basic authentication.
            type: str
          url_password:
            description: Password for basic authentication. With it, an unexpected status 401 is final.
            type: str
          status:
            description: Status codes that are good.
            type: list
            elements: int
            default: [200]
          json:
            description:
              - What the JSON document in the answer must contain. Keys may be dotted paths; list items are numbers.
            type: dict
          contains:
            description: Text that the body must contain.
            type: str
          response_headers:
            description: Headers that the answer must have, each with a text that it must contain.
            type: dict
            default: {}
          idempotent:
            description: Sends the same request twice; both answers must be the same, status and body.
            type: bool
            default: false
          follow_redirects:
            description: Whether redirects are followed, not at all, for safe methods, or for all. At most five.
            type: str
            choices: [none, safe, all]
            default: none
          validate_certs:
            description: Whether the server's certificate is verified.
            type: bool
            default: true
          ca_path:
            description: A file or directory with CA certificates to trust instead of the system's.
            type: path
          max_body_bytes:
            description: Largest body that is read. A larger one is a failure.
            type: int
            default: 1048576
          project: &project
            description:
              - Compose project. With O(targets[].http.service), connects to the running container of that service, so
                that nothing has to be published.
            type: str
          service: &service
            description: Compose service, see O(targets[].http.project).
            type: str
      tcp:
        description: A TCP port that accepts connections.
        type: dict
        suboptions:
          host:
            description: Host name or address.
            type: str
            default: 127.0.0.1
          port:
            description: Port number.
            type: int
            required: true
          project: *project
          service: *service
      postgres:
        description:
          - A PostgreSQL database, looked at in a read-only transaction.
          - Connections in use are reported as C(pool).
        type: dict
        suboptions:
          host:
            description: Host name or address.
            type: str
            default: 127.0.0.1
            aliases: [login_host]
          port:
            description: Port number.
            type: int
            default: 5432
            aliases: [login_port]
          dbname:
            description: Name of the database.
            type: str
            required: true
            aliases: [login_db]
          login_user:
            description: Role to log in with.
            type: str
          login_password:
            description: Password of the role.
            type: str
          sslmode:
            description: As of C(libpq).
            type: str
            choices: [disable, allow, prefer, require, verify-ca, verify-full]
            default: prefer
          ca_path:
            description: File with the CA certificates for V(verify-ca) and V(verify-full).
            type: path
          tables:
            description: Tables that must exist, with or without a schema.
            type: list
            elements: str
            default: []
          min_rows:
            description: For each table, the number of rows that it has at least.
            type: dict
            default: {}
          migration_head:
            description: The migration that O(targets[].postgres.migration_table) must name, and no other.
            type: str
          migration_table:
            description: Table with the current migration in column C(version_num), as Alembic keeps it.
            type: str
            default: alembic_version
          pool_max_percent:
            description: Part of the server's C(max_connections) above which the result is a C(warn).
            type: float
            default: 90.0
          project: *project
          service: *service
      redis:
        description: A Redis server that answers C(PING) and is not loading.
        type: dict
        suboptions:
          host:
            description: Host name or address.
            type: str
            default: 127.0.0.1
          port:
            description: Port number.
            type: int
            default: 6379
          db:
            description: Number of the database.
            type: int
            default: 0
          login_user:
            description: ACL user.
            type: str
          login_password:
            description: Password.
            type: str
          tls:
            description: Whether to connect by TLS.
            type: bool
            default: false
          validate_certs:
            description: Whether the server's certificate is verified.
            type: bool
            default: true
          ca_path:
            description: A file or directory with CA certificates to trust instead of the system's.
            type: path
          round_trip:
            description:
              - Also writes, reads and deletes a random key that expires by itself. Left out in check mode.
            type: bool
            default: false
          project: *project
          service: *service
      container:
        description:
          - All containers of a Compose service. Each of them must run and, where it has a healthcheck, be healthy; one
            dead replica is a failure.
        type: dict
        suboptions:
          project:
            description: Compose project.
            type: str
            required: true
          service:
            description: Compose service.
            type: str
            required: true
          replicas:
            description: How many containers there are at least. Without it, one; all that exist count in any case.
            type: int
          one_shot:
            description: The containers end by themselves. Good is then exit code 0, and nothing else.
            type: bool
            default: false
          min_uptime:
            description:
              - Seconds that a container without a healthcheck must have been running before that counts.
              - A container that was restarted must have been running for 10 seconds in any case.
            type: float
            default: 1.0
      system:
        description: Use of processor, memory and disk of the host. Each limit that is exceeded is a failure.
        type: dict
        suboptions:
          max_cpu_percent:
            description: Limit for the processor. By default none, as a deploy itself makes it busy.
            type: float
          max_memory_percent:
            description: Limit for memory.
            type: float
            default: 95.0
          max_disk_percent:
            description: Limit for the file system of O(targets[].system.path).
            type: float
            default: 90.0
          path:
            description: Any path in the file system to look at.
            type: path
            default: /
  secrets:
    description:
      - Values that must not show in any output, such as those that containers may write to their logs. Passwords among
        the options of targets are masked without that.
    type: list
    elements: str
    default: []
requirements:
  - psycopg2, for targets of kind postgres
  - docker (Docker SDK for Python), for targets of kind container and for those with project and service
author:
  - tria.production contributors (@tria-production)
attributes:
  check_mode:
    description: Can run in C(check_mode) and give the same answer. What would write something is left out.
    support: full
  diff_mode:
    description: Returns what changed in diff mode.
    support: N/A
    details: Nothing is ever changed.
  idempotent:
    description: Running it again changes nothing.
    support: full
"""
