# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of every module that makes backups, or has them made; C(tria.production.postgresql) has the others."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment C(tria.production.backup)."""

    DOCUMENTATION = r"""
requirements:
  - C(pg_dump) and C(pg_dumpall), in the container or on the host
  - PostgreSQL >= 11, with C(initdb) and C(postgres) in the container, for O(verify=restore)
  - C(rclone) >= 1.53 or C(restic) >= 0.12, for O(copies)
options:
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
  format:
    description:
      - V(custom) is one file, a stream that is compressed on the host and takes no room anywhere else.
      - V(directory) is a folder of files, C(<name>.dump.d), that several O(jobs) write and restore at once, for large
        databases of more than one large table. C(pg_dump) compresses it itself. In a O(container) it is made in
        O(container.scratch), then copied, and every file is compared by SHA-256 on both sides.
      - A large object is a file of its own in it. With O(compression=none), its files have no checksum before they are
        read back for the first time.
    type: str
    choices: [custom, directory]
    default: custom
  compression:
    description:
      - How the dump is compressed, on the host; with O(format=directory) by C(pg_dump), which takes V(gzip) instead of
        V(zstd) when it is older than version 16.
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
      - V(restore) restores the dump before it gets its name, and compares every table with the snapshot that was
        dumped.
      - V(archive) reads the whole dump back before it gets its name.
      - V(none) reads no more than its table of contents; such a backup does not count for O(keep_last).
    type: str
    choices: [restore, archive, none]
    default: archive
  verify_restore_up_to:
    description:
      - Size of a database, such as V(2G), above which V(archive) takes the place of V(restore) for O(verify).
        Then RV(tria.production.pg_backup#module:backup.verified_reason) says so.
      - The default is no limit.
    type: str
  keep_last:
    description:
      - How many verified backups of this database are kept, the newest ones. What neither this nor one of the other
        rules keeps is removed after the new one is complete.
      - Those made with O(pin) do not count and are never removed; neither is the newest.
    type: int
    default: 7
  keep_daily:
    description:
      - Of how many days (UTC) the newest verified backup is kept besides. Only days that have one count, so a missed
        day costs none of the older ones.
    type: int
    default: 0
  keep_weekly:
    description:
      - As O(keep_daily), of weeks (ISO 8601).
    type: int
    default: 0
  keep_monthly:
    description:
      - As O(keep_daily), of months.
    type: int
    default: 0
  keep_min:
    description:
      - Never leave fewer verified backups than that, whatever the other rules say.
    type: int
    default: 1
  keep_labels:
    description:
      - Backups with one of these labels are not removed and do not count, as if they had been made with O(pin).
    type: list
    elements: str
    default: []
  keep_labels_in:
    description:
      - Folder whose entries are such labels. A backup that is labelled with a release is kept while the folder of that
        release is there.
    type: path
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
  lock_timeout:
    description:
      - Seconds to wait for a table that somebody else has locked exclusively.
    type: float
    default: 30
  age_recipients:
    description:
      - Public keys, of age or SSH, that dump and roles are encrypted to. Their names end with C(.age) then.
      - Keep the identities elsewhere. Making and verifying a backup needs none of them.
      - The manifest is not encrypted; it holds names, sizes and hashes, and nothing of what is in a row.
      - Not for O(format=directory).
    type: list
    elements: str
    default: []
  copies:
    description:
      - Places off the host that the backup is copied to, each a folder or repository for this O(dest) alone.
      - Retention is applied there as it is here, to the backups of this database that are complete there. What uploads
        that were killed left with rclone is removed when it is a day old.
      - When one of them fails, what was uploaded of it is removed, the others are made, and then the module fails. The
        backup on this host is complete then.
      - In check mode they are connected to, and what retention would remove there is told.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - What it is called in results and errors.
        type: str
        required: true
      rclone:
        description:
          - A folder of a remote of the configuration, as C(remote:path), or one of a mounted share.
          - Connection strings of rclone are refused, because they may hold secrets.
        type: str
      restic:
        description:
          - A repository of restic. It has to be there; C(restic init) makes it.
        type: str
      config:
        description:
          - rclone's configuration file, on the host; restic uses it for repositories that begin with C(rclone:).
        type: path
      password_file:
        description:
          - File on the host with the repository's password.
        type: path
      env:
        description:
          - Environment variables for rclone or restic that may be seen by anybody, such as C(AWS_DEFAULT_REGION).
        type: dict
      secret_env:
        description:
          - Those that may not, such as C(AWS_SECRET_ACCESS_KEY) or C(RCLONE_CONFIG_PASS). Wherever such a value is in
            the result it is masked, so nothing short or ordinary belongs here.
        type: dict
"""
