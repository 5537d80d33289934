# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Security checks of a stack: its Compose configuration, its containers, its host and its HTTP front.

`rules` names everything that is looked for; `workload` is one shape for a service as declared and a container as it
runs, so that `isolation`, `hardening` and `exposure` look at both with the same code; `compose`, `containers`, `host`
and `front` are the four areas; `observation` turns what they saw into results; `engine` runs them.
All of it only reads.

This package is private to the collection.
"""
