# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Env files of `format: raw`; `tests/integration/test_env_raw_oracle.py` holds them against the Docker command line."""

from __future__ import annotations

import pytest

from ansible_collections.tria.production.plugins.module_utils._env import parser, raw

OUTSIDE = {"OUTER": "outer"}


def read(text):
    return raw.parse(text, OUTSIDE.get)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A='a$b' # c\\n \n", {"A": "'a$b' # c\\n "}),
        ("\ufeffA=1\r\nB=2\r\r\nC=3", {"A": "1", "B": "2\r", "C": "3"}),
        (" \t\v\u00a0A=1\n  # B=2\n\nC=\n", {"A": "1", "C": ""}),
        ("A=1=2\nA==\n", {"A": "="}),
        ("OUTER\nGONE\n", {"OUTER": "outer"}),
        ("export=1\nA-b.c[d]é=2\n", {"export": "1", "A-b.c[d]é": "2"}),
        ("A=" + "x" * (64 * 1024 - 3) + "\n", {"A": "x" * (64 * 1024 - 3)}),
    ],
)
def test_values(text, values):
    document = read(text)
    assert document.values == values and not document.failed


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("export A=canary", "a variable name holds a space or a tab"),
        ("A =canary", "a variable name holds a space or a tab"),
        ("A\tcanary", "a variable name holds a space or a tab"),
        ("=canary", "there is no name before the ="),
        ("A=" + "x" * (64 * 1024 - 2), "the line is longer than 64 KiB"),
    ],
)
def test_what_is_refused_is_named_by_line_and_the_rest_is_read(line, message):
    document = read(f"B=1\n{line}\nC=2\n")
    assert document.failed and document.values == {"B": "1", "C": "2"}
    assert [(note.rule, note.line, note.name, note.message) for note in document.notes] == [("syntax", 2, "", message)]


def test_what_may_be_a_mistake_is_noted():
    document = read("A=1\nGONE\nA=2\n")
    assert [(note.rule, note.line, note.name) for note in document.notes] == [("bare_key", 2, "GONE"), ("duplicate", 3, "A")]
    assert document.notes[1].message == "is set in line 1 too; this line wins" and not document.failed


def test_a_file_that_is_none_is_read_to_its_thousandth_error():
    document = read("=\n" * (parser.MOST_ERRORS + 10))
    assert len(document.notes) == parser.MOST_ERRORS + 1
    assert document.notes[-1].message == "after so many findings the rest was not read"
