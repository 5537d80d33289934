# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the Compose files make of the environment. Private to the collection."""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils._env.rules._rule import ERROR, WARNING, Rule

TITLE = "What the Compose files make of it"
RULES = (
    Rule(
        "ENV220",
        "compose_syntax",
        ERROR,
        "Docker Compose refuses the Compose file here",
        "Correct it; docker compose config shows whether it can be read.",
        "compose: services: {web: {environment: {HOSTS: [a, b]}}}",
    ),
    Rule(
        "ENV221",
        "compose_reference",
        ERROR,
        "Docker Compose refuses a reference in the Compose file",
        "Set the variable in the env file, or write $$ for a dollar sign.",
        "compose: image: shop:${IMAGE_TAG:?}\nfile:    (no IMAGE_TAG)",
    ),
    Rule(
        "ENV222",
        "compose_unset",
        WARNING,
        "the Compose file refers to it, it is set nowhere and has no default: Compose puts nothing in its place",
        "Set it in the env file, or give it a default: ${NAME:-default}",
        "compose: image: shop:${IMAGE_TAG}\nfile:    (no IMAGE_TAG)",
    ),
    Rule(
        "ENV223",
        "compose_dollar",
        WARNING,
        "a $ in the Compose file is read as a reference to a variable that is not set, and becomes nothing",
        "Write $$ for a dollar sign.",
        "compose: environment: {PASSWORD: pa$word}",
    ),
    Rule(
        "ENV224",
        "unused_key",
        WARNING,
        "no service gets it, and the Compose files do not refer to it",
        "Hand it to the service that needs it, or remove it.",
        "compose: environment: {REDIS_HOST: redis}\nfile:    REDIS_HOST=localhost",
    ),
    Rule(
        "ENV225",
        "env_file_missing",
        ERROR,
        "the env_file of a service does not exist",
        "Create it, correct the path, or say required: false.",
        "compose: env_file: app.env",
    ),
    Rule(
        "ENV226",
        "inline_override",
        WARNING,
        "the value in environment wins over that of the env file",
        "Keep one of them.",
        "compose: {env_file: app.env, environment: {REDIS_HOST: redis}}\napp.env: REDIS_HOST=localhost",
    ),
)
