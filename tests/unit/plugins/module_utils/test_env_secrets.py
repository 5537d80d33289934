# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets that others guess or know are found; what random generators yield is not taken for one."""

from __future__ import annotations

import base64
import itertools
import json
import pathlib
import random
import re
import string
import time
import uuid

import pytest
import yaml

from ansible_collections.tria.production.plugins.module_utils._env import engine, known_values, secrets, sources, writer
from ansible_collections.tria.production.plugins.module_utils._env.schema import load
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

KNOWN = """
postgres admin Admin changeme guest minioadmin root toor letmein hunter2 P@ssw0rd P@ssw0rd!2024 Admin@123 admin123
Welcome1 Passw0rd trustno1 s3cr3t qwerty123456 django-insecure-7v(w2_q0z AKIAIOSFODNN7EXAMPLE
wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
""".split()
REPEATED = """
aaa aaaaaaaa 1111111111 ababababab abc7abc7abc7abc7 aaaaaaaabbbbbbbbcccccccc x7Qx7Qx7Qx7Q deadbeefdeadbeef
""".split()
SEQUENTIAL = """
0123456789abcdef abcdefghijkl zyxwvutsrqponm 1234567890 12345678 qwertyuiop asdfghjkl123 1qaz2wsx3edc abcdef123456
0987654321 aabbccddeeff mnbvcxzlkjhgfdsa
""".split()
RANDOM_HEX = "9f86d081884c7d659a2feaa0c55ad015"
LONG_HEX = "1b4f0e9851971998e732078544c96b36c3d01cedf7caa332359d6f1d83567014"


def rules_of(value, **variable):
    schema = load({"variables": {"A": {"secret": True, **variable}}})
    outcome = engine.validate([sources.from_content(f"A='{value}'\n")], schema)
    if len(value) > 3:
        assert value not in json.dumps(outcome.as_dict()) + outcome.table()
    return [finding.rule.name for finding in outcome.findings]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (rule, text)
        for rule, texts in (("known_default", KNOWN), ("repeated_secret", REPEATED), ("sequential_secret", SEQUENTIAL))
        for text in texts
    ],
)
def test_guessable(rule, text):
    assert secrets.guessable(text) == rule


@pytest.mark.parametrize("rule, text", [
    ("known_default", "minioadmin"), ("repeated_secret", "x7Qx7Qx7Qx7Q"), ("sequential_secret", "1qaz2wsx3edc"),
    ("placeholder", "changeme"), ("placeholder", "xxxxxxxxxxxx"),
])
def test_one_finding_says_it(rule, text):
    assert rules_of(text) == [rule]
    assert rules_of(f"postgresql://app:{text}@db/shop", type="url") == [rule]


@pytest.mark.parametrize("text", ["admin-84729371029384", "correct-horse-battery-staple", "q7Wv0x", "redis-cluster-9"])
def test_not_guessable(text):
    assert secrets.guessable(text) is None


def test_only_secrets_are_judged():
    values = ["postgres", "12345678", "aaaaaaaa", "short"]
    schema = load({"variables": {f"A{index}": {} for index in range(len(values))}})
    content = "".join(f"A{index}={value}\n" for index, value in enumerate(values))
    assert engine.validate([sources.from_content(content)], schema).findings == []


@pytest.mark.parametrize(
    ("value", "said", "short"),
    [
        ("q7Wv0xZ9Kd3mT5b", {}, True),  # 15 characters
        ("q7Wv0xZ9Kd3mT5bR", {}, False),
        (RANDOM_HEX, {}, False),
        (RANDOM_HEX[2:], {}, True),  # 30 digits, 15 bytes
        (RANDOM_HEX.upper()[2:], {}, True),
        ("0x" + RANDOM_HEX[2:], {}, True),
        (RANDOM_HEX[:20] + "Q7Wz", {}, False),  # no hexadecimal
        (base64.b64encode(bytes.fromhex(RANDOM_HEX)).decode(), {}, False),
        ("n4bQgYhMfWWaL+qg", {}, True),  # 16 characters of base64 hold 12 bytes
        ("n4bQgYhMfWWaL-qg", {}, True),
        ("n4bQgYhMfWWaLqgxVrQFaA0=", {}, False),
        ("n4bQgYhMfWWaLqgxVr0=", {}, True),
        ("2f1c7b0e-4a4d-4c58-9f4e-0b6f3c1d2e7a", {}, False),
        ("correct-horse-battery-staple", {}, False),
        ("q7Wv0xZ", {"min_length": 4}, False),  # the schema knows better
        (RANDOM_HEX, {"min_length": 32}, False),  # 16 bytes are enough for every secret
        (LONG_HEX, {"min_length": 32}, False),
        ("2f1c7b0e-4a4d-4c58-9f4e-0b6f3c1d2e7a", {"min_length": 32}, False),
        (RANDOM_HEX[2:], {"min_length": 30}, True),
        (RANDOM_HEX[:20], {"min_length": 12}, True),  # 10 bytes
        (RANDOM_HEX[:24], {"min_length": 12}, False),  # the schema is content with 12
        (RANDOM_HEX, {"min_length": 32, "max_length": 32}, False),  # there is no room for more
        (RANDOM_HEX, {"min_length": 32, "pattern": "^[0-9a-f]{32}$"}, False),
        ("q7Wv", {"choices": ["q7Wv", "k2Xp"]}, False),
        ("redis://:q7Wv0xZ@redis", {}, False),
    ],
)
def test_short_by_decoded_bytes(value, said, short):
    assert rules_of(value, **said) == (["short_secret"] if short else [])


def test_too_few_characters_are_said_once():
    assert rules_of("q7Wv0xZ", min_length=32) == ["min_length"]


def generated():
    """Ten thousand of each: what `openssl rand -hex` and `-base64` and their like make of 16 to 64 bytes."""
    source = random.Random(7)
    letters = string.ascii_letters + string.digits
    sizes = itertools.cycle(range(16, 65))

    def raw():
        size = next(sizes)
        return source.getrandbits(8 * size).to_bytes(size, "big")

    return {
        "hex": [raw().hex() for _count in range(10_000)],
        "base64": [base64.b64encode(raw()).decode() for _count in range(10_000)],
        "base64url": [base64.urlsafe_b64encode(raw()).decode().rstrip("=") for _count in range(10_000)],
        "uuid": [str(uuid.UUID(int=source.getrandbits(128), version=4)) for _count in range(10_000)],
        "letters": ["".join(source.choices(letters, k=next(sizes))) for _count in range(10_000)],
        "vendor": ["sk-" + "".join(source.choices(letters, k=40)) for _count in range(10_000)],
    }


def test_random_secrets_give_no_finding():
    for kind, values in generated().items():
        schema = load({"variables": {f"SECRET_{index}": {"secret": True} for index in range(len(values))}})
        content = "".join(f"SECRET_{index}={value}\n" for index, value in enumerate(values))
        outcome = engine.validate([sources.from_content(content)], schema)
        assert outcome.findings == [], kind


def test_the_reference_stack_gives_no_finding():
    root = pathlib.Path(__file__).parents[4]
    inventory = yaml.safe_load((root / "inventories/local/group_vars/stack/main.yml").read_text(encoding="utf-8"))
    schema = load(yaml.safe_load((root / "examples/tria/env.schema.yaml").read_text(encoding="utf-8")))
    source = random.Random(7)

    def made(lookup):
        size = int(re.search(r"length=(\d+)", lookup)[1])
        return re.sub(r"{{.*}}", "".join(source.choices(string.ascii_letters + string.digits, k=size)), lookup)

    for _stack in range(100):
        parts = {f"{{{{ local_secrets.{name} }}}}": made(text) for name, text in inventory["local_secrets"].items()}
        parts["{{ certificates_path }}"] = "/etc/ssl"
        text = writer.dump(inventory["environment_variables"])
        for reference, value in parts.items():
            text = text.replace(reference, value)
        assert "{{" not in text
        assert engine.validate([sources.from_content(text)], schema).findings == []


def test_judging_takes_linear_time():
    began = time.process_time()
    for text in ("ab" * 200_000, "a" * 200_000 + "b" + "a" * 200_000, "A1a+" * 100_000 + "!", "1" * 400_000 + "q"):
        secrets.guessable(text)
        secrets.shortness(text)
    assert time.process_time() - began < 1


SCHEMA = {"variables": {
    "SECRET_KEY": {"secret": True}, "DATABASE_URL": {"type": "url", "secret": True}, "REDIS_HOST": {},
    "JWT_SECRET_KEY": {"secret": True}, "EMPTY": {"secret": True},
}}
EXAMPLE = (
    "SECRET_KEY=9f86d081884c7d659a2feaa0c55ad015\nDATABASE_URL=postgresql://tria:n4bQgYhMfW@localhost/tria\n"
    "REDIS_HOST=redis\nJWT_SECRET_KEY=changeme\nEMPTY=\n"
)


def against_example(tmp_path, content, named=(), example_name=".env.example", schema=None):
    path = tmp_path / ".env"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    if example_name:
        (tmp_path / example_name).write_text(EXAMPLE, encoding="utf-8")
    params = {
        "schema": schema or SCHEMA, "waive": [], "content": None, "files": [str(path)], "owner": None,
        "example_files": list(named), "process_environment": False, "recommended": [],
    }
    return [(finding.rule.name, finding.variable, finding.line) for finding in engine.check(params, {}).findings]


@pytest.mark.parametrize("name", [".env.example", ".env.sample", ".env.template", ".env.dist"])
def test_values_of_the_example_beside(tmp_path, name):
    assert against_example(tmp_path, EXAMPLE, example_name=name) == [
        ("example_value", "SECRET_KEY", 1), ("example_value", "DATABASE_URL", 2), ("placeholder", "JWT_SECRET_KEY", 4),
    ]


def test_a_password_of_the_example_in_another_url(tmp_path):
    content = "DATABASE_URL=postgresql://app:n4bQgYhMfW@db:5432/shop\n"
    assert against_example(tmp_path, content) == [("example_value", "DATABASE_URL", 1)]
    content = "DATABASE_URL=postgresql://tria:otherQ7Wv@localhost/tria\nSECRET_KEY=0b0c86d081884c7d659a2feaa0c55ad0\n"
    assert against_example(tmp_path, content) == []


def test_named_example_files(tmp_path):
    (tmp_path / "elsewhere").write_text("SECRET_KEY=1b4f0e9851971998e732078544c96b36\n", encoding="utf-8")
    content = "SECRET_KEY=1b4f0e9851971998e732078544c96b36\n"
    assert against_example(tmp_path, content) == []
    named = [str(tmp_path / "elsewhere")]
    assert against_example(tmp_path, content, named) == [("example_value", "SECRET_KEY", 1)]
    assert against_example(tmp_path, EXAMPLE, named)[0] == ("placeholder", "JWT_SECRET_KEY", 4)
    with pytest.raises(ProductionError, match="nowhere: the file does not exist. Remedy: Correct example_files."):
        against_example(tmp_path, content, [str(tmp_path / "nowhere")])
    (tmp_path / "latin").write_bytes(b"A=\xff\n")
    with pytest.raises(ProductionError, match="latin: not UTF-8 text"):
        against_example(tmp_path, content, [str(tmp_path / "latin")])


def test_an_example_is_not_its_own(tmp_path):
    path = tmp_path / ".env.example"
    assert str(path) not in known_values.beside(str(path))
    assert known_values.beside("shop.env")[0] == "shop.env.example" and ".env.example" in known_values.beside("shop.env")
