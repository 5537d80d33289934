# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parser and the writer of env files against the real Docker Compose: not one byte of difference."""

from __future__ import annotations

import itertools
import json
import random
import sys
import unicodedata

import docker
import env_generated
import pytest
from env_compose import Compose, differences, ours
from env_corpus import ACCEPTED, REFUSED, SHELL

from ansible_collections.tria.production.plugins.module_utils._env import carried, parser, writer


@pytest.fixture(name="compose")
def fixture_compose(tmp_path):
    return Compose(tmp_path, SHELL)


def test_corpus_is_read_as_compose_reads_it(compose):
    assert len({*ACCEPTED, *REFUSED}) == len(ACCEPTED) + len(REFUSED) > 300
    assert not [text for text in ACCEPTED if ours(text, SHELL) is None]
    assert not [text for text in REFUSED if ours(text, SHELL) is not None]
    assert not differences(compose, [*ACCEPTED, *REFUSED])


def test_generated_files_are_read_or_refused_as_compose_does(compose):
    texts = env_generated.texts(2000, seed=20)
    refused = [text for text in texts if ours(text, SHELL) is None]
    left_out = {*refused[120:]}  # each costs a call of its own
    assert len(texts) == 2000
    assert 100 < len(left_out) < 1500
    assert not differences(compose, [text for text in texts if text not in left_out])


@pytest.mark.parametrize(
    ("before", "pieces", "count", "behind"),
    [
        ("A=", [*"A${}:-\"'\\# \n"], 4, "\n"),
        ('A="', [*'A$0n\\"\n'], 5, '"\n'),
        ("", ["A", "=", ":", " ", "\t", "\r", "\n", "#", "export", "'x'"], 4, "\n"),
    ],
    ids=["values", "escapes", "statements"],
)
def test_every_short_file_there_is(compose, before, pieces, count, behind):
    texts = [before + "".join(chosen) + behind for chosen in itertools.product(pieces, repeat=count)]
    accepted = [text for text in texts if ours(text, SHELL) is not None]
    refused = [text for text in texts if ours(text, SHELL) is None]
    assert min(len(accepted), len(refused)) > 2000
    assert not differences(compose, [*accepted, *random.Random(24).sample(refused, 40)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30, 34))
def test_many_more_generated_files(compose, seed):
    assert not differences(compose, env_generated.texts(5000, seed))


def test_a_difference_would_be_found(compose, monkeypatch):
    monkeypatch.setitem(parser._ESCAPES, "n", "n")
    texts = ["A=1\n", *[f"B={number}\n" for number in range(20)], 'A="\\n"\n', "A=${\n"]
    assert [difference.text for difference in differences(compose, texts)] == ['A="\\n"\n']


def test_a_refusal_among_accepted_files_would_be_found(compose, monkeypatch):
    monkeypatch.setattr(parser._Parser, "_error", lambda *_arguments: None)
    texts = [*[f"B={number}\n" for number in range(20)], "A B=1\n", "C=1\n", "D='\n"]
    assert [difference.text for difference in differences(compose, texts)] == ["D='\n", "A B=1\n"]


def test_names_may_have_all_letters_and_digits_there_are(compose):
    """Compose and this Python may know different versions of Unicode: what both knew for years is the same."""
    old = unicodedata.ucd_3_2_0
    characters = [chr(code) for code in range(0x80, sys.maxunicode) if not 0xD800 <= code < 0xE000]
    letters = [character for character in characters if old.category(character)[0] in "LN"]
    assert not differences(compose, ["".join(f"A{letter}=1\n" for letter in letters)])
    others = [c for c in characters if old.category(c)[0] not in "LNC" and unicodedata.category(c)[0] not in "LN"]
    sample = random.Random(23).sample(others, 20)
    assert not differences(compose, [f"A{character}=1\n" for character in sample])


def test_env_file_option_reads_the_same_and_the_shell_wins(compose):
    text = "A=pa$word\nB=\"x\"C='$y'\nBOTH=file\nD=${BOTH}\n"
    names = ["A", "B", "C", "BOTH", "D"]
    model = {"services": {"s": {"image": "none", "environment": names}}}
    done = compose.config(model, "--env-file", compose.write(text))
    theirs = json.loads(done.stdout)["services"]["s"]["environment"]
    mine = {**ours(text, SHELL), "BOTH": SHELL["BOTH"]}
    assert {name: value.replace("$$", "$") for name, value in theirs.items()} == mine


def started(engine_client, image, *environment):
    """What the Engine says against a container with that environment, if anything."""
    try:
        engine_client.containers.run(image, "true", environment=list(environment), network_mode="none", remove=True)
    except docker.errors.APIError as exc:
        return exc.explanation
    except docker.errors.ContainerError as exc:
        return exc.stderr.decode()
    return ""


def test_a_value_without_a_name_starts_no_container(compose, engine_client, base_images):
    """Compose itself reads it: that it is an error is the Engine's word."""
    model = {"services": {"s": {"image": "none", "env_file": [compose.write("A=1\nLAST")]}}}
    assert json.loads(compose.config(model).stdout)["services"]["s"]["environment"] == {"A": "1", "": "LAST"}
    assert "invalid environment variable" in started(engine_client, base_images["redis"], "=LAST")


@pytest.mark.parametrize("beyond", [0, 1])
def test_the_longest_variable_that_linux_hands_to_a_process(engine_client, base_images, beyond):
    value = "x" * (carried.LONGEST - len("A=\0") + beyond)
    assert ("too_long" in carried.violations("A", value)) == bool(beyond)
    assert ("too long" in started(engine_client, base_images["redis"], f"A={value}")) == bool(beyond)


def test_what_the_writer_writes_is_what_compose_reads(compose):
    source = random.Random(22)
    alphabet = "\\\\\\'''\"\"$$#={}[]() \t\n\r\v\fabnrt0189é\u2028\u00a0\U0001f600%@:/?&!`~-"
    values = ["".join(source.choices(alphabet, k=source.randrange(0, 12))) for _count in range(3000)]
    variables = {f"V{number}": value for number, value in enumerate(values)}
    text = writer.dump(variables)
    assert compose.readings([text], [False]) == [variables]
    assert parser.parse(text).values == variables
