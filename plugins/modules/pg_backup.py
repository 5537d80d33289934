#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a verified, crash-safe PostgreSQL backup, and applies retention."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup
short_description: Make a verified, crash-safe PostgreSQL backup
version_added: "0.1.0"
description:
  - Dumps one database with C(pg_dump) in its custom format, or by several jobs in its directory format, of a server in
    a container with the container's own tools, or of a server that the host's own client reaches; compresses it, and
    writes the roles and tablespaces beside it.
  - A dump gets its name only after all of it was read back from the disk, through SHA-256, the decompressor with its
    checksum, and the server's own C(pg_restore). The manifest, C(<dump>.json), is written last; a dump without a
    manifest is not a backup. Whatever stops the run (a full disk, a signal, a stopped server), older backups stay as
    they were.
  - The stream out of a container is counted and hashed inside it, too, and has to be the same on both sides.
  - With O(verify=restore), the dump is made of a snapshot of which every table is counted and hashed meanwhile; then it
    is restored where nobody else is, and has to be the same there. What others write during the dump does not matter.
    For O(container), that place is a throwaway container of the same image without a network, else a throwaway database
    on the same server, which takes the right to create one. It is removed in any case, by the next run when this one
    was killed. Sequences are no part of a snapshot and are not compared, nor are materialized views, which are made
    anew.
  - With O(age_recipients), dump and roles are encrypted with age as they are written; nothing unencrypted of them is
    ever on the disk; what O(verify=restore) restores is for a while, as the database itself is. They are encrypted to a
    key pair of the run besides, with which everything is decrypted again from the disk and verified; it is in memory
    only, and ends with the run.
  - With O(copies), a complete backup is uploaded, and counts there only after all of it was downloaded again and has
    the checksums of its manifest.
  - Nothing secret is put on a command line, into the result or into the manifest.
extends_documentation_fragment:
  - tria.production.postgresql
  - tria.production.backup
attributes:
  check_mode:
    support: full
    description: Connects, checks the space and says what retention would remove; writes nothing.
  diff_mode:
    support: none
    description: There is nothing to compare a new dump with.
  idempotent:
    support: none
    description: Every run makes a backup.
seealso:
  - module: tria.production.pg_restore
  - module: tria.production.pg_backup_schedule
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
    keep_labels_in: /opt/tria/releases
    when_absent: skip_if_no_data

- name: Back up a database every night, and keep a year of it
  tria.production.pg_backup:
    dest: /opt/tria/backups
    container:
      project: tria
    dbname: tria_aibpo
    login_user: tria_admin
    login_password: "{{ postgres_password }}"
    keep_daily: 14
    keep_weekly: 8
    keep_monthly: 12

- name: Back up a large database with four connections
  tria.production.pg_backup:
    dest: /opt/tria/backups
    container:
      project: tria
      scratch: /var/lib/postgresql/scratch
    dbname: tria_aibpo
    login_user: tria_admin
    login_password: "{{ postgres_password }}"
    format: directory
    jobs: 4

- name: Back up a database of another server, and keep the backup
  tria.production.pg_backup:
    dest: /var/backups/postgresql
    login_host: db.example.com
    login_user: backup
    login_password: "{{ backup_password }}"
    dbname: shop
    pin: true

- name: Encrypt the backup, and copy it off the host
  tria.production.pg_backup:
    dest: /opt/tria/backups
    container:
      project: tria
    dbname: tria_aibpo
    login_user: tria_admin
    login_password: "{{ postgres_password }}"
    age_recipients:
      - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    copies:
      - name: storage box
        rclone: box:backups/tria
        config: /etc/rclone/backups.conf
      - name: object store
        restic: s3:https://s3.example.com/tria-backups
        password_file: /etc/restic/password
        env:
          AWS_ACCESS_KEY_ID: tria
        secret_env:
          AWS_SECRET_ACCESS_KEY: "{{ s3_secret_key }}"
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
    format:
      description: Whether that is a file or a folder, V(custom) or V(directory).
      type: str
      sample: custom
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
      description: SHA-256 of the dump; of a folder that of what C(sha256sum *) prints in it.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    plain_sha256:
      description: SHA-256 of the dump before it was encrypted; null when it was not.
      type: str
      sample: null
    age_recipients:
      description: Public keys that the backup is encrypted to.
      type: list
      elements: str
      sample: []
    compression:
      description: How the dump is compressed.
      type: str
      sample: zstd
    archive_bytes:
      description: Size of the dump before compression; null in directory format, which C(pg_dump) compresses.
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
    verified_reason:
      description: Why that is less than O(verify) asks for; null when it is not.
      type: str
      sample: "The database has 5120.0 MiB, more than verify_restore_up_to=2G, so it was not restored."
    label:
      description: The label given.
      type: str
      sample: 20250102T030400Z-1a2b3c
    pinned:
      description: Whether retention leaves it alone.
      type: bool
      sample: false
results:
  description: The backup as one check, for reports; its name says how far the backup was verified.
  returned: when a backup was made
  type: list
  elements: dict
  sample:
    - name: tria_aibpo, verified by restoring it
      category: Backup
      status: pass
deleted:
  description: Paths of the dumps that retention removed.
  returned: success
  type: list
  elements: str
  sample: [/opt/tria/backups/tria_aibpo-20241226T030405Z-77b01e.dump.zst]
dropped:
  description: Databases that earlier restores had kept, and that were dropped or would be; see O(keep_before).
  returned: success
  type: list
  elements: str
  sample: [tria_aibpo_before_20241220_101112]
copies:
  description: The copies that were made, each with what retention removed there. In check mode, what is known before.
  returned: when a backup was made, or would be
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: storage box
    backups:
      description: Complete backups of this database there, the new one included; not of a copy that failed.
      type: int
      sample: 7
    deleted:
      description: Names of the dumps that retention removed there; not of a copy that failed.
      type: list
      elements: str
      sample: [tria_aibpo-20241226T030405Z-77b01e.dump.zst]
    error:
      description: Why it failed.
      type: str
      sample: "rclone copy ended with status 1: connection refused."
    duration_s:
      description: Seconds that it took; not in check mode.
      type: float
      sample: 3.2
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
from ansible_collections.tria.production.plugins.module_utils._backup import engine, spec
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def main() -> None:
    module = AnsibleModule(argument_spec=spec.MAKING, supports_check_mode=True)
    try:
        with _lock.beating():
            result = engine.create(module.params, module.check_mode)
    except (ProductionError, MissingLibrary) as error:
        module.fail_json(**error.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
