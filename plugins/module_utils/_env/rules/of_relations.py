# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What variables must be together. Private to the collection."""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils._env.rules._rule import ERROR, Rule

TITLE = "What variables must be together"
RULES = (
    Rule(
        "ENV101",
        "required_together",
        ERROR,
        "not set, though others of its group are",
        "Set all of the group, or none.",
        "schema: required_together: [[XERO_CLIENT_ID, XERO_CLIENT_SECRET]]\nfile:   XERO_CLIENT_ID=5f0c",
    ),
    Rule(
        "ENV102",
        "required_one_of",
        ERROR,
        "none of the group is set",
        "Set at least one of them.",
        "schema: required_one_of: [[SENTRY_DSN, OTLP_ENDPOINT]]\nfile:   (neither)",
    ),
    Rule(
        "ENV103",
        "mutually_exclusive",
        ERROR,
        "set together with one that excludes it",
        "Keep one of them.",
        "schema: mutually_exclusive: [[REDIS_URL, REDIS_HOST]]\nfile:   both",
    ),
    Rule(
        "ENV104",
        "required_if",
        ERROR,
        "not set, though another variable's value requires it",
        "Set it, or change the other variable.",
        "schema: required_if: [[ENVIRONMENT, production, [SENTRY_DSN]]]\nfile:   ENVIRONMENT=production",
    ),
    Rule(
        "ENV105",
        "consistent",
        ERROR,
        "differs from the URL it is a part of",
        "Make both the same; in the URL percent-encoded.",
        "schema: consistent: [{url: DATABASE_URL, user: POSTGRES_USER}]\n"
        "file:   DATABASE_URL=postgresql://app@db/shop\n        POSTGRES_USER=admin",
    ),
    Rule(
        "ENV106",
        "shared_secret",
        ERROR,
        "has the same value as another secret",
        "Generate a secret of its own: openssl rand -hex 32",
        "file:   SECRET_KEY and JWT_SECRET_KEY with one value",
    ),
    Rule(
        "ENV107",
        "required_by",
        ERROR,
        "not set, though another variable that is set requires it",
        "Set it, or remove the other variable.",
        "schema: required_by: {SMTP_USER: [SMTP_PASSWORD]}\nfile:   SMTP_USER=shop",
    ),
)
