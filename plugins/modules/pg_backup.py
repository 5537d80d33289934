#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a verified, crash-safe PostgreSQL backup, and applies retention; restores one; makes them on a schedule."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup
short_description: Make a verified, crash-safe PostgreSQL backup, now or on a schedule, or restore one
version_added: "0.1.0"
author: tria.production contributors (@tria-production)
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
  - With O(state=restored), verifies a backup as a new one is verified, loads it into a new database beside the running
    one, C(<dbname>_restoring), and gives that the name in one transaction. Whatever stops the run before, the running
    database is as it was and what was half-restored is dropped, by the next run when this one was killed.
  - At the swap, sessions of the database are ended, idle ones at once, others after a second. Who connects meanwhile
    waits, and gets the restored database; that takes a superuser, else such connections may fail. The database as it
    was stays as C(<dbname>_before_<time>), see O(keep_before).
  - Owner, encoding, locale, tablespace, grants and settings of the restored database are those of the one it replaces.
    Roles that the backup knows and the server does not are made, without a password; others are not touched.
  - With O(age_recipients), dump and roles are encrypted with age as they are written; nothing unencrypted of them is
    ever on the disk; what O(verify=restore) restores is for a while, as the database itself is. They are encrypted to a
    key pair of the run besides, with which everything is decrypted again from the disk and verified; it is in memory
    only, and ends with the run.
  - With O(copies), a complete backup is uploaded, and counts there only after all of it was downloaded again and has
    the checksums of its manifest.
  - With O(state=scheduled), the host makes such backups by itself, without Ansible. A program of this module's code,
    run by the same Python, gets all other options, in a file with mode 0600; a timer of systemd starts it, or cron
    where there is no systemd. While another backup or a restore is at work in O(dest), it waits.
  - The schedule is told as the fact C(ansible_local.<name>_backup), worked out whenever it is asked for, with the keys
    of RV(schedule), and after each run as metrics for node_exporter. A failed run is a failed unit, with its error in
    the journal. Targets of kind C(backup) of M(tria.production.service_health) tell when the newest backup is too old.
  - Nothing secret is put on a command line, into the result or into the manifest.
requirements:
  - docker >= 5.0 (Python library) and the C(docker) client, for O(container)
  - C(sh), C(tee), C(sha256sum), C(wc) in the container; C(initdb) and C(postgres), too, for O(verify=restore)
  - PostgreSQL >= 11, for O(verify=restore)
  - C(psql), C(pg_dump), C(pg_dumpall), C(pg_restore), in the container or on the host
  - zstandard >= 0.15 (Python library), for O(compression=zstd)
  - C(age) and C(age-keygen) >= 1.0, for O(age_recipients) and backups made with it
  - C(rclone) >= 1.53 or C(restic) >= 0.12, for O(copies)
attributes:
  check_mode:
    support: full
    description:
      - Connects, checks the space and says what retention would remove; writes nothing.
      - With O(state=restored), chooses the backup, verifies all of it, and says what would be restored. Of one in
        directory format for a O(container), it compares the checksums, and copies nothing into the container.
      - With O(state=scheduled) and O(state=unscheduled), says which files would be written or removed.
  diff_mode:
    support: none
    description: There is nothing to compare a new dump with.
  idempotent:
    support: partial
    description: Every run makes a backup, or restores one. A schedule that is as it should be is left alone.
options:
  state:
    description:
      - V(present) makes a new backup.
      - V(restored) restores one. Then only O(dest), O(dbname), O(backup), O(foreign), O(age_identity_file), O(jobs),
        O(keep_before), O(container), the options of the connection and O(timeout) count.
      - V(scheduled) has the host make them on O(schedule), with all other options. Only root can do that.
      - V(unscheduled) has no schedule of the name O(schedule.name). Backups stay.
    type: str
    choices: [present, restored, scheduled, unscheduled]
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
  schedule:
    description:
      - The schedule, for O(state=scheduled) and O(state=unscheduled).
    type: dict
    suboptions:
      name:
        description:
          - Name of the schedule. The units, or the entry in C(/etc/cron.d), are called C(tria-backup-<name>).
        type: str
        required: true
      calendar:
        description:
          - When, as C(OnCalendar) of a timer, for a host with systemd. A run that was missed, because the host was off,
            is made up for.
        type: str
      cron:
        description:
          - When, as the five fields of a crontab, for a host without systemd.
        type: str
      delay:
        description:
          - Seconds by which a timer delays each run at most, at random, so that many hosts do not begin at once.
        type: int
        default: 300
      metrics:
        description:
          - Folder of node_exporter's textfile collector, for C(tria_backup_<name>.prom). It is made when it does not
            exist. By default no metrics are written.
        type: path
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
      scratch:
        description:
          - Folder in the container where O(format=directory) has room for a dump, from which it is copied, or into
            which one is copied to be restored. What is written there is always removed.
        type: path
        default: /tmp
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
  format:
    description:
      - V(custom) is one file, a stream that is compressed on the host and takes no room anywhere else.
      - V(directory) is a folder of files, C(<name>.dump.d), that several O(jobs) write and restore at once, for large
        databases of more than one large table. C(pg_dump) compresses it itself. In a O(container) it is made in
        O(container.scratch), then copied, and every file is compared by SHA-256 on both sides.
      - With O(state=restored), the format is that of the backup.
      - A large object is a file of its own in it. With O(compression=none), its files have no checksum before they are
        read back for the first time.
    type: str
    choices: [custom, directory]
    default: custom
  jobs:
    description:
      - How many connections dump, or restore, with O(format=directory). The default is the number of processors of the
        host, but not more than 4.
    type: int
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
        Then RV(backup.verified_reason) says so.
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
  keep_before:
    description:
      - For how many days a database that O(state=restored) has replaced stays, as C(<dbname>_before_<time>). Older ones
        are dropped by the next backup or restore; never the newest one, and none that somebody is connected to.
      - Those of a database whose name has more than 40 bytes stay until somebody drops them; their names are cut, and
        could be those of another one.
    type: int
    default: 7
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
  age_recipients:
    description:
      - Public keys, of age or SSH, that dump and roles are encrypted to. Their names end with C(.age) then.
      - Keep the identities elsewhere. Making and verifying a backup needs none of them.
      - The manifest is not encrypted; it holds names, sizes and hashes, and nothing of what is in a row.
      - Not for O(format=directory).
    type: list
    elements: str
    default: []
  age_identity_file:
    description:
      - File on the host with an age identity or an SSH key, without a passphrase, that decrypts the backup to restore.
    type: path
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

- name: Back up every night, without Ansible
  tria.production.pg_backup:
    state: scheduled
    schedule:
      name: shop
      calendar: "*-*-* 03:10:00"
      metrics: /var/lib/prometheus/node-exporter
    dest: /var/backups/postgresql
    login_host: 127.0.0.1
    login_user: backup
    login_password: "{{ backup_password }}"
    dbname: shop

- name: Do not, any more
  tria.production.pg_backup:
    state: unscheduled
    schedule: {name: shop}
    dest: /var/backups/postgresql
    dbname: shop
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
dropped:
  description: Databases that earlier restores had kept, and that were dropped or would be; see O(keep_before).
  returned: success
  type: list
  elements: str
  sample: [tria_aibpo_before_20241220_101112]
copies:
  description: The copies that were made, each with what retention removed there. In check mode, what is known before.
  returned: when O(state=present) made a backup, or would
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
schedule:
  description: What is known of the schedule; empty when there is none, or would be none.
  returned: when O(state=scheduled) or O(state=unscheduled) succeeded
  type: dict
  contains:
    name:
      description: Name of the schedule.
      type: str
      sample: tria
    dbname:
      description: Name of the database.
      type: str
      sample: tria_aibpo
    dest:
      description: Folder of the backups.
      type: str
      sample: /opt/tria/backups
    schedule:
      description: When it runs.
      type: str
      sample: "*-*-* 03:10:00"
    next_due:
      description: When the next run is due, UTC; null while one is at work.
      type: str
      sample: "2025-01-03T03:12:24Z"
    last_success:
      description: When the newest verified backup was begun, UTC; whoever made it. Null when there is none.
      type: str
      sample: "2025-01-02T03:04:05.678901Z"
    size_bytes:
      description: Size of its dump.
      type: int
      sample: 28311552
    duration_s:
      description: Seconds that it took, verification included.
      type: float
      sample: 2.61
    verified:
      description: How far it was verified.
      type: str
      sample: archive
    path:
      description: Path of its dump.
      type: str
      sample: /opt/tria/backups/tria_aibpo-20250102T030405Z-3f9a2c.dump.zst
    last_run:
      description: When the last scheduled run ended, UTC; null when there was none, or one is at work.
      type: str
      sample: "2025-01-02T03:04:08.298901Z"
    running_since:
      description: When the run began that is at work, or was killed, UTC; else null.
      type: str
    last_error:
      description: What the last run failed of (C(culprit), C(cause), C(remedy)); null when it did not.
      type: dict
    failures:
      description: Runs that failed since the last one that did not.
      type: int
      sample: 0
files:
  description: Files of the schedule that were written or removed, or would be.
  returned: when O(state=scheduled) or O(state=unscheduled) succeeded
  type: list
  elements: str
  sample: [/etc/systemd/system/tria-backup-shop.timer]
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
from ansible_collections.tria.production.plugins.module_utils._backup import engine, restore, schedule
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

CONTAINER = dict(
    type="dict",
    options=dict(
        project=dict(type="str"),
        service=dict(type="str", default="postgres"),
        name=dict(type="str"),
        scratch=dict(type="path", default="/tmp"),
    ),
    mutually_exclusive=[("project", "name")],
    required_one_of=[("project", "name")],
)
COPIES = dict(
    type="list",
    elements="dict",
    default=[],
    options=dict(
        name=dict(type="str", required=True),
        rclone=dict(type="str"),
        restic=dict(type="str"),
        config=dict(type="path"),
        password_file=dict(type="path", no_log=False),
        env=dict(type="dict"),
        secret_env=dict(type="dict", no_log=True),
    ),
    mutually_exclusive=[("rclone", "restic")],
    required_one_of=[("rclone", "restic")],
)
SCHEDULE = dict(
    type="dict",
    options=dict(
        name=dict(type="str", required=True),
        calendar=dict(type="str"),
        cron=dict(type="str"),
        delay=dict(type="int", default=300),
        metrics=dict(type="path"),
    ),
)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["present", "restored", "scheduled", "unscheduled"], default="present"),
            dest=dict(type="path", required=True),
            dbname=dict(type="str", required=True),
            backup=dict(type="str"),
            foreign=dict(type="bool", default=False),
            schedule=SCHEDULE,
            container=CONTAINER,
            when_absent=dict(type="str", choices=["fail", "skip_if_no_data", "skip"], default="fail"),
            login_host=dict(type="str"),
            login_port=dict(type="int"),
            login_user=dict(type="str"),
            login_password=dict(type="str", no_log=True),
            format=dict(type="str", choices=["custom", "directory"], default="custom"),
            jobs=dict(type="int"),
            compression=dict(type="str", choices=["zstd", "gzip", "none"], default="zstd"),
            compression_level=dict(type="int"),
            globals=dict(type="bool", default=True),
            verify=dict(type="str", choices=["restore", "archive", "none"], default="archive"),
            verify_restore_up_to=dict(type="str"),
            keep_last=dict(type="int", default=7),
            keep_daily=dict(type="int", default=0),
            keep_weekly=dict(type="int", default=0),
            keep_monthly=dict(type="int", default=0),
            keep_min=dict(type="int", default=1),
            keep_labels=dict(type="list", elements="str", default=[]),
            keep_labels_in=dict(type="path"),
            keep_before=dict(type="int", default=7),
            min_size_ratio=dict(type="float", default=0.5),
            pin=dict(type="bool", default=False),
            label=dict(type="str"),
            timeout=dict(type="float", default=3600),
            lock_timeout=dict(type="float", default=30),
            age_recipients=dict(type="list", elements="str", default=[]),
            age_identity_file=dict(type="path"),
            copies=COPIES,
        ),
        required_if=[("state", "scheduled", ["schedule"]), ("state", "unscheduled", ["schedule"])],
        supports_check_mode=True,
    )
    run = {
        "present": engine.create,
        "restored": restore.restore,
        "scheduled": schedule.ensure,
        "unscheduled": schedule.remove,
    }[module.params["state"]]
    try:
        with _lock.beating():
            result = run(module.params, module.check_mode)
    except (ProductionError, MissingLibrary) as error:
        module.fail_json(**error.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
