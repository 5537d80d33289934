# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every rule finds the fault it is for, where it is, and shows no value."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.tria.production.plugins.module_utils._env import engine, names, sources
from ansible_collections.tria.production.plugins.module_utils._env.rules import ERROR, GROUPS, RULES, markdown, of_examples
from ansible_collections.tria.production.plugins.module_utils._env.schema import load
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

XERO = ["XERO_CLIENT_ID", "XERO_CLIENT_SECRET", "XERO_TENANT_ID", "XERO_REFRESH_TOKEN"]
DATABASE = {"type": "url", "schemes": ["postgresql", "sqlite"]}
PARTS = {
    "consistent": [
        {"url": "URL", "user": "USER_NAME", "password": "PASSWORD", "host": "HOST", "port": "PORT", "path": "DB"}
    ]
}


def check(content, schema=None, **kwargs):
    texts = content if isinstance(content, list) else [content]
    return engine.validate([sources.from_content(text) for text in texts], load(schema or {}), **kwargs)


def found(outcome):
    return [(finding.rule.name, finding.variable, finding.line) for finding in outcome.findings]


def of(**variable):
    return {"variables": {"A": variable}}


# schema, content, (rule, variable, line); the values are made of canaries where the rule leaves room for it
CASES = [
    (of(required=True), "", ("required", "A", 0)),
    (of(required=True), "A=\n", ("empty", "A", 1)),
    (of(required=True), "\nA='  '\n", ("empty", "A", 2)),
    (of(type="int"), "A=canary\n", ("type", "A", 1)),
    (of(type="int"), "A=1.5\n", ("type", "A", 1)),
    (of(type="int"), "A=١\n", ("type", "A", 1)),
    (of(type="float"), "A=canary\n", ("type", "A", 1)),
    (of(type="float"), "A=nan\n", ("type", "A", 1)),
    (of(type="float"), "A=1e999\n", ("type", "A", 1)),
    (of(type="bool"), "A=canary\n", ("type", "A", 1)),
    (of(**DATABASE), "A=canary\n", ("url", "A", 1)),
    (of(**DATABASE), "A=postgresql://canary\n", ("url", "A", 1)),
    (of(**DATABASE), "A=postgresql:///canary\n", ("url", "A", 1)),
    (of(**DATABASE), "A=postgresql://user:canary@host:port/database\n", ("url", "A", 1)),
    (of(**DATABASE), "A=postgresql://user:can/ary@host/db\n", ("url", "A", 1)),
    (of(**DATABASE), "A=postgresql://user:x@[canary]/db\n", ("url", "A", 1)),
    (of(**DATABASE), "A='postgresql://u:x@h/can ary'\n", ("url", "A", 1)),
    (of(**DATABASE), "A=sqlite://\n", ("url", "A", 1)),
    (of(**DATABASE), "A=canary://host/db\n", ("schemes", "A", 1)),
    (of(**DATABASE), "A=postgres://canary/db\n", ("schemes", "A", 1)),
    (of(pattern="^sk-"), "A=canary\n", ("pattern", "A", 1)),
    (of(min_length=32, secret=True), "A=canary-q7Wv0\n", ("min_length", "A", 1)),
    (of(max_length=3), "A=canary\n", ("max_length", "A", 1)),
    (of(choices=["staging", "production"]), "A=canary\n", ("choices", "A", 1)),
    (of(type="float", min=0.0, max=1.0), "A=8\n", ("range", "A", 1)),
    (of(type="int", min=1), "A=0\n", ("range", "A", 1)),
    (of(type="int", max=10), "A=11\n", ("range", "A", 1)),
    (of(type="email"), "A='Shop <canary@example.org>'\n", ("type", "A", 1)),
    (of(type="host"), "A=canary:5432\n", ("type", "A", 1)),
    (of(type="host"), "A=fe80::canary\n", ("type", "A", 1)),
    (of(type="port"), "A=canary\n", ("type", "A", 1)),
    (of(type="port", min=1024), "A=80\n", ("range", "A", 1)),
    (of(type="path"), "A=~/canary\n", ("type", "A", 1)),
    (of(type="duration"), "A=30canary\n", ("type", "A", 1)),
    (of(type="duration", max="5m"), "A=301s\n", ("range", "A", 1)),
    (of(type="size"), "A=64canary\n", ("type", "A", 1)),
    (of(type="size", min="1m"), "A=1023k\n", ("range", "A", 1)),
    (of(type="json"), """A='{"a": canary}'\n""", ("type", "A", 1)),
    (of(type="list", max=2), "A=canary,canary,x\n", ("range", "A", 1)),
    (of(type="list"), "A=canary,,x\n", ("type", "A", 1)),
    (of(type="list", elements="port"), "A=80,canary,x\n", ("type", "A", 1)),
    (of(type="list", separator=";", choices=["a", "b"]), "A=a;canary\n", ("choices", "A", 1)),
    (of(type="list", elements="url", schemes=["https"]), "A=https://a,http://canary\n", ("schemes", "A", 1)),
    (of(type="list", secret=True, min_length=9), "A=q7Wv0xZ31,canary\n", ("min_length", "A", 1)),
    (of(deprecated=True), "A=canary\n", ("deprecated", "A", 1)),
    (of(), "A=CHANGE_THIS_canary\n", ("placeholder", "A", 1)),
    (of(secret=True), "A=example-password\n", ("placeholder", "A", 1)),
    (of(secret=True), "A=canarycanary\n", ("repeated_secret", "A", 1)),
    (of(secret=True), "A=1qaz2wsx3edc\n", ("sequential_secret", "A", 1)),
    (of(secret=True), "A=minioadmin\n", ("known_default", "A", 1)),
    (of(**DATABASE), "A=postgresql://u:minioadmin@h/db\n", ("known_default", "A", 1)),
    (of(secret=True), "A=canary-q7Wv0xZ\n", ("short_secret", "A", 1)),
    ({}, "A_TOKEN=ghp_canary\n", ("vendor_key", "A_TOKEN", 1)),
    ({}, "A_KEY=sk_test_canary0q7Wv0xZ9Kd3mT5bR\n", ("test_key", "A_KEY", 1)),
    (of(**DATABASE), "A=postgresql://u:CHANGE_THIS_canary@h/db\n", ("placeholder", "A", 1)),
    (of(type="url"), "A=https://your-canary.example.com\n", ("placeholder", "A", 1)),
    ({}, "OTHER=your_canary\n", ("placeholder", "OTHER", 1)),
    (
        {"required_together": [XERO]},
        "XERO_CLIENT_ID=canary\nXERO_CLIENT_SECRET=canary\nXERO_TENANT_ID=canary\n",
        ("required_together", "XERO_REFRESH_TOKEN", 0),
    ),
    (
        {"variables": {"B": {"allow_empty": True}, "C": {}}, "required_together": [["B", "C"]]},
        "B=\nC=canary\n",
        ("required_together", "B", 1),
    ),
    ({"required_one_of": [["B", "C"]]}, "B=\n", ("required_one_of", "B", 1)),
    ({"mutually_exclusive": [["B", "C"]]}, "B=canary\nC=canary\n", ("mutually_exclusive", "C", 2)),
    ({"required_if": [["B", "canary", ["C"]]]}, "B=canary\n", ("required_if", "C", 0)),
    ({"required_if": [["B", "canary", ["C", "D"], True]]}, "B=canary\n", ("required_if", "C", 0)),
    ({"variables": {"A": {"type": "bool"}}, "required_if": [["A", True, ["C"]]]}, "A=yes\n", ("required_if", "C", 0)),
    ({"variables": {"A": {"default": "canary"}}, "required_if": [["A", "canary", ["C"]]]}, "", ("required_if", "C", 0)),
    ({"required_by": {"B": ["C"]}}, "B=canary\nC=\n", ("required_by", "C", 2)),
    ({"required_by": {"B": "C"}}, "B=canary\n", ("required_by", "C", 0)),
    (PARTS, "URL=postgresql://u:canary%40@h/d\nPASSWORD=canary%40\n", ("consistent", "PASSWORD", 2)),
    (PARTS, "URL=postgresql://canary:p@h/d\nUSER_NAME=other\n", ("consistent", "USER_NAME", 2)),
    (PARTS, "URL=postgresql://u:p@canary/d\nHOST=other\n", ("consistent", "HOST", 2)),
    (PARTS, "URL=postgresql://u:p@h/d\nPORT=5433\n", ("consistent", "PORT", 2)),
    (PARTS, "URL=postgresql://u:p@h/canary\nDB=other\n", ("consistent", "DB", 2)),
    (
        {"variables": {"A": {"secret": True}, "B": {"secret": True}}},
        "A=canary-q7Wv0xZ9Kd\nB=canary-q7Wv0xZ9Kd\n",
        ("shared_secret", "B", 2),
    ),
    ({}, "A=1\nB C=canary\n", ("syntax", "", 2)),
    ({}, "A='canary\n", ("syntax", "A", 1)),
    ({}, "A=1\nB!canary=1\n", ("syntax", "", 2)),
    ({}, "A=1\nB=\udcff\n", ("encoding", "", 2)),
    ({}, "A=canary${canary\n", ("interpolation", "A", 1)),
    ({}, "A=${CANARY:?canary}\n", ("interpolation", "A", 1)),
    ({}, 'A="canary\\0000"\n', ("nul", "A", 1)),
    ({}, "canary.b=1\n", ("odd_name", names.UNSHOWN, 1)),
    ({}, "\n1A=1\n", ("odd_name", names.UNSHOWN, 2)),
    ({}, 'A="canary\\a"\n', ("invisible", "A", 1)),
    ({}, "A='can\r\nary'\r\n", ("invisible", "A", 1)),
    ({}, "A=canary\u200b\n", ("invisible", "A", 1)),
    (of(), "A=canary\u200b\n", ("invisible", "A", 1)),
    ({}, "A=" + "canary" * 22000 + "\n", ("too_long", "A", 1)),
    ({}, "A=pa$canary\n", ("unset_reference", "A", 1)),
    ({}, "A=can #ary\n", ("hash_cut", "A", 1)),
    (of(secret=True), "A=canary-q7Wv0xZ9Kd # word\n", ("hash_cut", "A", 1)),
    ({}, "A=#canary\n", ("hash_kept", "A", 1)),
    ({}, "A=canary\nA=canary\n", ("duplicate", "A", 2)),
    ({}, "A=1\nB\n", ("bare_key", "B", 2)),
    (of(), "A=1\nCANARY=canary\n", ("unknown_variable", "CANARY", 2)),
    ({"variables": {"REDIS_HOST": {}}}, "REDIS_HOTS=canary\n", ("near_miss", "REDIS_HOTS", 1)),
    ({"variables": {"REDIS_HOST": {}}}, "RedisHost=canary\n", ("near_miss", "RedisHost", 1)),
    (of(type="url", in_container=True), "A=redis://localhost:6379/0\n", ("localhost", "A", 1)),
    (of(type="url", in_container=True), "A=redis://:canary@127.0.0.1/0\n", ("localhost", "A", 1)),
    (of(type="url"), "A=redis://:can@ary@redis/0\n", ("unescaped", "A", 1)),
    (of(type="url"), "A=redis://:canary%@redis/0\n", ("unescaped", "A", 1)),
]


@pytest.mark.parametrize(("schema", "content", "expected"), CASES)
def test_rule(schema, content, expected):
    outcome = check(content, schema)
    assert found(outcome) == [expected]
    shown = json.dumps([outcome.as_dict(), outcome.table()])
    assert "canary" not in shown
    assert "ary@" not in shown
    assert outcome.valid == (RULES[expected[0]].severity != ERROR)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (DATABASE, "postgresql+psycopg2://tria:s3cr3tQ9@postgres:5432/tria_aibpo"),
        (DATABASE, "postgresql://tria:s3%40cr3t@h1:5432,h2:5433/tria?sslmode=require"),
        (DATABASE, "postgresql:///tria?host=/run/postgresql"),
        (DATABASE, "postgresql://tria@[::1]:5432/tria"),
        (DATABASE, "sqlite:///./ai_agent.db"),
        ({"type": "url"}, "redis://redis:6379"),
        ({"type": "int", "min": 1}, "100"),
        ({"type": "float", "min": 0.0, "max": 1.0}, "0.08"),
        ({"type": "float"}, "100000.00"),
        ({"type": "bool"}, "True"),
        ({"choices": ["default", "changeme"], "secret": True}, "changeme"),
        ({"required": True, "allow_empty": True}, ""),
        ({"type": "int"}, ""),
        ({"type": "email"}, "orders@example.org"),
        ({"type": "host"}, "redis"),
        ({"type": "port", "min": 1024}, "8080"),
        ({"type": "path"}, "./tls"),
        ({"type": "duration", "min": "1s", "max": "5m"}, "1m30s"),
        ({"type": "size", "max": "1g"}, "64m"),
        ({"type": "json"}, """'{"a": [1, 2]}'"""),
        ({"type": "list", "elements": "port", "min": 2, "max": 2}, "80, 443"),
        ({"type": "list", "elements": "url", "schemes": ["https"], "separator": ";"}, "https://a.example;https://b.example"),
        ({"deprecated": True}, ""),
    ],
)
def test_good_values_give_no_finding(variable, value):
    assert found(check(f"A={value}\n", of(**variable))) == []


def test_every_rule_is_planted_somewhere():
    planted = {case[2][0] for case in CASES}
    elsewhere = {
        "text_after_quote",
        "shell_override",
        "file_missing",
        "file_kind",
        "file_unreadable",
        "file_too_large",
        "file_mode",
        "file_link",
        # test_env_effective.py
        "compose_syntax",
        "compose_reference",
        "compose_unset",
        "compose_dollar",
        "unused_key",
        "env_file_missing",
        "inline_override",
        # test_env_example.py
        *(rule.name for rule in GROUPS[of_examples.TITLE]),
        "file_owner",
        "folder_writable",
        "git_tracked",
        "git_unignored",
        "example_value",
    }
    assert planted | elsewhere == set(RULES)
    assert len({rule.id for rule in RULES.values()}) == len(RULES)


def test_text_after_a_quote_is_not_shown_even_as_a_name():
    outcome = check('A="can"ARY=q7\n', of())
    assert found(outcome) == [("unknown_variable", names.UNSHOWN, 1), ("text_after_quote", "A", 1)]
    assert "ARY" not in json.dumps(outcome.as_dict()) + outcome.table()


@pytest.mark.parametrize("piece", ["ZGVmZ2hpCanary", "canary", "deadbeef", "JBSWY3DPEHPK3PXPCANARY"])
def test_a_torn_value_is_not_shown_as_a_name(piece):
    outcome = check(f"A=-----BEGIN\n{piece}==\n", of())
    assert ("unknown_variable", names.UNSHOWN, 2) in found(outcome)
    assert piece not in json.dumps(outcome.as_dict()) + outcome.table()


def test_a_reference_is_named_only_where_its_name_is_no_secret():
    outcome = check("A=$B$canary\nB=1\n")
    assert [finding.message for finding in outcome.findings] == [
        "refers to B, which is not set at this point, and gets nothing in its place",
        RULES["unset_reference"].message,
    ]


def test_all_findings_at_once_sorted_and_in_the_table():
    schema = {
        "variables": {
            "REDIS_HOST": {"required": True, "description": "The name of the Redis service."},
            "SECRET_KEY": {"required": True, "secret": True, "min_length": 32},
            "DATABASE_URL": DATABASE,
        }
    }
    outcome = check("SECRET_KEY=CHANGE_THIS_canary\nDATABASE_URL=canary\nLEFT_OVER=1\n", schema)
    assert outcome.table().splitlines() == [
        "env_validate: 4 errors, 1 warning in content:",
        "  What a variable must be:",
        "    error    REDIS_HOST    content    ENV001 required: not set. "
        "Remedy: Set it: The name of the Redis service.",
        "    error    SECRET_KEY    content:1  ENV007 min_length: shorter than 32 characters. "
        "Remedy: Generate a longer one: openssl rand -hex 32",
        "    error    SECRET_KEY    content:1  ENV011 placeholder: still holds a placeholder. "
        "Remedy: Put the real value there; a secret comes from: openssl rand -hex 32",
        "    error    DATABASE_URL  content:2  ENV004 url: the URL has no scheme://. Remedy: " + RULES["url"].remedy,
        "  What is probably a mistake:",
        "    warning  LEFT_OVER     content:3  ENV301 unknown_variable: is not in the schema. "
        "Remedy: Remove it, or add it to the schema.",
    ]


def test_results_are_checks_of_the_report():
    schema = {"variables": {"DATABASE_URL": {"required": True, **DATABASE}, "JWT_SECRET_KEY": {"required": True}}}
    results = check("DATABASE_URL=sqlite:///x.db\nOTHER=1\n", schema).as_dict()["results"]
    assert [(result["name"], result["category"], result["status"], result["critical"]) for result in results] == [
        ("DATABASE_URL configured", "Environment", "pass", True),
        ("JWT_SECRET_KEY configured", "Environment", "fail", True),
        ("OTHER unknown_variable", "Environment", "warn", False),
    ]


def test_what_is_wrong_with_an_item_of_a_list():
    outcome = check("A=80,443,canary,x\n", of(type="list", elements="port", max=2))
    assert [(finding.message, finding.remedy) for finding in outcome.findings] == [
        ("item 3: not a port", "Write a whole number from 1 to 65535."),
        ("not at most 2 items", RULES["range"].remedy),
    ]
    outcome = check("A=q7Wv0xZ9Kd3mT5bR,changeme\n", of(type="list", secret=True))
    assert [finding.message for finding in outcome.findings] == ["item 2: still holds a placeholder"]


def test_localhost_in_a_list_of_urls():
    schema = {"in_container": True, "variables": {"A": {"type": "list", "elements": "url"}}}
    assert found(check("A=http://web,http://localhost\n", schema)) == [("localhost", "A", 1)]


def test_a_deprecated_variable_names_its_replacement_and_is_nobodys_near_miss():
    old = {"deprecated": "since 2.0.", "replacement": "DATABASE_URL"}
    schema = {"variables": {"DB_URL": old, "DATABASE_URL": {}}}
    outcome = check("DB_URL=canary\n", schema)
    assert [(finding.message, finding.remedy) for finding in outcome.findings] == [
        ("is deprecated: since 2.0", "Set DATABASE_URL instead.")
    ]
    assert found(check("DB_URLS=canary\n", schema)) == [("unknown_variable", "DB_URLS", 1)]


def test_a_broken_line_counts_as_set():
    assert found(check("B='canary\n", {"required_by": {"B": "C"}})) == [("required_by", "C", 0), ("syntax", "B", 1)]
    assert found(check("C='canary\nB=x\n", {"required_by": {"B": "C"}})) == [("syntax", "C", 1)]


def test_later_files_win_and_the_finding_names_the_winner():
    outcome = check(["A=5\nB=1\n", "\nA=0\n"], {"variables": {"A": {"type": "int", "min": 1}, "B": {}}})
    assert found(outcome) == [("range", "A", 2)]


def test_process_environment_wins_and_says_so():
    schema = of(type="int", max=3)
    outcome = check("A=1\nB\n", schema, environ={"A": "canary", "B": "x"})
    assert [finding.rule.name for finding in outcome.findings] == ["type", "shell_override", "unknown_variable"]
    assert "canary" not in json.dumps(outcome.as_dict())
    assert found(check("A=1\n", schema)) == []


@pytest.mark.parametrize(
    ("content", "fail_on", "refused"),
    [
        ("", "error", True),
        ("", "never", False),
        ("A=1\nB=1\n", "error", False),
        ("A=1\nB=1\n", "warning", True),
        ("A=1\n", "warning", False),
    ],
)
def test_fail_on(content, fail_on, refused):
    outcome = check(content, of(required=True))
    if not refused:
        outcome.require(fail_on)
        return
    with pytest.raises(ProductionError) as caught:
        outcome.require(fail_on)
    assert caught.value.as_result()["msg"] == outcome.table()
    assert caught.value.culprit == outcome.findings[0].variable


def test_documentation_of_the_rules_is_current():
    # to renew it: write what markdown() returns
    documented = pathlib.Path(__file__).parents[4] / "docs" / "env-rules.md"
    assert documented.read_text(encoding="utf-8") == markdown()
