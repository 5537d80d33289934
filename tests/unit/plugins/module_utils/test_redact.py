# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Redaction: no secret, nor a part of one, in what leaves a host."""

from __future__ import annotations

import pytest

from ansible_collections.tria.production.plugins.module_utils._redact import MASK, printable, redact, redact_tree

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\nkqhkiG9w0BAQEFAASCBK\n-----END PRIVATE KEY-----"


def test_a_given_secret_goes_wherever_it_stands():
    assert redact("a hunter22b hunter22", ["hunter22"]) == f"a {MASK}b {MASK}"


def test_a_secret_within_another_leaves_nothing_behind():
    assert redact("key=abcd1234 abcd", ["abcd", "abcd1234"], guess=False) == f"key={MASK} {MASK}"


def test_values_too_short_to_be_secrets_do_not_blank_out_words():
    assert redact("the cat", ["cat", "", "a"]) == "the cat"


def test_each_line_of_a_key_is_a_secret():
    leaked = redact(f"log: {KEY!r} and alone MIIEvQIBADANBgkqhkiG", [KEY], guess=False)
    assert "MIIEv" not in leaked and "kqhkiG9w0" not in leaked


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://tria:CANARY@db:5432/x",
        "redis://:CANARY@cache",
        "postgresql://tria:CAN@ARY@db/x failed",
        "PGPASSWORD=CANARY psql",
        'password: "CANARY CANARY"',
        '{"api_key": "CANARY\\" CANARY", "n": 1}',
        "secret_token='CANARY, CANARY'",
        "password='CANARY",
        "Authorization: Bearer CANARY",
        "{'authorization': 'CANARY'}",
    ],
)
def test_what_looks_like_a_secret_goes_without_being_listed(text):
    masked = redact(text)
    assert MASK in masked
    assert "CAN" not in masked and "ARY" not in masked


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8080/health", "mail me@example.com", "tokens used", "12:30:01 ready"]
)
def test_ordinary_text_stays(text):
    assert redact(text, ["hunter22"]) == text


def test_without_guessing_our_own_messages_stay_readable():
    text = "SECRET_KEY: must have 32 characters; postgresql://u:CANARY@h/d"
    assert redact(text, guess=False) == f"SECRET_KEY: must have 32 characters; postgresql://u:{MASK}@h/d"


def test_redact_tree_reaches_every_string_and_keeps_the_rest():
    tree = {"hunter22": ["x hunter22", {"deep": ("hunter22", 7, None, True)}]}
    assert redact_tree(tree, iter(["hunter22"])) == {MASK: [f"x {MASK}", {"deep": [MASK, 7, None, True]}]}


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\r\nb\tc\x00\x9bd\rlie", "a\nb\tcdlie"),
        ("größe ✓", "größe ✓"),
    ],
)
def test_printable(raw, clean):
    assert printable(raw) == clean


def test_whether_there_is_a_secret_is_none() -> None:
    text = '{"api_key_set":true,"token": null, "password": "truer"}'
    assert redact(text) == '{"api_key_set":true,"token": null, "password": ********}'
    assert redact("password=true-blue") == "password=********"
