# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys of vendors: whole ones pass, torn, foreign and test keys do not."""

from __future__ import annotations

import json

import pytest

from ansible_collections.tria.production.plugins.module_utils._env import engine, sources
from ansible_collections.tria.production.plugins.module_utils._env.schema import load

TAIL = "q7Wv0xZ9Kd3mT5bRn4bQgYhMfWWaLqgxVrQFaA0G1p8sXe6Uc2JyHtBi"
HEX = "9f86d081884c7d659a2feaa0c55ad015"
WHOLE = [
    ("OPENAI_API_KEY", "sk-" + TAIL[:40]),
    ("OPENAI_API_KEY", "sk-proj-" + TAIL + "_" + TAIL),
    ("ANTHROPIC_API_KEY", "sk-ant-api03-" + TAIL),
    ("STRIPE_SECRET_KEY", "sk_live_" + TAIL[:24]),
    ("STRIPE_WEBHOOK_SECRET", "whsec_" + TAIL[:32]),
    ("AWS_ACCESS_KEY_ID", "AKIA" + "Q7WV0XZ9KD3MT5BR"),
    ("AWS_SECRET_ACCESS_KEY", TAIL[:40]),
    ("GITHUB_TOKEN", "ghp_" + TAIL[:36]),
    ("GH_TOKEN", "github_pat_" + TAIL + TAIL[:26]),
    ("SLACK_BOT_TOKEN", "xoxb-123456789012-1234567890123-" + TAIL[:24]),
    ("SENDGRID_API_KEY", "SG." + TAIL[:22] + "." + TAIL[:43]),
    ("TWILIO_ACCOUNT_SID", "AC" + HEX),
    ("POSTHOG_API_KEY", "phc_" + TAIL[:43]),
    ("TELEGRAM_BOT_TOKEN", "1234567890:" + TAIL[:35]),
    ("MAPS_API_KEY", "AIza" + TAIL[:35]),
    ("SHOP_TOKEN", TAIL),
]
TORN = [
    ("OPENAI_API_KEY", HEX),
    ("OPENAI_API_KEY", "sk-ant-api03-" + TAIL),
    ("STRIPE_SECRET_KEY", "pk_live_" + TAIL[:24]),
    ("AWS_ACCESS_KEY_ID", "AKIAQ7WV0X"),
    ("AWS_SECRET_ACCESS_KEY", TAIL[:39]),
    ("GITHUB_TOKEN", "ghp_" + TAIL[:30]),
    ("SLACK_BOT_TOKEN", "xoxp-" + TAIL),
    ("MAPS_API_KEY", "AIza" + TAIL[:20]),
    ("SHOP_TOKEN", "glpat-" + TAIL[:5]),
    ("SENDGRID_API_KEY", "SG." + TAIL[:22]),
    ("TWILIO_AUTH_TOKEN", HEX[:-1]),
]
TESTS = [
    ("STRIPE_SECRET_KEY", "sk_test_" + TAIL[:24]),
    ("RAZORPAY_KEY_ID", "rzp_test_" + TAIL[:14]),
    ("MOLLIE_API_KEY", "test_" + TAIL[:30]),
    ("PAYMENT_TOKEN", "sandbox_" + TAIL[:30]),
]


def findings(content, schema=None):
    outcome = engine.validate([sources.from_content(content)], load(schema or {}))
    shown = json.dumps(outcome.as_dict()) + outcome.table()
    assert TAIL[:5] not in shown and HEX[:5] not in shown
    return [(finding.rule.name, finding.variable) for finding in outcome.findings]


@pytest.mark.parametrize(("name", "value"), WHOLE)
def test_whole_keys_pass(name, value):
    assert findings(f"{name}={value}\n") == []
    assert findings(f"{name}={value}\n", {"variables": {name: {"secret": True}}}) == []


@pytest.mark.parametrize(("name", "value"), TORN)
def test_torn_and_foreign_keys(name, value):
    assert findings(f"{name}={value}\n") == [("vendor_key", name)]


@pytest.mark.parametrize(("name", "value"), TESTS)
def test_test_keys(name, value):
    assert findings(f"{name}={value}\n") == [("test_key", name)]
    assert findings(f"{name}={value}\nENVIRONMENT=production\n") == [("test_key", name)]
    assert findings(f"{name}={value}\nENVIRONMENT=staging\n") == []


def test_other_variables_may_begin_like_keys():
    assert findings("LOCALE=sk-SK\nNPM_CONFIG=npm_x\nMODE=test_everything_at_once\n") == []
    assert findings("SLOVAK=ghp_1\n", {"variables": {"SLOVAK": {"secret": True, "min_length": 4}}}) == [
        ("vendor_key", "SLOVAK")
    ]


def test_the_schema_knows_better():
    schema = {"variables": {"OPENAI_API_KEY": {"secret": True, "pattern": "^[0-9a-f]{32}$"}}}
    assert findings(f"OPENAI_API_KEY={HEX}\n", schema) == []


@pytest.mark.parametrize("name, beside", [
    ("OPENAI_API_KEY", "OPENAI_BASE_URL=http://model:8000/v1"),
    ("AWS_ACCESS_KEY_ID", "S3_ENDPOINT_URL=http://minio:9000"),
    ("AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3=http://minio:9000"),
])
def test_a_service_of_another_vendor_has_keys_of_its_own(name, beside):
    assert findings(f"{name}=q7Wv-local-model\n") == [("vendor_key", name)]
    assert findings(f"{name}=q7Wv-local-model\n{beside}\n") == []


def test_what_has_an_error_is_not_judged_twice():
    assert findings("OPENAI_API_KEY=your-key-here\n") == [("placeholder", "OPENAI_API_KEY")]
