# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files: what Docker Compose reads in them, and whether that is what a schema asks for.

Plain Python without Ansible and without libraries, but for PyYAML where YAML is read; private to the collection. From the
bottom up:

- `interpolation` and `parser` read as Compose does, `raw` its other format; `writer` writes what is read back; `sources`
  reads files.
- `kinds` are the types of values, `vocabulary` the words of a schema, `schema` checks one, which `schema_file` reads.
- `rules` has every finding there is; `names` says which names may be shown.
- `urls`, `placeholders`, `secrets`, `vendors`, `carried` and `values` look at one value, `relations` at several;
  `known_values` are those of example files, `custody` is about who else has a file.
- `compose_yaml` and `compose_project` read Compose files into `compose_model`; `effective` says what each service gets.
- `inputs` understands the options of the module, `engine` puts it together, `outcome` is what was found; `example` is
  the file that shows an environment without its secrets.

Nothing in here ever puts a value, or a part of one, into a finding, a message or an exception.
"""
