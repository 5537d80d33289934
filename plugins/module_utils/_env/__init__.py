# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files: what Docker Compose reads in them, and whether that is what a schema asks for.

Plain Python without Ansible and without libraries, but for PyYAML where a Compose file is read; private to the
collection. From the bottom up: `interpolation` and `parser` read as Compose does, `writer` writes what it reads back,
`schema` is the vocabulary, `rules` names every finding there is, `urls`, `placeholders`, `values`, `carried` and `relations` look at
values, `sources` reads files, `compose_yaml` and `compose_project` read Compose files into `compose_model`, `effective`
says what each service gets, `inputs` understands the options, `engine` puts it together. Nothing in here ever puts a
value, or a part of one, into a finding, a message or an exception.
"""
