# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a variable must be. Private to the collection."""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils._env.rules._rule import ERROR, WARNING, Rule

TITLE = "What a variable must be"
RULES = (
    Rule(
        "ENV001",
        "required",
        ERROR,
        "not set",
        "Set it.",
        "schema: REDIS_HOST: {required: true}\nfile:   (no REDIS_HOST)",
    ),
    Rule(
        "ENV002",
        "empty",
        ERROR,
        "set, but empty or blank",
        "Give it a value, or say allow_empty in the schema.",
        "schema: REDIS_HOST: {required: true}\nfile:   REDIS_HOST=",
    ),
    Rule(
        "ENV003",
        "type",
        ERROR,
        "not of its type",
        "Write a value of the type that the schema asks for.",
        "schema: REDIS_PORT: {type: int}\nfile:   REDIS_PORT=default",
    ),
    Rule(
        "ENV004",
        "url",
        ERROR,
        "not a complete URL",
        "Write scheme://user:password@host:port/path, with @ : / ? # % in user and password percent-encoded.",
        "schema: DATABASE_URL: {type: url}\nfile:   DATABASE_URL=postgresql://postgres",
    ),
    Rule(
        "ENV005",
        "schemes",
        ERROR,
        "the URL has another scheme than allowed",
        "Use one of the schemes of the schema.",
        "schema: DATABASE_URL: {type: url, schemes: [postgresql]}\nfile:   DATABASE_URL=mysql://db/shop",
    ),
    Rule(
        "ENV006",
        "pattern",
        ERROR,
        "does not match its pattern",
        "Write it in the form that the schema's pattern asks for.",
        "schema: OPENAI_API_KEY: {pattern: '^sk-'}\nfile:   OPENAI_API_KEY=pk-1",
    ),
    Rule(
        "ENV007",
        "min_length",
        ERROR,
        "too short",
        "Generate a longer one: openssl rand -hex 32",
        "schema: SECRET_KEY: {min_length: 32}\nfile:   SECRET_KEY=tooshort",
    ),
    Rule(
        "ENV008",
        "max_length",
        ERROR,
        "too long",
        "Shorten it.",
        "schema: POSTGRES_DB: {max_length: 63}\nfile:   POSTGRES_DB=(64 characters)",
    ),
    Rule(
        "ENV009",
        "choices",
        ERROR,
        "not one of the allowed values",
        "Use one of them.",
        "schema: ENVIRONMENT: {choices: [staging, production]}\nfile:   ENVIRONMENT=prod",
    ),
    Rule(
        "ENV010",
        "range",
        ERROR,
        "out of range",
        "Write a value within the bounds.",
        "schema: TAX_RATE: {type: float, min: 0.0, max: 1.0}\n        TIMEOUT: {type: duration, max: 5m}\n"
        "file:   TAX_RATE=8\n        TIMEOUT=1h",
    ),
    Rule(
        "ENV011",
        "placeholder",
        ERROR,
        "still holds a placeholder",
        "Put the real value there; a secret comes from: openssl rand -hex 32",
        "file:   SECRET_KEY=CHANGE_THIS_SECRET_KEY_789",
    ),
    Rule(
        "ENV012",
        "deprecated",
        WARNING,
        "is deprecated",
        "Remove it.",
        "schema: DB_URL: {deprecated: since 2.0, replacement: DATABASE_URL}\nfile:   DB_URL=sqlite:///x.db",
    ),
)
