# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases on a host: planned, staged, made current, marked, found again, forgotten. Private to the collection.

`<root>/releases/<id>/` holds a project's files and, of our own:

- `compose.release.yaml`: the last of the Compose files; pins images, tells the generations of rolled services apart;
- `.env` (0600): what Compose interpolates with;
- `rendered.json` (0600): the whole project as Compose understands it;
- `release.json` (0600): the record, written once and never changed;
- `outcome.json` (0600): what became of the release, and when.

`<root>/current` is a link that is switched by rename. `services` reads what a Compose file says about the rollout,
`desired` is what a deploy wants, `staging` writes a folder, `store` reads and marks, `planning` compares, `difference`
shows, `outcome` tells what became of one, `history` looks back, `retention` forgets.
"""
