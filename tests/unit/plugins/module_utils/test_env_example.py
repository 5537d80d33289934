# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`.env.example`: what is written from the schema, what differs from it, and that no secret is ever in it or shown."""

from __future__ import annotations

import json
import os
import pathlib
import stat

import pytest
import yaml

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._env import engine, example, parser, sources
from ansible_collections.tria.production.plugins.module_utils._env.rules import of_examples
from ansible_collections.tria.production.plugins.module_utils._env.schema import load
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

ROOT = pathlib.Path(__file__).parents[4]
CANARY = "c4n4ryQ7zx9w"
RAW = {
    "variables": {
        "SECRET_KEY": {"required": True, "secret": True, "min_length": 32, "description": "Signs cookies"},
        "SALT": {"secret": True, "default": CANARY, "choices": [CANARY, "other"]},
        "ENVIRONMENT": {"required": True, "choices": ["staging", "production"]},
        "GREETING": {"default": "it's $5 #1", "description": "Two\nlines\rKEY=x"},
        "RATE": {"type": "float", "min": 0.0, "max": 1.0, "default": 0.5},
        "TIMEOUT": {"type": "duration", "max": "5m", "allow_empty": True, "required": True},
        "LIMIT": {"type": "size", "min": "1m"},
        "HOSTS": {"type": "list", "elements": "host", "separator": ";", "max": 3},
        "API": {"type": "url", "schemes": ["https", "http"], "pattern": "^h", "max_length": 99},
        "OLD": {"deprecated": "gone soon", "replacement": "API"},
        "A": {},
        "B": {"type": "bool", "default": True},
    },
    "required_together": [["A", "B"]],
    "required_one_of": [["LIMIT", "HOSTS"]],
    "mutually_exclusive": [["LIMIT", "API"]],
    "required_if": [["ENVIRONMENT", "production", ["API"]], ["ENVIRONMENT", "staging", ["A", "LIMIT"], True]],
    "required_by": {"A": ["HOSTS"]},
}
TEXT = """# Made by tria.production.env_validate from the schema; changes belong there.
# Copy it to .env (mode 0600) and give what is required a value.

# Signs cookies
# required, secret: text, 32 characters or more, openssl rand -hex 32
SECRET_KEY=

# optional, secret: text
# SALT=

# required: text, one of staging, production
ENVIRONMENT=

# Two
# lines
# KEY=x
# optional: text
GREETING='it\\'s $5 #1'

# optional: number, between 0.0 and 1.0
RATE=0.5

# required, may be empty: duration such as 1m30s, at most 300 seconds
TIMEOUT=

# optional: size such as 64m, at least 1048576 bytes
# required without HOSTS
# not together with API
# one of several required when ENVIRONMENT is staging
# LIMIT=

# optional: list, separated by ';', of host name or address, at most 3 items
# required without LIMIT
# required when A is set
# HOSTS=

# optional: URL, with scheme https or http, 99 characters at most, matches ^h
# not together with LIMIT
# required when ENVIRONMENT is production
# API=

# optional: text
# all or none: with B
# one of several required when ENVIRONMENT is staging
# A=

# optional: true or false
# all or none: with A
B=true
"""


def drift(text, raw):
    findings = example.drift(load(raw), sources.Source("example", text))
    return [(finding.rule.name, finding.variable, finding.line) for finding in findings]


def of(**keys):
    return {"variables": {"A": keys}}


def test_what_is_written():
    assert example.dump(load(RAW)) == TEXT


def test_compose_reads_the_defaults_and_no_secret():
    document = parser.parse(TEXT)
    assert not document.notes
    assert {name: value for name, value in document.values.items() if value} == {
        "GREETING": "it's $5 #1",
        "RATE": "0.5",
        "B": "true",
    }


def test_what_is_written_is_as_the_schema_says():
    assert drift(TEXT, RAW) == []
    schema = yaml.safe_load((ROOT / "examples" / "tria" / "env.schema.yaml").read_text(encoding="utf-8"))
    assert drift(example.dump(load(schema)), schema) == []


def test_the_example_of_the_reference_stack_is_as_its_schema_says():
    folder = ROOT / "examples" / "tria"
    schema = yaml.safe_load((folder / "env.schema.yaml").read_text(encoding="utf-8"))
    assert drift((folder / ".env.example").read_text(encoding="utf-8"), schema) == []


@pytest.mark.parametrize(
    ("raw", "text", "expected"),
    [
        (of(), "B=1\n", [("example_missing", "A", 0), ("example_unknown", "B", 1)]),
        (of(), "# A=1\n", []),
        (of(), "  #export A=1\n", []),
        (of(), "# A is not set\n", [("example_missing", "A", 0)]),
        (of(), "A='open\n", [("syntax", "A", 1)]),
        (of(), f"# A=\nB {CANARY}=1\n", [("syntax", "", 2)]),
        (of(), "A=${\n", [("interpolation", "A", 1)]),
        (of(), "A=1\nCOMPOSE_PROFILES=x\nDOCKER_HOST=x\n", []),
        ({"variables": {"A": {}}, "required_by": {"A": "B"}}, "A=1\nB=1\n", []),
        (of(), f"A=1\n{CANARY}=1\n", [("example_unknown", "(a name)", 2)]),
        (of(deprecated=True), "", []),
        (of(deprecated=True), "\nA=1\n", [("deprecated", "A", 2)]),
        (of(default="x"), "A=y\n", [("example_default", "A", 1)]),
        (of(default="x"), "A=\n", []),
        (of(default="x"), "# A=y\n", []),
        (of(type="float", default=100000.0), "A=100000.00\n", []),
        (of(type="float", default=1.0), "A=one\n", [("example_default", "A", 1)]),
        (of(type="duration", default="90s"), "A=1m30s\n", []),
        (of(type="size", default="64m"), "A=64k\n", [("example_default", "A", 1)]),
        (of(type="bool", default=True), "A=yes\n", []),
        (of(type="list", default="a,b"), "A=a, b\n", []),
        (of(type="list", default="a,b"), "A=b,a\n", [("example_default", "A", 1)]),
        (of(secret=True), f"A={CANARY}\n", [("example_secret", "A", 1)]),
        (of(secret=True), f"\n# A='{CANARY}'\n", [("example_secret", "A", 2)]),
        (of(secret=True, default=CANARY), f"A={CANARY}\n", []),
        (of(secret=True, default=CANARY), f"A={CANARY}x\n", [("example_secret", "A", 1)]),
        (of(secret=True), "A=CHANGE_THIS_SECRET_KEY_789\n", []),
        (of(secret=True), "A=\n", []),
        (of(secret=True, type="url"), f"A=redis://:{CANARY}@redis/0\n", [("example_secret", "A", 1)]),
        (of(secret=True, type="url"), f"A=https://{CANARY}@sentry.io/1\n", [("example_secret", "A", 1)]),
        (of(secret=True, type="url"), "A=postgresql://tria:CHANGE_THIS_PASSWORD@postgres/tria\n", []),
        (of(secret=True, type="url"), "A=redis://redis/0\n", []),
    ],
)
def test_drift(raw, text, expected):
    assert drift(text, raw) == expected


def test_drift_shows_no_value():
    source = sources.Source(
        "example", f"SECRET_KEY={CANARY}\n# SALT={CANARY}1\nRATE=0.{CANARY}\n{CANARY}=1\nX='{CANARY}\n"
    )
    findings = list(example.drift(load(RAW), source))
    assert {finding.rule.name for finding in findings} == {
        "example_secret", "example_default", "example_missing", "example_unknown", "syntax"
    }  # fmt: skip
    assert CANARY not in json.dumps([finding.as_dict() for finding in findings])


def test_an_example_that_is_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b"A=\xff\n")
    for name, expected in (("none", "example_file"), ("pipe", "file_kind"), ("latin", "encoding")):
        findings = list(example.drift(load(of()), sources.from_file(str(tmp_path / name))))
        assert [finding.rule.name for finding in findings] == [expected]


def test_every_rule_of_examples_is_planted():
    text = pathlib.Path(__file__).read_text(encoding="utf-8")
    assert [rule.name for rule in of_examples.RULES if f'"{rule.name}"' not in text] == []


def test_waivers_and_the_result(tmp_path):
    path = tmp_path / ".env.example"
    path.write_text("B=1\nC=1\n", encoding="utf-8")
    params = {"content": None, "files": None, "schema": of(), "waive": ["A", {"name": "B", "rule": "ENV015"}]}
    options = {"process_environment": False, "recommended": [], "example": {"path": str(path), "state": "checked"}}
    outcome = engine.check({**params, **options}, {})
    assert [finding.variable for finding in outcome.findings] == ["C"]
    assert [finding.variable for finding in outcome.waived] == ["A", "B"]
    assert outcome.valid and outcome.table().startswith(
        f"env_validate: 1 warning in {path}:\n  The example file:\n    warning  C  {path}:2"
    )


def test_writing_it(tmp_path):
    path, schema = tmp_path / ".env.example", load(RAW)
    made = example.ensure(str(path), schema, check_mode=True)
    assert made["changed"] and made["diff"]["before"] == "" and made["diff"]["after"] == TEXT
    assert not path.exists()
    assert example.ensure(str(path), schema, check_mode=False)["changed"]
    assert path.read_text(encoding="utf-8") == TEXT and stat.S_IMODE(path.stat().st_mode) == 0o644
    assert example.ensure(str(path), schema, check_mode=False) == {"changed": False, "diff": {}}
    os.chmod(path, 0o640)
    assert example.ensure(str(path), load(of()), check_mode=False)["changed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and os.listdir(tmp_path) == [".env.example"]


def test_what_no_file_can_hold_is_replaced(tmp_path):
    schema = load(of(description="a\ud800b\u2028SECRET=1\x85X=1", default="x"))
    assert example.ensure(str(tmp_path / "example"), schema, check_mode=False)["changed"]
    text = (tmp_path / "example").read_bytes().decode("utf-8")
    assert "# a?b\n# SECRET=1\n# X=1\n" in text and parser.parse(text).values == {"A": "x"}


def test_a_link_stays_one(tmp_path):
    (tmp_path / "link").symlink_to("real")
    example.ensure(str(tmp_path / "link"), load(of()), check_mode=False)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text(encoding="utf-8").endswith("# A=\n")


@pytest.mark.parametrize(
    "text",
    [
        f"SECRET_KEY={CANARY}\n",
        TEXT.replace("SECRET_KEY=", f"SECRET_KEY={CANARY}"),
        TEXT.replace("# SALT=", f"SALT={CANARY}"),
        TEXT.replace("ENVIRONMENT=", "ENVIRONMENT=production"),
        TEXT.replace("SECRET_KEY=", f"SECRET_KEY='{CANARY}"),
    ],
)
def test_what_was_not_made_here_or_was_filled_in_stays(tmp_path, text):
    path = tmp_path / ".env"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProductionError, match="is no example that env_validate made") as caught:
        example.ensure(str(path), load(RAW), check_mode=False)
    assert path.read_text(encoding="utf-8") == text and CANARY not in str(caught.value)


def test_the_diff_shows_nothing_of_what_was_there(tmp_path):
    path = tmp_path / ".env.example"
    path.write_text(f"{TEXT}# {CANARY}\n# SALT={CANARY}\nRATE=0.6\nGREETING={CANARY}\n{CANARY}=1\n", encoding="utf-8")
    diff = example.ensure(str(path), load(RAW), check_mode=True)["diff"]
    assert CANARY not in json.dumps(diff) and "0.6" not in diff["before"]
    assert diff["before"] == TEXT + (
        "(a line that is not shown)\n# SALT=(not shown)\nRATE=(not shown)\nGREETING=(not shown)\n(a line that is not shown)\n"
    )


def test_where_nothing_can_be_written(tmp_path, monkeypatch):
    with pytest.raises(ProductionError, match="No such file or directory") as caught:
        example.ensure(str(tmp_path / "none" / ".env.example"), load(of()), check_mode=False)
    assert caught.value.remedy
    with pytest.raises(ProductionError, match="not a regular file"):
        example.ensure(str(tmp_path), load(of()), check_mode=False)

    def full(*_arguments):
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(_atomic, "write_file", full)
    with pytest.raises(ProductionError, match="No space left on device"):
        example.ensure(str(tmp_path / ".env.example"), load(of()), check_mode=False)
