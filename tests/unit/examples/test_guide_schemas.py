# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guides' environments: their schemas accept what they ask for, and nothing that they print as it is."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from ansible_collections.tria.production.plugins.module_utils._env import engine, schema_file, sources

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"
REFERENCE = yaml.safe_load((EXAMPLES / "tria" / "env.schema.yaml").read_text(encoding="utf-8"))
# where the reference stack knows more, or allows less
STRICTER = {
    "pre-production": {"DATABASE_URL": {"schemes"}, "BHIV_STORAGE_BACKEND": {"choices"}},
    "deployment": {},
}
# as the guides print them
DEPLOYMENT = """
POSTGRES_USER=tria_admin
POSTGRES_PASSWORD=CHANGE_THIS_PASSWORD_123  # \u26a0\ufe0f CHANGE IN PRODUCTION
POSTGRES_DB=tria_aibpo
DATABASE_URL=postgresql://tria_admin:CHANGE_THIS_PASSWORD_123@postgres:5432/tria_aibpo
REDIS_HOST=redis
REDIS_PORT=6379
REDIS_PASSWORD=CHANGE_THIS_REDIS_PASSWORD_456  # \u26a0\ufe0f CHANGE IN PRODUCTION
REDIS_DB=0
OPENAI_API_KEY=sk-your-actual-key-here  # \u26a0\ufe0f REQUIRED
OPENAI_MODEL=gpt-4-turbo-preview
SECRET_KEY=CHANGE_THIS_SECRET_KEY_789  # \u26a0\ufe0f MUST BE 32+ characters
ENVIRONMENT=production
TAX_RATE=0.08
XERO_SALES_ACCOUNT_CODE=200
XERO_TAX_TYPE=OUTPUT2
MAX_QUANTITY_PER_ITEM=10000
MAX_ORDER_TOTAL=100000.00
MAX_LINE_ITEMS=100
MIN_ORDER_TOTAL=0.01
XERO_CLIENT_ID=your_client_id  # Optional
XERO_CLIENT_SECRET=your_secret  # Optional
XERO_TENANT_ID=your_tenant_id  # Optional
XERO_REFRESH_TOKEN=your_token  # Optional
SENTRY_DSN=your_sentry_dsn  # Optional but recommended for production
"""
PRODUCTION = """
DATABASE_URL=postgresql://user:password@host:port/database
JWT_SECRET_KEY=your-super-secure-jwt-secret-key-minimum-32-characters
ENVIRONMENT=production
SENTRY_DSN=https://your-sentry-dsn@sentry.io/project-id
POSTHOG_API_KEY=phc_your_posthog_api_key
POSTHOG_HOST=https://us.posthog.com
BHIV_STORAGE_BACKEND=supabase
SUPABASE_URL=https://your-project.supabase.co
SUPABASE_ANON_KEY=your_supabase_anon_key
MAX_UPLOAD_SIZE_MB=100
ENABLE_RATE_LIMITING=true
"""
DEVELOPMENT = """
DATABASE_URL=sqlite:///./ai_agent.db
JWT_SECRET_KEY=development-jwt-secret-key-for-testing
ENVIRONMENT=development
BHIV_STORAGE_BACKEND=local
"""
SECRET = "q7Wv0xZ31mKe8RtY5bNc2LpD9sFhJ4aG"
REAL = {
    "CHANGE_THIS_PASSWORD_123": "Zu8Kq2mXw7Rt",
    "CHANGE_THIS_REDIS_PASSWORD_456": "h3Vn9LdPz5Qc",
    "sk-your-actual-key-here": "sk-Tq7Wv0xZ31mKe8RtY5bNc",
    "CHANGE_THIS_SECRET_KEY_789": SECRET,
    "your_client_id": "5f0c9d1e",
    "your_secret": "b8A2kXw94LmTq7Wv0xZ",
    "your_tenant_id": "91ce77aa",
    "your_token": "Xr4Pq9VtKs1KmRtY5bNc",
    "your_sentry_dsn": "https://9d1e5f0c@errors.example.org/7",
    "user:password@host:port/database": "shop:Zu8Kq2mXw7Rt@db:5432/shop",
    "your-super-secure-jwt-secret-key-minimum-32-characters": SECRET,
    "your-sentry-dsn@sentry.io/project-id": "9d1e5f0c@errors.example.org/7",
    "phc_your_posthog_api_key": "phc_8RtY5bNc2LpD9sFhKq2mXw7RtZ4Pq9VtKs1Xb",
    "your-project.supabase.co": "qzkfwmxh.supabase.co",
    "your_supabase_anon_key": "h3Vn9LdPz5QcXw94Lm",
}


def schema_of(guide):
    return EXAMPLES / "guides" / f"{guide}.env.schema.yaml"


def findings(guide, text):
    outcome = engine.validate([sources.from_content(text)], schema_file.load_file(str(schema_of(guide))))
    return {(finding.variable, finding.rule.name) for finding in outcome.findings}


@pytest.mark.parametrize(
    ("guide", "text", "untouched"),
    [
        (
            "deployment",
            DEPLOYMENT,
            "POSTGRES_PASSWORD DATABASE_URL REDIS_PASSWORD OPENAI_API_KEY SECRET_KEY XERO_CLIENT_ID XERO_CLIENT_SECRET"
            " XERO_TENANT_ID XERO_REFRESH_TOKEN SENTRY_DSN",
        ),
        (
            "pre-production",
            PRODUCTION,
            "DATABASE_URL JWT_SECRET_KEY SENTRY_DSN POSTHOG_API_KEY SUPABASE_URL SUPABASE_ANON_KEY",
        ),
        ("pre-production", DEVELOPMENT, "JWT_SECRET_KEY"),
    ],
)
def test_what_a_guide_prints_is_refused_where_it_must_be_changed_and_only_there(guide, text, untouched):
    assert {variable for variable, _rule in findings(guide, text)} == set(untouched.split())


@pytest.mark.parametrize(("guide", "text"), [("deployment", DEPLOYMENT), ("pre-production", PRODUCTION)])
def test_with_values_of_ones_own_it_is_good(guide, text):
    for placeholder, real in REAL.items():
        text = text.replace(placeholder, real)
    # behind a secret, even a comment is worth a warning
    assert findings(guide, re.sub("  # .*", "", text)) == set()


@pytest.mark.parametrize("guide", STRICTER)
def test_the_reference_stack_says_the_same_of_each_variable(guide):
    raw = yaml.safe_load(schema_of(guide).read_text(encoding="utf-8"))
    for name, rules in raw["variables"].items():
        ignored = {"description", *STRICTER[guide].get(name, ())}
        both = [
            {key: value for key, value in each.items() if key not in ignored}
            for each in (rules, REFERENCE["variables"][name])
        ]
        assert both[0] == both[1], name
    for relation in ("required_together", "required_if", "consistent"):
        assert [group for group in raw.get(relation, []) if group not in REFERENCE[relation]] == []
