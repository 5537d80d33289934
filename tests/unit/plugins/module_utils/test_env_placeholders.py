# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Placeholders are found; what random generators yield is not taken for one."""

from __future__ import annotations

import base64
import random
import string
import uuid

import pytest

from ansible_collections.tria.production.plugins.module_utils._env.placeholders import placeholder

ANYWHERE = """
CHANGE_THIS_PASSWORD_123 CHANGE_THIS_TO_A_RANDOM_SECRET_KEY_32 change_me changeme CHANGEME123 change-it
sk-your-actual-key-here your_client_id your_secret your-super-secure-jwt-secret-key-minimum-32-characters
phc_your_posthog_api_key your-sentry-dsn your_token your-key-here replace_me REPLACE_WITH_SECRET_KEY replace-this-value
put_your_key_here insert-api-key-here enter_password add-your-token placeholder placeholder-secret to_be_set
my-key-CHANGE_ME some-api-key-here todo FIXME tbd <x> <your-key> ${X} {{x}} %SECRET% __SECRET__ $(pass)
xxxxxxxx sk-xxxxxxxxxxxx XXXX ******** ...
""".split() + ["{{ secret }}", "<your key>"]
SECRETS_ONLY = """
secret password Password123 postgres admin my-secret-key my-redis-password super_secret_key test-token dummy-key example
development-jwt-secret-key-for-testing
""".split() + ["change me please", "Your password"]
REAL = """
postgres redis tria_admin tria_aibpo production gpt-4-turbo-preview 6379 0 0.08 100000.00 OUTPUT2 true default test
changement changes-topic yourself putty entered replaceable todo-list insert_mode example.com xxl development
""".split() + ["Your order is on its way", "a < b > c", "costs $5 {approx}"]


@pytest.mark.parametrize("text", ANYWHERE)
def test_found_in_any_variable(text):
    assert placeholder(text, secret=False)
    assert placeholder(text, secret=True)


@pytest.mark.parametrize("text", SECRETS_ONLY)
def test_found_in_secrets(text):
    assert placeholder(text, secret=True)


@pytest.mark.parametrize("text", REAL)
def test_ordinary_values_are_none(text):
    assert placeholder(text, secret=False) is None


def test_passphrases_are_none():
    assert placeholder("correct-horse-battery-staple", secret=True) is None
    assert placeholder("tangerine.umbrella.for.my.walrus", secret=True) is None


def test_random_secrets_are_none():
    source = random.Random(7)
    letters = string.ascii_letters + string.digits
    generators = [
        lambda: source.getrandbits(128).to_bytes(16, "big").hex(),
        lambda: source.getrandbits(256).to_bytes(32, "big").hex(),
        lambda: base64.b64encode(source.getrandbits(192).to_bytes(24, "big")).decode(),
        lambda: base64.urlsafe_b64encode(source.getrandbits(256).to_bytes(32, "big")).decode().rstrip("="),
        lambda: str(uuid.UUID(int=source.getrandbits(128), version=4)),
        lambda: "".join(source.choices(letters, k=48)),
        lambda: "sk-" + "".join(source.choices(letters, k=40)),
    ]
    taken = [
        value for generate in generators for value in (generate() for _count in range(2000)) if placeholder(value, True)
    ]
    assert taken == []


def test_reasons_are_a_fixed_set_of_words():
    reasons = {placeholder(text, secret=True) for text in ANYWHERE + SECRETS_ONLY}
    assert len(reasons) == 4 and all("{" not in reason for reason in reasons if reason)
