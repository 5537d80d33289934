# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment: every rule broken once, all violations at once, no value in a message."""

from __future__ import annotations

import pytest

from config.settings import EnvironmentInvalid, load_settings

GOOD = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://tria_admin:p%40ss-word-1@postgres:5432/tria_aibpo",
    "REDIS_HOST": "redis",
    "REDIS_PORT": "6379",
    "REDIS_PASSWORD": "redis-password-1",
    "REDIS_DB": "0",
    "OPENAI_API_KEY": "sk-0123456789abcdef",
    "SECRET_KEY": "s" * 32,
    "JWT_SECRET_KEY": "j" * 32,
    "TAX_RATE": "0.08",
}
# Values that are words of the rules themselves.
IN_RULES = ("0", "1", "s3", "supabase")


def test_a_good_environment_is_read() -> None:
    settings = load_settings(GOOD)
    assert settings.tax_rate == 0.08
    assert settings.max_line_items == 100
    assert settings.openai_base_url == "https://api.openai.com/v1"
    assert not settings.xero_configured
    assert (settings.storage_backend, settings.enable_rate_limiting) == ("local", True)
    assert not settings.enable_demo_login


def test_origins_are_a_list() -> None:
    settings = load_settings({**GOOD, "CORS_ORIGINS": "https://a.example.com, http://localhost:3000"})
    assert settings.cors_origins == ("https://a.example.com", "http://localhost:3000")


@pytest.mark.parametrize("name", sorted(GOOD))
def test_every_required_variable_is_missed(name: str) -> None:
    with pytest.raises(EnvironmentInvalid) as caught:
        load_settings({key: value for key, value in GOOD.items() if key != name})
    assert caught.value.violations == [f"{name} is missing or empty"]


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("DATABASE_URL", "mysql://u:p@host/db", "must be a URL of the form postgresql://..."),
        ("DATABASE_URL", "postgresql://u:p@host:port/db", "must be a URL of the form postgresql://..."),
        ("DATABASE_URL", "postgresql://host/db", "must have the form postgresql://user:password@host:port/database"),
        ("DATABASE_URL", "postgresql://u:p@host:5432", "must have the form"),
        ("DATABASE_URL", "postgresql://u:CHANGE_THIS_PASSWORD_123@host/db", "still holds a placeholder"),
        ("REDIS_PORT", "0", "must be between 1 and 65535"),
        ("REDIS_PORT", "redis", "must be a whole number"),
        ("REDIS_PASSWORD", "CHANGE_THIS_REDIS_PASSWORD_456", "still holds a placeholder"),
        ("OPENAI_API_KEY", "pk-123", "must start with sk-"),
        ("OPENAI_API_KEY", "sk-your-actual-key-here", "still holds a placeholder"),
        ("SECRET_KEY", "s" * 31, "must be at least 32 characters long"),
        ("JWT_SECRET_KEY", "j" * 31, "must be at least 32 characters long"),
        ("ENVIRONMENT", "live", "must be one of development, staging, production"),
        ("TAX_RATE", "1.01", "must be between 0 and 1"),
        ("TAX_RATE", "nan", "must be between 0 and 1"),
        ("TAX_RATE", "8%", "must be a number"),
        ("MAX_LINE_ITEMS", "1.5", "must be a whole number"),
        ("MIN_ORDER_TOTAL", "100001", "must not be greater than MAX_ORDER_TOTAL"),
        ("XERO_CLIENT_ID", "id", "must be set too"),
        ("SENTRY_DSN", "your_sentry_dsn", "must be a URL of the form"),
        ("SENTRY_DSN", "https://sentry.example.com/1", "must be a URL of the form https://key@host/project"),
        ("POSTHOG_API_KEY", "phc_your_posthog_api_key", "still holds a placeholder"),
        ("POSTHOG_HOST", "us.posthog.com", "must be a URL of the form"),
        ("CORS_ORIGINS", "*", "must be origins like https://shop.example.com"),
        ("CORS_ORIGINS", "https://shop.example.com,null", "must be origins like https://shop.example.com"),
        ("CORS_ORIGINS", "https://shop.example.com/", "must be origins like https://shop.example.com"),
        ("ENABLE_RATE_LIMITING", "maybe", "must be one of true, false"),
        ("ENABLE_DEMO_LOGIN", "1", "must be one of true, false"),
        ("RATE_LIMIT_PER_MINUTE", "0", "must be between 1 and 1e+06"),
        ("ACCESS_TOKEN_MINUTES", "1441", "must be between 1 and 1440"),
        ("MAX_UPLOAD_SIZE_MB", "101", "must be between 1 and 100"),
        ("BHIV_STORAGE_BACKEND", "ftp", "must be one of local, s3, supabase"),
        ("BHIV_STORAGE_BACKEND", "s3", "S3_SECRET_ACCESS_KEY is needed by"),
        ("BHIV_STORAGE_BACKEND", "supabase", "SUPABASE_ANON_KEY is needed by"),
        ("S3_BUCKET", "../up", "must be a bucket's name"),
        ("CHROMA_URL", "chromadb:8000", "must be a URL of the form"),
    ],
)
def test_every_rule_finds_its_violation(name: str, value: str, rule: str) -> None:
    with pytest.raises(EnvironmentInvalid) as caught:
        load_settings({**GOOD, name: value})
    assert any(rule in violation for violation in caught.value.violations)
    assert value not in str(caught.value) or value in IN_RULES


def test_all_violations_are_reported_at_once() -> None:
    with pytest.raises(EnvironmentInvalid) as caught:
        load_settings({"TAX_RATE": "2"})
    assert len(caught.value.violations) == len(GOOD)


def test_secrets_show_nowhere() -> None:
    settings = load_settings(GOOD)
    for secret in ("p%40ss-word-1", "redis-password-1", "sk-0123456789abcdef", "s" * 32, "j" * 32):
        assert secret not in repr(settings)
        assert secret not in repr(settings.public())
        assert any(secret in known for known in settings.secrets())
