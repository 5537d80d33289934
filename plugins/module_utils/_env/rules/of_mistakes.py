# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is probably a mistake. Private to the collection."""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils._env.rules._rule import WARNING, Rule

TITLE = "What is probably a mistake"
RULES = (
    Rule(
        "ENV301",
        "unknown_variable",
        WARNING,
        "is not in the schema",
        "Remove it, or add it to the schema.",
        "file:   LEFT_OVER=1",
    ),
    Rule(
        "ENV302",
        "near_miss",
        WARNING,
        "is not in the schema, which has a similar name that is not set",
        "Correct the name.",
        "schema: REDIS_HOST: {}\nfile:   REDIS_HOTS=redis",
    ),
    Rule(
        "ENV303",
        "localhost",
        WARNING,
        "points at this container itself",
        "Use the service's name in the Compose file.",
        "schema: DATABASE_URL: {type: url, in_container: true}\nfile:   DATABASE_URL=postgresql://localhost/shop",
    ),
    Rule(
        "ENV304",
        "unescaped",
        WARNING,
        "user or password in the URL hold a character that libraries read differently",
        "Percent-encode @ : / ? # % in user and password.",
        "file:   DATABASE_URL=postgresql://app:p@ss@db/shop",
    ),
)
