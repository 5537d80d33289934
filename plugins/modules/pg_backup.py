#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a verified, crash-safe PostgreSQL backup, and applies retention; restores one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup
short_description: Make a verified, crash-safe PostgreSQL backup, or restore one
version_added: "0.1.0"
author: tria.production contributors (@tria-production)
description:
  - Dumps one database with C(pg_dump) in its custom format, of a server in a container with the container's own tools,
    or of a server that the host's own client reaches; compresses it, and writes the roles and tablespaces beside it.
  - A dump gets its name only after all of it was read back from the disk, through SHA-256, the decompressor with its
    checksum, and the server's own C(pg_restore). The manifest, C(<dump>.json), is written last; a dump without a
    manifest is not a backup. Whatever stops the run (a full disk, a signal, a stopped server), older backups stay as
    they were.
  - The stream out of a container is not hashed inside it. A loss on the way is noticed by C(pg_restore), which has to
    find every entry of the table of contents, block by block.
  - With O(state=restored), verifies a backup as a new one is verified, loads it into a new database beside the running
    one, C(<dbname>_restoring), and gives that the name in one transaction. Whatever stops the run before, the running
    database is as it was and what was half-restored is dropped, by the next run when this one was killed.
  - At the swap, sessions of the database are ended, idle ones at once, others after a second. Who connects meanwhile
    waits, and gets the restored database; that takes a superuser, else such connections may fail. The database as it
    was stays as C(<dbname>_before_<time>) until somebody drops it.
  - Owner, encoding, locale, tablespace, grants and settings of the restored database are those of the one it replaces.
    Roles that the backup knows and the server does not are made, without a password; others are not touched.
  - Nothing secret is put on a command line, into the result or into the manifest.
requirements:
  - docker >= 5.0 (Python library) and the C(docker) client, for O(container)
  - C(psql), C(pg_dump), C(pg_dumpall), C(pg_restore), in the container or on the host
  - zstandard >= 0.15 (Python library), for O(compression=zstd)
attributes:
  check_mode:
    support: full
    description:
      - Connects, checks the space and says what retention would remove; writes nothing.
      - With O(state=restored), chooses the backup, verifies all of it, and says what would be restored.
  diff_mode:
    support: none
    description: There is nothing to compare a new dump with.
  idempotent:
    support: none
    description: Every run makes a backup, or restores one.
options:
  state:
    description:
      - V(present) makes a new backup.
      - V(restored) restores one. Then only O(dest), O(dbname), O(backup), O(foreign), O(container), the options of the
        connection and O(timeout) count.
    type: str
    choices: [present, restored]
    default: present
  dest:
    description:
      - Folder of the backups. It is made, with mode 0700, when it does not exist. Files in it get mode 0600.
      - One run at a time may write to it.
    type: path
    required: true
  dbname:
    description:
      - Name of the database.
    type: str
    required: true
  backup:
    description:
      - The backup to restore, as the path of its dump, or its name in O(dest), with or without its ending.
      - The default is the newest verified one of the database.
      - A dump without a manifest is not a backup and is refused; so is one of a newer server.
    type: str
  foreign:
    description:
      - Whether a backup of another server, or of another database, may be restored.
    type: bool
    default: false
  container:
    description:
      - The container of the server, on this host's Docker Engine. Without it the host's own client is used.
    type: dict
    suboptions:
      project:
        description:
          - Name of the Compose project.
        type: str
      service:
        description:
          - Name of the service of the Compose project.
        type: str
        default: postgres
      name:
        description:
          - Name of a container, for one that does not belong to a Compose project.
        type: str
  when_absent:
    description:
      - What to do when the container does not exist, as before the first deploy.
      - V(fail) fails.
      - V(skip_if_no_data) skips the backup, unless volumes of the Compose project exist, because they may hold data
        that would not be backed up. Only named volumes can be seen, not folders that are mounted.
      - V(skip) skips the backup in any case, and names the volumes.
      - A container that exists but does not run is always a failure.
    type: str
    choices: [fail, skip_if_no_data, skip]
    default: fail
  login_host:
    description:
      - Host of the server, or the folder of its socket, as seen from where the tools run. The default is the local
        socket.
    type: str
  login_port:
    description:
      - Port of the server.
    type: int
  login_user:
    description:
      - User to connect as. It must be allowed to read every table.
    type: str
  login_password:
    description:
      - Password of O(login_user).
    type: str
  compression:
    description:
      - How the dump is compressed, on the host.
    type: str
    choices: [zstd, gzip, none]
    default: zstd
  compression_level:
    description:
      - V(1) to V(19) with zstd, V(1) to V(9) with gzip. The default is the fastest.
    type: int
  globals:
    description:
      - Whether roles and tablespaces are written beside the dump. Passwords of roles are left out.
    type: bool
    default: true
  verify:
    description:
      - V(archive) reads the whole dump back before it gets its name.
      - V(none) reads no more than its table of contents; such a backup does not count for O(keep_last).
    type: str
    choices: [archive, none]
    default: archive
  keep_last:
    description:
      - How many verified backups of this database are kept. Older ones are removed after the new one is complete.
      - Those made with O(pin) do not count and are never removed; neither is the newest.
    type: int
    default: 7
  keep_labels:
    description:
      - Backups with one of these labels are not removed and do not count, as if they had been made with O(pin).
    type: list
    elements: str
    default: []
  min_size_ratio:
    description:
      - A dump that has less than this part of what the newest verified backup of the same database has, both before
        compression, is a failure and is not published. Data may be gone, and retention would in time remove the backups
        that still have it.
      - V(0) compares nothing; for one run, after data was deleted on purpose.
    type: float
    default: 0.5
  pin:
    description:
      - Whether retention leaves this backup alone.
    type: bool
    default: false
  label:
    description:
      - A word about this backup for its manifest, such as the release it was made for.
    type: str
  timeout:
    description:
      - Seconds that everything together may take.
    type: float
    default: 3600
  lock_timeout:
    description:
      - Seconds to wait for a table that somebody else has locked exclusively.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Back up the database of a Compose project before it changes
  tria.production.pg_backup:
    dest: /opt/tria/backups
    container:
      project: tria
      service: postgres
    dbname: tria_aibpo
    login_user: tria_admin
    login_password: "{{ postgres_password }}"
    label: "{{ release_id }}"
    when_absent: skip_if_no_data

- name: Back up a database of another server, and keep the backup
  tria.production.pg_backup:
    dest: /var/backups/postgresql
    login_host: db.example.com
    login_user: backup
    login_password: "{{ backup_password }}"
    dbname: shop
    pin: true

- name: Restore the newest backup
  tria.production.pg_backup:
    state: restored
    dest: /opt/tria/backups
    container:
      project: tria
    dbname: tria_aibpo
    login_user: tria_admin
    login_password: "{{ postgres_password }}"

- name: Restore a named backup of production into staging
  tria.production.pg_backup:
    state: restored
    dest: /opt/tria/backups
    backup: /srv/from-production/tria_aibpo-20250102T030405Z-3f9a2c.dump.zst
    foreign: true
    container:
      project: tria
    dbname: tria_aibpo
    login_user: tria_admin
    login_password: "{{ postgres_password }}"
"""

RETURN = r"""
backup:
  description: The backup. In check mode, what is known before the dump.
  returned: when a backup was made, or would be
  type: dict
  contains:
    path:
      description: Path of the dump.
      type: str
      sample: /opt/tria/backups/tria_aibpo-20250102T030405Z-3f9a2c.dump.zst
    manifest:
      description: Path of the manifest.
      type: str
      sample: /opt/tria/backups/tria_aibpo-20250102T030405Z-3f9a2c.dump.zst.json
    globals:
      description: Path of the roles and tablespaces.
      type: str
      sample: /opt/tria/backups/tria_aibpo-20250102T030405Z-3f9a2c.globals.sql
    created_at:
      description: When the dump was begun, UTC.
      type: str
      sample: "2025-01-02T03:04:05.678901Z"
    duration_s:
      description: Seconds from start to verified.
      type: float
      sample: 2.61
    dbname:
      description: Name of the database.
      type: str
      sample: tria_aibpo
    size_bytes:
      description: Size of the dump.
      type: int
      sample: 28311552
    sha256:
      description: SHA-256 of the dump.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    compression:
      description: How the dump is compressed.
      type: str
      sample: zstd
    archive_bytes:
      description: Size of the dump before compression.
      type: int
      sample: 348890195
    database_size_bytes:
      description: Size of the database on its server, indexes and system catalogue included.
      type: int
      sample: 457179136
    tables:
      description: Tables in the dump.
      type: int
      sample: 12
    entries:
      description: Entries in the dump's table of contents.
      type: int
      sample: 74
    server_version:
      description: Version of the server.
      type: str
      sample: 15.14 (Debian 15.14-0+deb12u1)
    pg_dump_version:
      description: Version of pg_dump.
      type: str
      sample: 15.14 (Debian 15.14-0+deb12u1)
    verified:
      description: How far the dump was verified.
      type: str
      sample: archive
    label:
      description: The label given.
      type: str
      sample: 20250102T030400Z-1a2b3c
    pinned:
      description: Whether retention leaves it alone.
      type: bool
      sample: false
restored:
  description: What was restored, or would be.
  returned: when O(state=restored) succeeded
  type: dict
  contains:
    path:
      description: Path of the dump.
      type: str
      sample: /opt/tria/backups/tria_aibpo-20250102T030405Z-3f9a2c.dump.zst
    created_at:
      description: When the dump was begun, UTC.
      type: str
      sample: "2025-01-02T03:04:05.678901Z"
    label:
      description: The label of the backup.
      type: str
      sample: 20250102T030400Z-1a2b3c
    dbname:
      description: Name of the database.
      type: str
      sample: tria_aibpo
    before:
      description: Name that the database as it was has now; null when there was none.
      type: str
      sample: tria_aibpo_before_20250102_101112
    roles:
      description: Roles that were made.
      type: list
      elements: str
      sample: []
    tables:
      description: Tables in the dump, and in the restored database.
      type: int
      sample: 12
    entries:
      description: Entries in the dump's table of contents.
      type: int
      sample: 74
    size_bytes:
      description: Size of the dump.
      type: int
      sample: 28311552
    sha256:
      description: SHA-256 of the dump.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    database_size_bytes:
      description: Size of the restored database on its server; not in check mode.
      type: int
      sample: 457179136
    swap_s:
      description: Seconds that the swap took; not in check mode.
      type: float
      sample: 0.31
    duration_s:
      description: Seconds that everything together took.
      type: float
      sample: 7.4
deleted:
  description: Paths of the dumps that retention removed.
  returned: when O(state=present) succeeded
  type: list
  elements: str
  sample: [/opt/tria/backups/tria_aibpo-20241226T030405Z-77b01e.dump.zst]
skipped_reason:
  description: Why no backup was made.
  returned: when the container does not exist and O(when_absent) allows that
  type: str
  sample: "First deploy: service postgres of project tria has no container, so there is no running database to back up."
culprit:
  description: What is at fault.
  returned: failure
  type: str
  sample: /opt/tria/backups
cause:
  description: What was observed.
  returned: failure
  type: str
  sample: has 12.5 MiB free, the backup of database shop in container shop-postgres-1 is expected to take 34.1 MiB.
remedy:
  description: What to do.
  returned: failure
  type: str
  sample: Free disk space, lower keep_last, or choose another dest.
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._backup import engine, restore
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

CONTAINER = dict(
    type="dict",
    options=dict(project=dict(type="str"), service=dict(type="str", default="postgres"), name=dict(type="str")),
    mutually_exclusive=[("project", "name")],
    required_one_of=[("project", "name")],
)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["present", "restored"], default="present"),
            dest=dict(type="path", required=True),
            dbname=dict(type="str", required=True),
            backup=dict(type="str"),
            foreign=dict(type="bool", default=False),
            container=CONTAINER,
            when_absent=dict(type="str", choices=["fail", "skip_if_no_data", "skip"], default="fail"),
            login_host=dict(type="str"),
            login_port=dict(type="int"),
            login_user=dict(type="str"),
            login_password=dict(type="str", no_log=True),
            compression=dict(type="str", choices=["zstd", "gzip", "none"], default="zstd"),
            compression_level=dict(type="int"),
            globals=dict(type="bool", default=True),
            verify=dict(type="str", choices=["archive", "none"], default="archive"),
            keep_last=dict(type="int", default=7),
            keep_labels=dict(type="list", elements="str", default=[]),
            min_size_ratio=dict(type="float", default=0.5),
            pin=dict(type="bool", default=False),
            label=dict(type="str"),
            timeout=dict(type="float", default=3600),
            lock_timeout=dict(type="float", default=30),
        ),
        supports_check_mode=True,
    )
    run = {"present": engine.create, "restored": restore.restore}[module.params["state"]]
    try:
        with _lock.beating():
            result = run(module.params, module.check_mode)
    except (ProductionError, MissingLibrary) as error:
        module.fail_json(**error.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
