# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine of `pg_backup`, `pg_restore` and `pg_backup_schedule`. Private to the collection.

`spec` is the options that they share. `engine` orders the steps of a backup, `restore` those of a restore, `guard` is
what both begin and end with. `source` is where PostgreSQL's own tools run, `process` runs them, `kept` those that wait
for us.

A dump is one file (`custom`), which `archive` writes and reads, `encryption` encrypts on its way to the disk, `reading`
holds against pg_restore, and `transit` compares on its way out of a container; or it is a folder of files
(`directory`), which `tarball` moves out of a container and into it. `snapshot` counts and hashes what a database holds,
`throwaway` is where a dump is restored to be compared with that, `proof` says how far a backup is verified.

`folder` is the destination: lock, partial files, publication; `manifest` is the commit record of a backup; `retention`
says which backups are no longer kept, `before` which of the databases that restores have replaced, `shrinkage` which
new backup is suspiciously small; `copies` takes a backup off the host. `choice` says which one is restored; `databases`
makes, swaps and drops databases, `roles` dumps the roles, and finds those that are missing.

`schedule` installs what makes backups without Ansible: `scheduled`, as the one file that `program` makes of it;
`record` is what is known of its runs, `cron` when one is due.
"""
