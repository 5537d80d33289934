#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has the host make verified PostgreSQL backups by itself, on a schedule."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_schedule
short_description: Have the host make verified PostgreSQL backups on a schedule
version_added: "0.1.0"
description:
  - The host makes the backups of M(tria.production.pg_backup) by itself, without Ansible. A program of this module's
    code, run by the same Python, gets all options of the backup, in a file with mode 0600; a timer of systemd starts
    it, or cron where there is no systemd. While another backup or a restore is at work in O(dest), it waits.
  - The schedule is told as the fact C(ansible_local.<name>_backup), worked out whenever it is asked for, with the keys
    of RV(schedule), and after each run as metrics for node_exporter. A failed run is a failed unit, with its error in
    the journal. Targets of kind C(backup) of M(tria.production.service_health) tell when the newest backup is too old.
  - Only root can do that. Nothing secret is put on a command line, into the result or into another file than that one.
extends_documentation_fragment:
  - tria.production.postgresql
  - tria.production.backup
attributes:
  check_mode:
    support: full
    description: Says which files would be written or removed.
  diff_mode:
    support: none
    description: RV(files) names them; what is in them is the module's own, and may be a password.
  idempotent:
    support: full
    description: A schedule that is as it should be is left alone.
options:
  state:
    description:
      - V(present) has the host make backups.
      - V(absent) has no schedule of that O(name), whatever the other options say. Backups stay.
    type: str
    choices: [present, absent]
    default: present
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
  dest:
    description:
      - Folder of the backups. It is made, with mode 0700, when it does not exist. Files in it get mode 0600.
      - One run at a time may write to it.
      - Required for O(state=present).
    required: false
  dbname:
    description:
      - Name of the database.
      - Required for O(state=present).
    required: false
seealso:
  - module: tria.production.pg_backup
"""

EXAMPLES = r"""
- name: Back up every night, without Ansible
  tria.production.pg_backup_schedule:
    name: shop
    calendar: "*-*-* 03:10:00"
    metrics: /var/lib/prometheus/node-exporter
    dest: /var/backups/postgresql
    login_host: 127.0.0.1
    login_user: backup
    login_password: "{{ backup_password }}"
    dbname: shop

- name: Do not, any more
  tria.production.pg_backup_schedule:
    name: shop
    state: absent
"""

RETURN = r"""
schedule:
  description: What is known of the schedule; empty when there is none, or would be none.
  returned: success
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
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/tria-backup-shop.timer]
culprit:
  description: What is at fault.
  returned: failure
  type: str
  sample: calendar
cause:
  description: What was observed.
  returned: failure
  type: str
  sample: is not set, and this host has systemd.
remedy:
  description: What to do.
  returned: failure
  type: str
  sample: Set calendar.
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tria.production.plugins.module_utils import _lock
from ansible_collections.tria.production.plugins.module_utils._backup import schedule, spec
from ansible_collections.tria.production.plugins.module_utils._deps import MissingLibrary
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            spec.MAKING,
            state=dict(type="str", choices=["present", "absent"], default="present"),
            name=dict(type="str", required=True),
            calendar=dict(type="str"),
            cron=dict(type="str"),
            delay=dict(type="int", default=300),
            metrics=dict(type="path"),
            dest=dict(type="path"),
            dbname=dict(type="str"),
        ),
        required_if=[("state", "present", ["dest", "dbname"])],
        supports_check_mode=True,
    )
    params, check_mode = module.params, module.check_mode
    try:
        with _lock.beating():
            if params["state"] == "present":
                result = schedule.ensure(params, check_mode)
            else:
                result = schedule.remove(params["name"], check_mode)
    except (ProductionError, MissingLibrary) as error:
        module.fail_json(**error.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
