# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a webhook is told, and that nothing else is; delivery to receivers on loopback is in test_stack_notify.py."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.tria.production.plugins.module_utils import _notification
from ansible_collections.tria.production.plugins.modules import stack_notify

GOOD = {"overall_status": "READY", "total_checks": 15, "passed_checks": 15, "skipped_checks": 0}


def options(**given):
    """Options as the module hands them over."""
    validated = ArgumentSpecValidator(stack_notify.argument_spec()).validate({"url": "http://127.0.0.1:9/x", **given})
    assert not validated.error_messages, validated.error_messages
    return validated.validated_parameters


def told(secrets=(), **given):
    return _notification.document(options(**given), secrets)


def slack(secrets=(), **given):
    return _notification.as_slack(told(secrets, **given))


def fields(message):
    return {field["title"]: field["value"] for field in message["attachments"][0]["fields"]}


@pytest.mark.parametrize(
    "given, headline, color",
    [
        ({"report": GOOD}, "✅ shop: deploy READY, 15/15 checks passed", "good"),
        (
            {"report": {**GOOD, "overall_status": "READY_WITH_WARNINGS", "passed_checks": 14, "skipped_checks": 2}},
            "⚠️ shop: deploy READY_WITH_WARNINGS, 14/15 checks passed (2 skipped)",
            "warning",
        ),
        ({"report": {**GOOD, "overall_status": "NOT_READY"}, "event": "test"}, "❌ shop: test NOT_READY", "danger"),
        ({"failure": {"gate": "rollout", "host": "app1"}}, "❌ shop: deploy failed at rollout on app1", "danger"),
        ({"failure": {"gate": "lock"}, "report": GOOD}, "❌ shop: deploy failed at lock", "danger"),
        ({"failure": {"msg": "no"}, "report": GOOD}, "❌ shop: deploy NOT_READY, 15/15 checks passed", "danger"),
        ({}, "❌ shop: deploy NOT_READY", "danger"),
    ],
)
def test_the_headline(given, headline, color):
    message = slack(stack="shop", **given)
    assert message["text"].startswith(headline) and message["attachments"][0]["fallback"] == message["text"]
    assert message["attachments"][0]["color"] == color
    assert told(stack="shop", **given)["failed"] is (color == "danger")


def test_all_that_is_known_is_told():
    known = {"release": "r1", "hosts": 2, "duration_s": 171.4, "started_by": "alex", "job_url": "https://ci/1"}
    report = {**GOOD, "reports": {"html": "reports/r1/x.html"}}
    message = slack(stack="shop", stack_url="https://shop.example.com/?a=1&b=2", report=report, **known)
    assert fields(message) == {
        "Release": "r1",
        "Stack": "<https://shop.example.com/?a=1&amp;b=2>",
        "Hosts": "2",
        "Duration": "2 min 51 s",
        "Started by": "alex",
        "Job": "<https://ci/1>",
        "Report": "reports/r1/x.html",
    }
    assert "text" not in message["attachments"][0]
    assert fields(slack(report=GOOD, report_url="https://ci/report", duration_s=3.21)) == {
        "Report": "<https://ci/report>",
        "Duration": "3.2 s",
    }


def test_text_of_others_is_no_markup():
    nasty = "<!channel> & <https://evil|click> ``` *bold*\x1b[31m"
    failure = {"gate": "<!channel>", "msg": nasty}
    message = slack(stack="<!here>", release="a<b", failure=failure, stack_url="https://x/<!here>|y")
    text = json.dumps(message, ensure_ascii=False)
    assert "<!" not in text and "|" not in text.replace("evil|click", "") and "\x1b" not in text
    cause = message["attachments"][0]["text"]
    assert cause.startswith("```\n&lt;!channel&gt; &amp; ") and cause.endswith("\n```") and cause.count("```") == 2
    assert fields(message)["Stack"] == "<https://x/%3C!here%3E%7Cy>"


def test_everything_is_bounded():
    long = "x" * 100_000
    message = slack(stack=long, release=long, started_by=long, failure={"gate": long, "host": long, "msg": long})
    assert len(json.dumps(message)) < 6000
    assert "98500 more characters" in message["attachments"][0]["text"]


@pytest.mark.parametrize("form", ["slack", "json"])
def test_secrets_are_redacted(form):
    failure = {"gate": "readiness", "msg": "cannot log in with CANARY-0815 to postgres://u:CANARY-1@db/x"}
    url = "https://u:CANARY-2@shop.example.com/"
    made = told(["CANARY-0815"], failure=failure, stack_url=url, release="CANARY-0815")
    assert "CANARY" not in json.dumps(_notification.FORMATS[form](made))
    assert "cannot log in with ********" in made["failure"]["msg"]


def test_a_secret_is_found_before_the_cut():
    msg = "x" * (_notification.MAX_CAUSE - 5) + "CANARY-0815"
    assert "CANAR" not in told(["CANARY-0815"], failure={"msg": msg})["failure"]["msg"]


def test_json_is_what_there_is_to_tell():
    made = told(stack="shop", release="r1", report=GOOD, hosts=1)
    assert _notification.as_json(made) == {
        **GOOD,
        "event": "deploy",
        "stack": "shop",
        "release": "r1",
        "hosts": 1,
        "failed": False,
        "headline": "✅ shop: deploy READY, 15/15 checks passed",
    }
