# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The env file parser on its own; `tests/integration/test_env_oracle.py` holds it against Docker Compose."""

from __future__ import annotations

import pytest

from ansible_collections.tria.production.plugins.module_utils._env import interpolation
from ansible_collections.tria.production.plugins.module_utils._env.parser import parse


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("\ufeffexport A=1\r\nB: 2 # two\n", {"A": "1", "B": "2"}),
        ("A=pa$word\n", {"A": "pa"}),
        ("A=a$$b\n", {"A": "a$b"}),
        ("A='a$b'\n", {"A": "a$b"}),
        ("A= #x\n", {"A": "#x"}),
        ("A=1\t#x\n", {"A": "1\t#x"}),
        ('A="x"tail=9\n', {"A": "x", "tail": "9"}),
        ('A="\\0101\\n\\$x"\n', {"A": "A\n$x"}),
        ("A='it\\'s\ntwo lines'\n", {"A": "it's\ntwo lines"}),
        ("A=${X:-${Y:-deep}}\n", {"A": "deep"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("HOME_OF\n", {}),
    ],
)
def test_values(text, values):
    document = parse(text)
    assert document.values == values
    assert not document.failed


def test_outer_values_win_over_earlier_lines_and_fill_bare_keys():
    assert parse("A=file\nB=$A\nA\n", {"A": "outer"}.get).values == {"A": "outer", "B": "outer"}


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("A=1\nMY KEY=2\n", "syntax", 2),
        ("A=1\n\nB='x\n", "syntax", 3),
        ("A='two\nlines'\nB!=1\n", "syntax", 3),
        ("A=1\nLAST", "syntax", 2),
        ("=1\n", "syntax", 1),
        ("export ", "syntax", 1),
        ("A=1\nB=${1}\n", "interpolation", 2),
        ("B=${C:?say why}\n", "interpolation", 1),
        ("A=\nB=pa$word\n", "unset_reference", 2),
        ("A=x #y\n", "hash_cut", 1),
        ("A=#y\n", "hash_kept", 1),
        ('A="x\ny"z=1\n', "text_after_quote", 2),
        ("A=1\nB=1\nA=2\n", "duplicate", 3),
        ("\n\nA\n", "bare_key", 3),
    ],
)
def test_notes_have_their_line(text, rule, line):
    document = parse(text)
    assert [(note.rule, note.line) for note in document.notes] == [(rule, line)]
    assert document.failed == (rule in ("syntax", "interpolation"))


def test_goes_on_after_errors_and_finds_all():
    document = parse("A B=1\nC='x\nD=${\nE=5\n")
    assert [(note.line, note.name) for note in document.notes] == [(1, ""), (2, "C"), (3, "D")]
    assert document.values["E"] == "5"
    assert document.broken == {"C": 2, "D": 3}


def test_an_ordinary_comment_is_no_finding():
    assert not parse("A=1 # one\nB=2  #\nC='x' # y\n# D\n").notes


def test_nesting_without_end_is_an_error_not_a_crash():
    document = parse("A=" + "${A:-" * 5000 + "}" * 5000 + "\n")
    assert [note.rule for note in document.notes] == ["interpolation"]


def test_time_grows_with_the_size_only():
    count = 20000
    document = parse("".join(f'V{number}="value {number}" # ${{X}}\n' for number in range(count)))
    assert len(document.values) == count
    assert document.entries[f"V{count - 1}"].line == count


def test_substitute_reports_unset_names_once_each_time():
    unset: list = []
    assert interpolation.substitute("$A${B}${C-}$D", {"D": ""}.get, unset) == ""
    assert unset == ["A", "B"]
