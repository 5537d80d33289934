# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The example file and the schema. Private to the collection."""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils._env.rules._rule import WARNING, Rule

TITLE = "The example file"
RULES = (
    Rule(
        "ENV013",
        "example_file",
        WARNING,
        "there is no example file",
        "Have it written: example: {path: .env.example, state: present}",
        "example: {path: .env.example}",
    ),
    Rule(
        "ENV014",
        "example_missing",
        WARNING,
        "is in the schema, but not in the example file",
        "Add it to the example file; commented out is good enough.",
        "schema:  REDIS_HOST: {required: true}\nexample: (no REDIS_HOST)",
    ),
    Rule(
        "ENV015",
        "example_unknown",
        WARNING,
        "is in the example file, but not in the schema",
        "Remove it, or add it to the schema.",
        "example: LEFT_OVER=1",
    ),
    Rule(
        "ENV016",
        "example_default",
        WARNING,
        "the example file has another value than the default of the schema",
        "Make both the same.",
        "schema:  REDIS_PORT: {type: port, default: 6379}\nexample: REDIS_PORT=6380",
    ),
    Rule(
        "ENV017",
        "example_secret",
        WARNING,
        "the example file holds what may be a real secret",
        "Replace it by nothing, or by CHANGE_THIS; where others have seen it, replace the secret, too.",
        "schema:  SECRET_KEY: {secret: true}\nexample: SECRET_KEY=9f86d081884c7d659a2feaa0c55ad015",
    ),
)
