# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets that others can guess or already know. Private to the collection."""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils._env.rules._rule import ERROR, WARNING, Rule

TITLE = "Secrets that others guess or know"
_GENERATE = "Generate one: openssl rand -hex 32"
RULES = (
    Rule(
        "ENV305",
        "short_secret",
        WARNING,
        "holds fewer than 16 bytes, once decoded, or than min_length says where that is less",
        "Generate a longer one: openssl rand -hex 32",
        "schema: SECRET_KEY: {secret: true, min_length: 24}\nfile:   SECRET_KEY=(24 hexadecimal digits: 12 bytes)",
    ),
    Rule(
        "ENV306",
        "repeated_secret",
        ERROR,
        "repeats itself",
        _GENERATE,
        "schema: SECRET_KEY: {secret: true}\nfile:   SECRET_KEY=x7Qx7Qx7Qx7Qx7Q",
    ),
    Rule(
        "ENV307",
        "sequential_secret",
        ERROR,
        "is a sequence of neighbouring characters",
        _GENERATE,
        "schema: SECRET_KEY: {secret: true}\nfile:   SECRET_KEY=1qaz2wsx3edc",
    ),
    Rule(
        "ENV308",
        "known_default",
        ERROR,
        "is a default that everybody knows",
        _GENERATE,
        "schema: MINIO_ROOT_PASSWORD: {secret: true}\nfile:   MINIO_ROOT_PASSWORD=minioadmin",
    ),
    Rule(
        "ENV309",
        "example_value",
        ERROR,
        "still has the value of the example file",
        _GENERATE,
        "schema: SECRET_KEY: {secret: true}\nfile:   SECRET_KEY as .env.example beside it has it",
    ),
    Rule(
        "ENV310",
        "vendor_key",
        WARNING,
        "begins as a vendor's keys do, but does not have their form",
        "Copy the whole key again; if it is for another service with the same API, set OPENAI_BASE_URL and its like.",
        "file:   GITHUB_TOKEN=ghp_ (and too few characters after it)",
    ),
    Rule(
        "ENV311",
        "test_key",
        WARNING,
        "is a vendor's key for tests",
        "Use the key for production, or say in ENVIRONMENT that this is none.",
        "file:   ENVIRONMENT=production\n        STRIPE_SECRET_KEY=sk_test_ (and the rest of it)",
    ),
)
