# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files: what Docker Compose reads in them, and whether that is what a schema asks for.

Plain Python without Ansible and without libraries; private to the collection. From the bottom up: `interpolation` and
`parser` read as Compose does, `writer` writes what it reads back, `schema` is the vocabulary, `rules` names every
finding there is, `urls`, `placeholders`, `secrets`, `vendors`, `values` and `relations` look at values, `sources` and
`known_values` read files, `custody` looks at who else has them, `engine` puts it together. Nothing in here ever
puts a value, or a part of one, into a finding, a message or an exception.
"""
