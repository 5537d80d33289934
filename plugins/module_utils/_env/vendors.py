# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys that vendors hand out, by their published forms. Private to the collection."""

from __future__ import annotations

import re
import typing as t

Violation = t.Tuple[str, str]

# what a key begins with -> the form of the whole; the first one that fits decides
_FORMS = {
    "sk-ant-": r"[\w-]{20,}",
    "sk-": r"[\w-]{20,}",
    "AKIA": "[A-Z0-9]{16}",
    "ASIA": "[A-Z0-9]{16}",
    "AIza": r"[\w-]{35}",
    "github_pat_": r"\w{60,}",
    "ghp_": r"\w{36,}",
    "gho_": r"\w{36,}",
    "ghu_": r"[\w.-]{36,}",
    "ghs_": r"[\w.-]{36,}",
    "ghr_": r"\w{36,}",
    "glpat-": r"[\w.-]{20,}",
    "xoxb-": r"[\w-]{20,}",
    "xoxp-": r"[\w-]{20,}",
    "xoxa-": r"[\w-]{20,}",
    "xapp-": r"[\w-]{20,}",
    "SG.": r"[\w-]{22}\.[\w-]{43}",
    "sk_live_": r"\w{20,}",
    "sk_test_": r"\w{20,}",
    "rk_live_": r"\w{20,}",
    "rk_test_": r"\w{20,}",
    "pk_live_": r"\w{20,}",
    "pk_test_": r"\w{20,}",
    "whsec_": r"[\w+/=]{20,}",
    "rzp_live_": r"\w{14,}",
    "rzp_test_": r"\w{14,}",
    "shpat_": "[0-9a-fA-F]{32}",
    "dop_v1_": "[0-9a-f]{64}",
    "npm_": "[A-Za-z0-9]{36}",
    "hf_": "[A-Za-z0-9]{30,}",
    "pypi-": r"[\w-]{50,}",
    "phc_": "[A-Za-z0-9]{32,}",
    "phx_": "[A-Za-z0-9]{32,}",
}
_FORM = re.compile("|".join(f"{re.escape(prefix)}(?:{rest})" for prefix, rest in _FORMS.items()))
_PREFIX = re.compile("|".join(map(re.escape, _FORMS)))

# variable -> whose key it holds and what that looks like
_HEX32 = "[0-9a-f]{32}"
_NAMED = {
    "OPENAI_API_KEY": ("OpenAI", "sk-(?!ant-).*"),
    "ANTHROPIC_API_KEY": ("Anthropic", "sk-ant-.*"),
    "STRIPE_SECRET_KEY": ("Stripe", "[sr]k_(?:live|test)_.*"),
    "STRIPE_API_KEY": ("Stripe", "[sr]k_(?:live|test)_.*"),
    "STRIPE_PUBLISHABLE_KEY": ("Stripe", "pk_(?:live|test)_.*"),
    "STRIPE_WEBHOOK_SECRET": ("Stripe", "whsec_.*"),
    "AWS_ACCESS_KEY_ID": ("AWS", "A(?:KI|SI)A.*"),
    "AWS_SECRET_ACCESS_KEY": ("AWS", "[A-Za-z0-9/+]{40}"),
    "GITHUB_TOKEN": ("GitHub", "(?:gh[pousr]|github_pat)_.*|[0-9a-f]{40}"),
    "GH_TOKEN": ("GitHub", "(?:gh[pousr]|github_pat)_.*|[0-9a-f]{40}"),
    "SLACK_BOT_TOKEN": ("Slack", "xoxb-.*"),
    "SLACK_APP_TOKEN": ("Slack", "xapp-.*"),
    "SLACK_SIGNING_SECRET": ("Slack", _HEX32),
    "SENDGRID_API_KEY": ("SendGrid", r"SG\..*"),
    "TWILIO_ACCOUNT_SID": ("Twilio", "AC" + _HEX32),
    "TWILIO_AUTH_TOKEN": ("Twilio", _HEX32),
    "POSTHOG_API_KEY": ("PostHog", "ph[cx]_.*"),
    "HF_TOKEN": ("Hugging Face", "hf_.*"),
    "NPM_TOKEN": ("npm", "npm_.*"),
    "TELEGRAM_BOT_TOKEN": ("Telegram", r"[0-9]{6,12}:[\w-]{35}"),
}
_COMPILED = {name: (vendor, re.compile(form + r"\Z", re.DOTALL)) for name, (vendor, form) in _NAMED.items()}
# set beside a key, these say that it is for a service of another vendor that speaks the same protocol
_ELSEWHERE = ("_BASE_URL", "_API_BASE", "_ENDPOINT")

_HOLDS_KEY = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|SID|CREDENTIALS?)(?:_ID)?\Z", re.IGNORECASE)
_TEST_KEY = re.compile(r"(?:[a-z]{2,6}[_-])?(?:test|sandbox|sdbx|sbox)_\w{10}|FLWSECK_TEST-|sandbox-sq0")
_STAGES = ("ENVIRONMENT", "APP_ENV", "NODE_ENV", "RAILS_ENV", "DJANGO_ENV", "FLASK_ENV", "ENV", "STAGE")


def is_key(name: str) -> bool:
    """Whether a variable of that name usually holds what nobody else should know."""
    return _HOLDS_KEY.search(name) is not None


class Keys:
    """What the whole environment says of the keys in it.

    `settings` maps names to values; `secret` holds names that the schema calls secret, `formed` those whose form it
    says itself.
    """

    def __init__(self, settings: t.Mapping[str, str], secret: t.Container[str], formed: t.Container[str]) -> None:
        self._secret = secret
        self._formed = formed
        self._elsewhere = {name.partition("_")[0] for name in settings if any(word in name for word in _ELSEWHERE)}
        if "S3" in self._elsewhere:
            self._elsewhere.add("AWS")
        stages = [settings[name].lower() for name in _STAGES if name in settings]
        self._tests_belong = bool(stages) and not any(stage.startswith(("prod", "live")) for stage in stages)

    def violation(self, name: str, value: str) -> Violation | None:
        """What is wrong with a key, as `(rule name, message)`; no message tells what a value begins with."""
        if name not in self._secret and not is_key(name):
            return None
        vendor, form = _COMPILED.get(name, ("", None))
        if name in self._formed or name.partition("_")[0] in self._elsewhere:
            form = None
        if form and not form.match(value):
            return "vendor_key", f"does not have the form of a key of {vendor}"
        if _PREFIX.match(value) and not _FORM.fullmatch(value) and name not in self._formed:
            return "vendor_key", ""
        return ("test_key", "") if _TEST_KEY.match(value) and not self._tests_belong else None
