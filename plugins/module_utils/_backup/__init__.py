# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine of `pg_backup`. Private to the collection.

`engine` orders the steps of a backup, `restore` those of a restore, `guard` is what both begin and end with. `source`
is where PostgreSQL's own tools run, `process` runs them; `archive` writes and reads the dump, `reading` holds it against
pg_restore; `folder` is the destination: lock, partial files, publication; `manifest` is the commit record of a backup;
`retention` says which backups are no longer kept, `shrinkage` which new one is suspiciously small. `choice` says which one is restored; `databases` makes, swaps and
drops databases, `roles` finds the roles that are missing.
"""
