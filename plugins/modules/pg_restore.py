#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores a verified PostgreSQL backup beside the running database, and swaps the two."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore
short_description: Restore a PostgreSQL backup beside the running database, then swap the two
version_added: "0.1.0"
description:
  - Verifies a backup of M(tria.production.pg_backup) as a new one is verified, loads it into a new database beside the
    running one, C(<dbname>_restoring), and gives that the name in one transaction. Whatever stops the run before, the
    running database is as it was and what was half-restored is dropped, by the next run when this one was killed.
  - Of a backup that was verified by restoring it, every table is compared with the manifest before the swap.
  - At the swap, sessions of the database are ended, idle ones at once, others after a second. Who connects meanwhile
    waits, and gets the restored database; that takes a superuser, else such connections may fail. The database as it
    was stays as C(<dbname>_before_<time>), see O(keep_before).
  - Owner, encoding, locale, tablespace, grants and settings of the restored database are those of the one it replaces.
    Roles that the backup knows and the server does not are made, without a password; others are not touched.
  - The format is that of the backup.
  - Nothing secret is put on a command line or into the result.
extends_documentation_fragment:
  - tria.production.postgresql
attributes:
  check_mode:
    support: full
    description:
      - Chooses the backup, verifies all of it, and says what would be restored. Of one in directory format for a
        O(container), it compares the checksums, and copies nothing into the container.
  diff_mode:
    support: none
    description: The database as it was stays, to be compared with.
  idempotent:
    support: none
    description: Every run restores a backup.
options:
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
  age_identity_file:
    description:
      - File on the host with an age identity or an SSH key, without a passphrase, that decrypts the backup to restore.
    type: path
seealso:
  - module: tria.production.pg_backup
"""

EXAMPLES = r"""
- name: Restore the newest backup
  tria.production.pg_restore:
    dest: /opt/tria/backups
    container:
      project: tria
    dbname: tria_aibpo
    login_user: tria_admin
    login_password: "{{ postgres_password }}"

- name: Restore a named backup of production into staging
  tria.production.pg_restore:
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
restored:
  description: What was restored, or would be.
  returned: success
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
dropped:
  description: Databases that earlier restores had kept, and that were dropped or would be; see O(keep_before).
  returned: success
  type: list
  elements: str
  sample: [tria_aibpo_before_20241220_101112]
culprit:
  description: What is at fault.
  returned: failure
  type: str
  sample: database tria_aibpo in container tria-postgres-1
cause:
  description: What was observed.
  returned: failure
  type: str
  sample: >-
    /var/lib/postgresql/data has 512.0 MiB free, to restore is expected to take 933.1 MiB there. Nothing was changed.
remedy:
  description: What to do.
  returned: failure
  type: str
  sample: Free disk space where the server keeps its files.
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._backup import restore, spec
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            spec.COMMON,
            backup=dict(type="str"),
            foreign=dict(type="bool", default=False),
            age_identity_file=dict(type="path"),
        ),
        supports_check_mode=True,
    )
    try:
        with _lock.beating():
            result = restore.restore(module.params, module.check_mode)
    except (ProductionError, MissingLibrary) as error:
        module.fail_json(**error.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
