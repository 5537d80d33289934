# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of the application, read from the environment and validated as a whole.

`load_settings` reports every violation at once, by variable name and rule; a value never appears in a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

XERO_VARIABLES = ("XERO_CLIENT_ID", "XERO_CLIENT_SECRET", "XERO_TENANT_ID", "XERO_REFRESH_TOKEN")
ENVIRONMENTS = ("development", "staging", "production")
STORAGE_BACKENDS = ("local", "s3", "supabase")
# What a backend cannot be used without.
STORAGE_VARIABLES = {
    "s3": ("S3_ENDPOINT_URL", "S3_BUCKET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"),
    "supabase": ("SUPABASE_URL", "SUPABASE_ANON_KEY"),
}
MIN_SECRET_LENGTH = 32
_BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
_BUCKET_RULE = "must be a bucket's name: 3 to 63 of a-z 0-9 . -"
PLACEHOLDER = re.compile(r"change_this|change-this|changeme|your[-_]|^<.*>$|placeholder", re.IGNORECASE)


class EnvironmentInvalid(Exception):
    """The environment breaks at least one rule; `violations` names the variables and the rules."""

    def __init__(self, violations: list[str]) -> None:
        super().__init__("; ".join(violations))
        self.violations = violations


_SECRET = {"secret": True}


@dataclass(frozen=True)
class Settings:
    """Validated configuration. Times are in seconds, money in the shop's currency."""

    environment: str
    database_url: str = field(repr=False, metadata=_SECRET)
    redis_host: str
    redis_port: int
    redis_password: str = field(repr=False, metadata=_SECRET)
    redis_db: int
    openai_api_key: str = field(repr=False, metadata=_SECRET)
    openai_base_url: str
    openai_model: str
    secret_key: str = field(repr=False, metadata=_SECRET)
    jwt_secret_key: str = field(repr=False, metadata=_SECRET)
    tax_rate: float
    max_quantity_per_item: int
    max_order_total: float
    min_order_total: float
    max_line_items: int
    chroma_url: str
    xero_configured: bool
    xero_sales_account_code: str
    xero_tax_type: str
    access_token_minutes: int
    enable_demo_login: bool
    cors_origins: tuple[str, ...]
    enable_rate_limiting: bool
    rate_limit_per_minute: int
    rate_limit_login_per_minute: int
    rate_limit_upload_per_minute: int
    max_upload_size_mb: int
    storage_backend: str
    upload_path: str
    s3_endpoint_url: str
    s3_region: str
    s3_bucket: str
    s3_access_key_id: str = field(repr=False, metadata=_SECRET)
    s3_secret_access_key: str = field(repr=False, metadata=_SECRET)
    supabase_url: str
    supabase_anon_key: str = field(repr=False, metadata=_SECRET)
    supabase_bucket: str
    sentry_dsn: str = field(repr=False, metadata=_SECRET)
    posthog_api_key: str = field(repr=False, metadata=_SECRET)
    posthog_host: str
    port: int
    database_pool_size: int
    startup_timeout: float
    shutdown_timeout: float
    shutdown_drain: float
    openai_timeout: float
    openai_check_interval: float
    idempotency_ttl: int

    def secrets(self) -> list[str]:
        """Every value that must not appear in a log line or an answer, the database password among them."""
        values = [getattr(self, item.name) for item in fields(self) if item.metadata.get("secret")]
        values.append(urlsplit(self.database_url).password or "")
        return [value for value in values if value]

    def public(self) -> dict[str, Any]:
        """What diagnostics may show: plain values as they are, secrets as whether they are set."""
        shown: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            shown[item.name] = {"set": bool(value)} if item.metadata.get("secret") else value
        return shown


class _Reader:
    """Reads variables one by one and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.violations: list[str] = []

    def reject(self, name: str, rule: str) -> None:
        self.violations.append(f"{name} {rule}")

    def text(self, name: str, default: str | None = None, *, choices: tuple[str, ...] = (), min_length: int = 0,
             pattern: str = "", rule: str = "") -> str:
        """The value of `name`, or `default`; without a default the variable is required."""
        value = self.environ.get(name, "").strip()
        if not value:
            if default is None:
                self.reject(name, "is missing or empty")
            return default or ""
        if choices and value not in choices:
            self.reject(name, "must be one of " + ", ".join(choices))
        if len(value) < min_length:
            self.reject(name, f"must be at least {min_length} characters long")
        if pattern and not re.search(pattern, value):
            self.reject(name, rule)
        return value

    def secret(self, name: str, default: str | None = None, **rules: Any) -> str:
        value = self.text(name, default, **rules)
        if PLACEHOLDER.search(value):
            self.reject(name, "still holds a placeholder")
        return value

    def number(self, name: str, kind: type[int] | type[float], default: str | None, low: float, high: float) -> Any:
        """The value as `kind` (int or float) within low..high, both included."""
        text = self.text(name, default)
        try:
            value = kind(text) if text else kind(low)
        except ValueError:
            self.reject(name, "must be a whole number" if kind is int else "must be a number")
            return kind(low)
        if not low <= value <= high:
            self.reject(name, f"must be between {low:g} and {high:g}")
        return value

    def url(self, name: str, default: str | None, schemes: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if not value:
            return value
        try:
            parts = urlsplit(value)
            usable = bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            parts, usable = None, False
        if parts is None or not usable or parts.scheme not in schemes:
            self.reject(name, "must be a URL of the form " + " or ".join(f"{scheme}://..." for scheme in schemes))
        return value

    def flag(self, name: str, default: str) -> bool:
        return self.text(name, default, choices=("true", "false")) == "true"

    def origins(self, name: str) -> tuple[str, ...]:
        """Origins separated by commas. Neither `*` nor `null` is one: both would let every site in."""
        values = tuple(value.strip() for value in self.text(name, "").split(",") if value.strip())
        if not all(re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?", value) for value in values):
            self.reject(name, "must be origins like https://shop.example.com, separated by commas")
        return values

    def database_url(self, name: str) -> str:
        value = self.url(name, None, ("postgresql",))
        if value and not any(item.startswith(name) for item in self.violations):
            parts = urlsplit(value)
            if not parts.username or len(parts.path) < 2:
                self.reject(name, "must have the form postgresql://user:password@host:port/database")
            if PLACEHOLDER.search(parts.password or ""):
                self.reject(name, "still holds a placeholder")
        return value


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Validate `environ` and return the settings, or raise EnvironmentInvalid with every violation."""
    read = _Reader(environ)
    values = {**_required(read), **_business(read), **_access(read), **_storage(read), **_observability(read),
              **_operation(read)}
    if read.violations:
        raise EnvironmentInvalid(read.violations)
    return Settings(**values)


def _required(read: _Reader) -> dict[str, Any]:
    return {
        "environment": read.text("ENVIRONMENT", choices=ENVIRONMENTS),
        "database_url": read.database_url("DATABASE_URL"),
        "redis_host": read.text("REDIS_HOST"),
        "redis_port": read.number("REDIS_PORT", int, None, 1, 65535),
        "redis_password": read.secret("REDIS_PASSWORD"),
        "redis_db": read.number("REDIS_DB", int, None, 0, 15),
        "openai_api_key": read.secret("OPENAI_API_KEY", pattern=r"^sk-\S+$", rule="must start with sk-"),
        "openai_base_url": read.url("OPENAI_BASE_URL", "https://api.openai.com/v1", ("https", "http")).rstrip("/"),
        "openai_model": read.text("OPENAI_MODEL", "gpt-4-turbo-preview"),
        "secret_key": read.secret("SECRET_KEY", min_length=MIN_SECRET_LENGTH),
        "jwt_secret_key": read.secret("JWT_SECRET_KEY", min_length=MIN_SECRET_LENGTH),
    }


def _business(read: _Reader) -> dict[str, Any]:
    present = [name for name in XERO_VARIABLES if read.environ.get(name, "").strip()]
    if present and len(present) < len(XERO_VARIABLES):
        missing = [name for name in XERO_VARIABLES if name not in present]
        read.reject(", ".join(missing), "must be set too: the Xero variables belong together")
    values = {
        "tax_rate": read.number("TAX_RATE", float, None, 0.0, 1.0),
        "max_quantity_per_item": read.number("MAX_QUANTITY_PER_ITEM", int, "10000", 1, 10**9),
        "max_order_total": read.number("MAX_ORDER_TOTAL", float, "100000.00", 0.0, 1e12),
        "min_order_total": read.number("MIN_ORDER_TOTAL", float, "0.01", 0.0, 1e12),
        "max_line_items": read.number("MAX_LINE_ITEMS", int, "100", 1, 10**6),
        "chroma_url": read.url("CHROMA_URL", "", ("http", "https")).rstrip("/"),
        "xero_configured": bool(present),
        "xero_sales_account_code": read.text("XERO_SALES_ACCOUNT_CODE", "200"),
        "xero_tax_type": read.text("XERO_TAX_TYPE", "OUTPUT2"),
    }
    if values["min_order_total"] > values["max_order_total"]:
        read.reject("MIN_ORDER_TOTAL", "must not be greater than MAX_ORDER_TOTAL")
    return values


def _access(read: _Reader) -> dict[str, Any]:
    return {
        "access_token_minutes": read.number("ACCESS_TOKEN_MINUTES", int, "30", 1, 24 * 60),
        "enable_demo_login": read.flag("ENABLE_DEMO_LOGIN", "false"),
        "cors_origins": read.origins("CORS_ORIGINS"),
        "enable_rate_limiting": read.flag("ENABLE_RATE_LIMITING", "true"),
        "rate_limit_per_minute": read.number("RATE_LIMIT_PER_MINUTE", int, "600", 1, 10**6),
        "rate_limit_login_per_minute": read.number("RATE_LIMIT_LOGIN_PER_MINUTE", int, "20", 1, 10**6),
        "rate_limit_upload_per_minute": read.number("RATE_LIMIT_UPLOAD_PER_MINUTE", int, "30", 1, 10**6),
    }


def _storage(read: _Reader) -> dict[str, Any]:
    values = {
        "max_upload_size_mb": read.number("MAX_UPLOAD_SIZE_MB", int, "100", 1, 100),
        "storage_backend": read.text("BHIV_STORAGE_BACKEND", "local", choices=STORAGE_BACKENDS),
        "upload_path": read.text("UPLOAD_PATH", "/data/uploads"),
        "s3_endpoint_url": read.url("S3_ENDPOINT_URL", "", ("https", "http")).rstrip("/"),
        "s3_region": read.text("S3_REGION", "us-east-1"),
        "s3_bucket": read.text("S3_BUCKET", "", pattern=_BUCKET, rule=_BUCKET_RULE),
        "s3_access_key_id": read.secret("S3_ACCESS_KEY_ID", ""),
        "s3_secret_access_key": read.secret("S3_SECRET_ACCESS_KEY", ""),
        "supabase_url": read.url("SUPABASE_URL", "", ("https", "http")).rstrip("/"),
        "supabase_anon_key": read.secret("SUPABASE_ANON_KEY", ""),
        "supabase_bucket": read.text("SUPABASE_BUCKET", "uploads", pattern=_BUCKET, rule=_BUCKET_RULE),
    }
    for name in STORAGE_VARIABLES.get(values["storage_backend"], ()):
        if not values[name.lower()]:
            read.reject(name, f"is needed by BHIV_STORAGE_BACKEND={values['storage_backend']}")
    return values


def _observability(read: _Reader) -> dict[str, Any]:
    dsn = read.url("SENTRY_DSN", "", ("http", "https"))
    if dsn and not re.fullmatch(r"https?://[^@/]+@[^/]+/(.*/)?\d+", dsn):
        read.reject("SENTRY_DSN", "must be a URL of the form https://key@host/project")
    return {
        "sentry_dsn": dsn,
        "posthog_api_key": read.secret("POSTHOG_API_KEY", ""),
        "posthog_host": read.url("POSTHOG_HOST", "https://us.posthog.com", ("http", "https")).rstrip("/"),
    }


def _operation(read: _Reader) -> dict[str, Any]:
    return {
        "port": read.number("PORT", int, "8000", 1, 65535),
        "database_pool_size": read.number("DATABASE_POOL_SIZE", int, "10", 1, 100),
        "startup_timeout": read.number("STARTUP_TIMEOUT", float, "10", 0.1, 300),
        "shutdown_timeout": read.number("SHUTDOWN_TIMEOUT", float, "20", 0, 300),
        "shutdown_drain": read.number("SHUTDOWN_DRAIN", float, "1", 0, 60),
        "openai_timeout": read.number("OPENAI_TIMEOUT", float, "30", 0.1, 300),
        "openai_check_interval": read.number("OPENAI_CHECK_INTERVAL", float, "15", 0.1, 3600),
        "idempotency_ttl": read.number("IDEMPOTENCY_TTL", int, "86400", 1, 30 * 86400),
    }
