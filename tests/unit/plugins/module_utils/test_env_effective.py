# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each service of a Compose project gets, where it comes from, and what is wrong with it; no value is shown."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest
import yaml

from ansible_collections.tria.production.plugins.module_utils._env import compose_project, compose_yaml, engine, names
from ansible_collections.tria.production.plugins.module_utils._env.rules import ERROR, RULES
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

SERVICE = "services:\n  web:\n    image: x\n"


@pytest.fixture(name="look")
def fixture_look(tmp_path):
    """Writes the files of a project and validates it."""

    def look(texts, schema=None, environ=None, content=None, waive=(), recommended=(), **compose):
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            os.chmod(path, 0o600)
        named = compose.pop("files", ["compose.yaml"])
        options = {
            "schema": schema or {},
            "waive": list(waive),
            "recommended": list(recommended),
            "content": content,
            "process_environment": environ is not None,
            "compose": {"files": [str(tmp_path / name) for name in named], **compose},
        }
        return engine.check(options, environ or {})

    return look


def found(outcome):
    return [
        (finding.rule.name, finding.variable, os.path.basename(finding.file), finding.line)
        for finding in outcome.findings
    ]


def body(*lines):
    return SERVICE + "".join(f"    {line}\n" for line in lines)


# files beside compose.yaml, its lines, (rule, variable, file, line); made of canaries where the rule leaves room
PLANTED = [
    ({}, ["environment: {A: [canary]}"], ("compose_syntax", "", "compose.yaml", 4)),
    ({}, ["environment: canary"], ("compose_syntax", "", "compose.yaml", 4)),
    ({}, ["environment: {A: 1, A: canary}"], ("compose_syntax", "", "compose.yaml", 4)),
    ({}, ["environment: {A: *canary}"], ("compose_syntax", "", "compose.yaml", 4)),
    ({}, ["environment: {A: 'canary}"], ("compose_syntax", "", "compose.yaml", 5)),
    ({}, ["extends: canary"], ("compose_syntax", "", "compose.yaml", 4)),
    ({}, ["environment: {A: 'canary${canary'}"], ("compose_reference", "A", "compose.yaml", 4)),
    ({}, ["environment: ['A=${1canary}']"], ("compose_reference", "A", "compose.yaml", 4)),
    ({}, ["environment: {A: 'x${TAG:?canary}'}"], ("compose_reference", "A", "compose.yaml", 4)),
    ({}, ["environment: {A: 'x${TAG}'}"], ("compose_unset", "A", "compose.yaml", 4)),
    ({}, ["image: '${TAG:?canary}'"], ("compose_reference", "TAG", "compose.yaml", 4)),
    ({}, ["command: 'x${TAG}'"], ("compose_unset", "TAG", "compose.yaml", 4)),
    ({}, ["command: 'x${canary}'"], ("compose_unset", names.UNSHOWN, "compose.yaml", 4)),
    ({}, ["environment: {A: pa$canary}"], ("compose_dollar", "A", "compose.yaml", 4)),
    ({}, ["environment: [A=pa$canary]"], ("compose_dollar", "A", "compose.yaml", 4)),
    ({}, ["command: echo $canary"], ("compose_dollar", "", "compose.yaml", 4)),
    ({".env": "A=canary\n"}, [], ("unused_key", "A", ".env", 1)),
    ({"app.env": "A=1\n"}, ["env_file: [{path: app.env, format: canary}]"], ("compose_syntax", "", "compose.yaml", 4)),
    ({"app.env": "A canary=1\n"}, ["env_file: [{path: app.env, format: raw}]"], ("syntax", "", "app.env", 1)),
    ({}, ["env_file: gone.env"], ("env_file_missing", "", "compose.yaml", 4)),
    ({}, ["env_file: [{path: gone.env}]"], ("env_file_missing", "", "compose.yaml", 4)),
    (
        {"a.env": "A=canary\n"},
        ["env_file: a.env", "environment: {A: canary2}"],
        ("inline_override", "A", "compose.yaml", 5),
    ),
    ({"a.env": "A=canary\n"}, ["env_file: a.env", "environment: [A]"], ("inline_override", "A", "compose.yaml", 5)),
    ({}, ["environment: [A]"], ("bare_key", "A", "compose.yaml", 4)),
    ({}, ["environment: {A: changeme}"], ("placeholder", "A", "compose.yaml", 4)),
    ({"a.env": "A='canary\n"}, ["env_file: a.env"], ("syntax", "A", "a.env", 1)),
    ({"a.env": "A=pa$canary\n"}, ["env_file: a.env"], ("unset_reference", "A", "a.env", 1)),
    ({"a.env": "A=1\nA=canary\n"}, ["env_file: a.env"], ("duplicate", "A", "a.env", 2)),
]


@pytest.mark.parametrize(("files", "lines", "expected"), PLANTED)
def test_rule(look, files, lines, expected):
    first = "build: ." if any(line.startswith("image") for line in lines) else "image: x"
    text = "services:\n  web:\n" + "".join(f"    {line}\n" for line in [first, *lines])
    outcome = look({"compose.yaml": text, **files})
    assert found(outcome) == [expected]
    assert "canary" not in json.dumps([outcome.as_dict(), outcome.table()])
    assert outcome.valid == (RULES[expected[0]].severity != ERROR)


@pytest.mark.parametrize(
    "text",
    ["", "- a\n", "a: [\n", "services: [a]\n", "services: {web: text}\n", "[" * 5000, "? [a]\n: 1\n", "a: \x01\n"],
)
def test_what_is_no_compose_file(look, text):
    outcome = look({"compose.yaml": text})
    assert {finding.rule.name for finding in outcome.findings} == {"compose_syntax"}


def test_files_that_are_none(look, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert found(look({}, files=["gone.yaml"])) == [("file_missing", "", "gone.yaml", 0)]
    assert found(look({}, files=["pipe"])) == [("file_kind", "", "pipe", 0)]
    text = body("env_file: pipe")
    assert found(look({"compose.yaml": text})) == [("file_kind", "", "pipe", 0)]
    assert found(look({"compose.yaml": SERVICE}, env_files=[str(tmp_path / "gone.env")])) == [
        ("file_missing", "", "gone.env", 0)
    ]
    with pytest.raises(ProductionError, match=r"compose\.files: is empty"):
        look({}, files=[])


def test_a_compose_file_that_is_too_large(look, monkeypatch):
    monkeypatch.setattr(compose_project, "LARGEST", 20)
    assert found(look({"compose.yaml": SERVICE})) == [("file_too_large", "", "compose.yaml", 0)]


def test_without_pyyaml(look, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ProductionError, match="PyYAML .*python3-yaml.* is missing"):
        look({"compose.yaml": SERVICE})


def test_where_every_value_comes_from(look, tmp_path):
    outcome = look(
        {
            "compose.yaml": body(
                "env_file: [a.env, b.env]", "environment:", "  C: inline", "  D:", "  OUTSIDE:", "  GONE:"
            ),
            "a.env": "A=1\nB=1\n",
            "b.env": "\nB=2\nC=2\nGONE=1\n",
            ".env": "D=4\nE=5\n",
        },
        environ={"OUTSIDE": "x"},
    )
    here = str(tmp_path)
    assert outcome.origins == {"D": f"{here}/.env:1", "E": f"{here}/.env:2"}
    assert outcome.services == {
        "web": {
            "A": f"{here}/a.env:1",
            "B": f"{here}/b.env:2",
            "C": f"{here}/compose.yaml:6",
            "D": f"{here}/.env:1",
            "OUTSIDE": "process environment",
        }
    }
    assert found(outcome) == [
        ("unused_key", "E", ".env", 2),
        ("inline_override", "C", "compose.yaml", 6),
        ("inline_override", "GONE", "compose.yaml", 9),
    ]


def test_the_schema_is_held_against_what_each_service_gets(look):
    schema = {
        "variables": {
            "DATABASE_URL": {"type": "url", "required": True, "in_container": True},
            "PORT": {"type": "int", "max": 9000},
            "ABSENT": {"required": True},
            "WORKERS": {"type": "int"},
        }
    }
    text = (
        "services:\n  api:\n    image: x\n    environment: {DATABASE_URL: '${DATABASE_URL:?}', PORT: 99999, OWN: 1}\n"
        "  job:\n    image: x\n    environment: {DATABASE_URL: redis://localhost/1, PORT: 99999, WORKRES: 4}\n"
    )
    outcome = look({"compose.yaml": text, ".env": "DATABASE_URL=redis://cache/1\nLEFT_OVER=1\n"}, schema)
    assert found(outcome) == [
        ("required", "ABSENT", ".env", 0),
        ("unused_key", "LEFT_OVER", ".env", 2),
        ("unknown_variable", "LEFT_OVER", ".env", 2),
        ("range", "PORT", "compose.yaml", 4),
        ("localhost", "DATABASE_URL", "compose.yaml", 7),
        ("near_miss", "WORKRES", "compose.yaml", 7),
    ]
    messages = {finding.rule.name: finding.message for finding in outcome.findings}
    assert messages["range"].endswith("(service api)") and messages["localhost"].endswith("(service job)")


def test_what_holds_between_variables_holds_for_the_whole_stack(look):
    schema = {
        "variables": {"POSTGRES_PASSWORD": {}, "DATABASE_URL": {"type": "url"}},
        "consistent": [{"url": "DATABASE_URL", "password": "POSTGRES_PASSWORD"}],
        "required_together": [["XERO_ID", "XERO_SECRET"]],
    }
    text = (
        "services:\n  api:\n    image: x\n    environment: {DATABASE_URL: postgresql://u:q7w@db/d, XERO_ID: a}\n"
        "  db:\n    image: x\n    environment: {POSTGRES_PASSWORD: other, XERO_SECRET: b}\n"
    )
    assert found(look({"compose.yaml": text}, schema)) == [("consistent", "POSTGRES_PASSWORD", "compose.yaml", 7)]
    assert found(look({"compose.yaml": text.replace("q7w", "other")}, schema)) == []


def test_a_variable_that_only_a_service_has_is_set(look):
    schema = {"variables": {"A": {"required": True}, "B": {"required": True}, "C": {"required": True}}}
    outcome = look(
        {"compose.yaml": body("env_file: a.env", "environment: {B: 2}"), "a.env": "A=1\n"}, schema, content="C=3\n"
    )
    assert outcome.good == ["A", "B", "C"] and found(outcome) == [("unused_key", "C", "content", 1)]


def test_what_a_project_that_cannot_be_read_would_have_set_is_unknown(look):
    schema = {"variables": {"A": {"required": True}}, "required_one_of": [["A", "B"]]}
    files = {"compose.yaml": body("env_file: gone.env"), ".env": "C=1\n"}
    assert {finding.rule.name for finding in look(files, schema).findings} == {"env_file_missing", "unknown_variable"}


def test_content_stands_for_the_env_file_beside(look):
    files = {"compose.yaml": body("env_file: .env", "environment: {B: $A}")}
    outcome = look(files, content="A=1\nC=2\n")
    assert found(outcome) == []
    assert outcome.services["web"]["C"] == "content:2"
    with pytest.raises(ProductionError, match=r"compose\.env_files"):
        look(files, content="A=1\n", env_files=["x"])


def test_what_the_schema_demands_and_the_compose_file_too_is_found_once(look):
    schema = {"variables": {"A": {"required": True}, "B": {"required": True}, "URL": {"type": "url", "required": True}}}
    text = body(
        "environment:",
        "  A: ${A:?}",
        "  B: ${B:?}",
        "  OPTIONAL: ${OTHER:?}",
        "  URL: redis://${HOST:?}/1",
        "  C: ${A:?}",
    )
    assert found(look({"compose.yaml": text, ".env": "B=\n"}, schema)) == [
        ("required", "A", ".env", 0),
        ("empty", "B", ".env", 1),
        ("compose_reference", "OPTIONAL", "compose.yaml", 7),
        ("compose_reference", "URL", "compose.yaml", 8),
    ]


def test_a_reference_in_a_value_is_named_only_where_its_name_is_no_secret(look):
    files = {
        "compose.yaml": body("environment: {A: 'pa${CANARY}', B: 'x${KNOWN}', C: '${KNOWN:?}'}", "command: '${TAG:?}'")
    }
    outcome = look(files, {"variables": {"KNOWN": {}}})
    assert [(finding.rule.name, finding.variable) for finding in outcome.findings] == [
        ("compose_unset", "A"),
        ("compose_reference", "KNOWN"),
        ("compose_unset", "KNOWN"),
        ("compose_reference", "TAG"),
    ]
    assert "CANARY" not in json.dumps([outcome.as_dict(), outcome.table()])


def test_a_file_that_is_read_several_times_is_told_of_once(look):
    text = (
        "services:\n  web: {image: x, env_file: .env}\n  api: {image: x, env_file: [a.env, .env]}\n"
        "  job: {image: x, env_file: a.env}\n  cron: {image: x, env_file: [.env, a.env]}\n"
    )
    assert found(look({"compose.yaml": text, ".env": "A=1\nA=x$y\n", "a.env": "B=1\nB=$z\n"})) == [
        ("unset_reference", "A", ".env", 2),
        ("duplicate", "A", ".env", 2),
        ("unset_reference", "B", "a.env", 2),
        ("duplicate", "B", "a.env", 2),
    ]


def test_names_that_every_process_has_are_not_missed(look):
    assert found(look({"compose.yaml": body("volumes: ['${HOME}/x:/y', '${PWD}:/z']")})) == []


def test_profiles_and_services(look):
    text = (
        "services:\n  a: {image: x, environment: {A: '${A:-1}'}}\n"
        "  b: {image: x, profiles: [p], environment: {B: '${B:-1}'}, env_file: gone.env}\n"
    )
    files = {"compose.yaml": text, ".env": "A=1\nB=1\n"}
    assert list(look(files).services) == ["a"] and found(look(files)) == []
    assert look(files).table().endswith("/.env")  # of the other files only those that something is wrong with
    assert look(files, profiles=["p"]).summary().endswith("/compose.yaml")
    assert list(look(files, profiles=["p"]).services) == ["a", "b"]
    assert found(look(files, profiles=["p"])) == [("env_file_missing", "", "compose.yaml", 3)]
    assert list(look(files, services=["b"]).services) == ["b"]
    assert list(look(files, services=["a"]).services) == ["a"]
    with pytest.raises(ProductionError, match=r"there is no service c.*have: a, b"):
        look(files, services=["c"])


def test_a_waiver_for_every_key(look):
    files = {"compose.yaml": body("environment: {A: 'x${TAG}', B: pa$word}"), ".env": "C=1\n"}
    waive = [{"name": "A", "rule": "ENV222"}, {"name": "B", "rule": "compose_dollar"}, "C"]
    outcome = look(files, waive=waive)
    assert found(outcome) == [] and len(outcome.waived) == 3


def test_the_process_environment_takes_part_only_when_asked(look):
    files = {"compose.yaml": body("image: 'x${TAG}'").replace("    image: x\n", "")}
    assert found(look(files)) == [("compose_unset", "TAG", "compose.yaml", 3)]
    assert found(look(files, environ={"TAG": "1"})) == []
    files[".env"] = "TAG=2\n"
    assert found(look(files, environ={"TAG": "1"})) == [("shell_override", "TAG", ".env", 1)]


def test_a_raw_env_file_is_taken_as_it_is(look):
    text = "A='x' # $B\nHOME_OF\nTAG\n"
    files = {
        "app.env": text,
        ".env": "TAG=1\n",
        "compose.yaml": "services:\n"
        "  raw: {image: x, env_file: [{path: app.env, format: raw}]}\n"
        "  usual: {image: x, env_file: [{path: app.env, format: .env}, app.env]}\n",
    }
    schema = {"variables": {"A": {"choices": ["'x' # $B"]}}}
    outcome = look(files, schema)
    origins = {name: os.path.basename(origin) for name, origin in outcome.services["raw"].items()}
    assert origins == {"A": "app.env:1", "TAG": "app.env:3"}
    assert [finding.message for finding in outcome.findings if finding.rule.name == "choices"] == [
        "none of 'x' # $B (service usual)"
    ]


def test_the_env_file_of_an_include_may_be_a_mapping(look):
    files = {
        "compose.yaml": "include: [{path: shop/compose.yaml, env_file: [{path: shop/own.env}]}]\n",
        "shop/compose.yaml": SERVICE + "    environment: {A: '${TAG}'}\n",
        "shop/own.env": "TAG=1\n",
    }
    assert found(look(files)) == []
    files["compose.yaml"] = files["compose.yaml"].replace("own.env}", "own.env, format: raw}")
    assert found(look(files)) == [("compose_syntax", "", "compose.yaml", 1)]


def test_aliases_cost_no_more_than_they_are_long(look):
    levels = "".join(f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
    started = time.monotonic()
    outcome = look({"compose.yaml": "x-0: &a0 [$CANARY]\n" + levels + SERVICE})
    assert time.monotonic() - started < 5 and len(outcome.findings) == 1


def test_what_includes_and_extends_in_many_ways_is_read_once(look):
    files = {f"{n}.yaml": f"include: [{n + 1}.yaml, ./{n + 1}.yaml, {n + 2}.yaml]\n" for n in range(40)}
    files.update({"40.yaml": SERVICE, "41.yaml": "services: {}\n"})
    started = time.monotonic()
    assert list(look(files, files=["0.yaml"]).services) == ["web"]
    files = {f"{n}.yaml": f"include: [{n + 1}.yaml]\n" for n in range(1000)}
    assert [name for name, *_place in found(look(files, files=["0.yaml"]))] == ["compose_syntax"]
    chain = "".join(f"  s{n}: {{extends: s{n + 1}}}\n" for n in range(3000)) + "  s3000: {image: x}\n"
    assert found(look({"compose.yaml": "services:\n" + chain})) == [("compose_syntax", "", "compose.yaml", 2)]
    chain = "".join(f"  s{n}: {{extends: s{n - 1}}}\n" for n in range(1, 3000))
    text = "services:\n  s0: {image: x, environment: {A: 1}}\n" + chain
    assert len(look({"compose.yaml": text}).services) == 3000
    assert time.monotonic() - started < 10


def test_a_large_project_takes_no_longer_than_it_is_large(look):
    names = "".join(f"      V{number}: '${{V{number}}}'\n" for number in range(5000))
    files = {
        "compose.yaml": SERVICE + "    env_file: big.env\n    environment:\n" + names,
        "big.env": "".join(f"W{number}=$V{number}\n" for number in range(50000)),
        ".env": "".join(f"V{number}=x{number}\n" for number in range(50000)),
    }
    started = time.monotonic()
    outcome = look(files)
    assert time.monotonic() - started < 20 and outcome.findings == []
    assert len(outcome.services["web"]) == 55000


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        ("1.50", "1.5"),
        ("010", "8"),
        ("1e7", "1e+07"),
        ("yes", "yes"),
        ("True", True),
        ("~", None),
        ("2020-1-2", "2020-01-02 00:00:00 +0000 UTC"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_plain_scalar_is_what_compose_makes_of_it(plain, expected):
    assert compose_yaml.scalar(plain) == expected


def test_both_of_pyyamls_readers_give_the_same(look, monkeypatch):
    text = (
        body("environment: &e {A: 1.50, B: 'no', C: ~, <<: {D: d}}")
        + "  other: {image: x, environment: !reset {A: 1}}\n"
    )
    text += "  third: {image: x, environment: *e}\n"
    first = look({"compose.yaml": text})
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    second = look({"compose.yaml": text})
    assert first.as_dict() == second.as_dict() and set(second.services["third"]) == {"A", "B", "D"}
    for text in ("[" * 5000, "a: \x01canary\n", 'a: "\\Uffffffff"\n', "a: \ud7ff\ufffe\n"):
        [(rule, _name, _file, _line)] = found(look({"compose.yaml": text}))
        assert rule == "compose_syntax"


def test_env_files_of_services_are_looked_at_where_they_are(look):
    files = {"open.env": "TZ=UTC\n", "declared.env": "A=1\n", "secret.env": "API_TOKEN=q7Wv0xZ9Kd3mT5bR\n", ".git/HEAD": ""}
    text = body("env_file: [open.env, declared.env, secret.env]")
    schema = {"variables": {"A": {}, "API_TOKEN": {}, "TZ": {}}}
    assert found(look({"compose.yaml": text, **files})) == [("git_unignored", "", "secret.env", 0)]
    assert found(look({"compose.yaml": text, **files}, schema)) == []  # which says that it is none
    schema["variables"]["A"]["secret"] = True
    assert found(look({"compose.yaml": text, **files, "declared.env": "A=q7Wv0xZ9Kd3mT5bR\n"}, schema)) == [
        ("git_unignored", "", "declared.env", 0)
    ]


def test_secrets_of_services_are_judged_as_others_are(look):
    outcome = look({"compose.yaml": body("environment: {GITHUB_TOKEN: ghp_canary}")})
    assert found(outcome) == [("vendor_key", "GITHUB_TOKEN", "compose.yaml", 4)]
    assert outcome.findings[0].message == RULES["vendor_key"].message + " (service web)"
    files = {".env": "", ".env.example": "A=q7Wv0xZ9Kd3mT5bR\n"}
    text = body("environment: {A: q7Wv0xZ9Kd3mT5bR}")
    assert found(look({"compose.yaml": text, **files}, {"variables": {"A": {"secret": True}}})) == [
        ("example_value", "A", "compose.yaml", 4)
    ]
