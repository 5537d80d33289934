# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes a host from one release to another without a dropped request, and back. Private to the collection.

What is, is read from the Engine; what is wanted, from the release's folder; what is only ours, from small files that
are replaced atomically (`journal.json`, `applied.json`, the files of the edge). So every step can be asked for again:
it does what is missing. Their order keeps the stack serving when a run is killed between any two of them:

- the edge's file names a generation only once that generation is ready;
- containers are told to stop only once the edge has confirmed that it is away from them.
"""
