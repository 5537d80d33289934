# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The env file parser on its own; `tests/integration/test_env_oracle.py` holds it against Docker Compose."""

from __future__ import annotations

import time

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


def repeated(statement, count=20000):
    return "".join(statement.format(number) for number in range(count))


LONG_LINES = [
    repeated('V{0}="value {0}" # ${{X}}\n'),
    repeated("#\n \n", 500000) + "A=1\n",
    repeated("V{0}=\n\r\n\t\n"),
    "A=" + repeated("${{X:-{0}}} ") + "x" * 1000000 + "\n",
    'A="' + repeated("${{X:-{0}}}\n", 100000) + '"\n',
    "A=" + repeated("${{X:-{{") + "}\n",
    "A='" + "\\" * 1000001 + "'\n",
    'A="' + '\\"' * 500000 + '"\n',
    "A='" + "\\'" * 500000 + "\n",
    repeated("V{0}='\n V{0}=\"\n"),
    repeated("A{0}='x'", 50000),
    repeated("A{0} B=1\n", 50000),
    repeated("A={0}\n", 50000),
    "A=" + "$x" * 500000 + "\n",
]


@pytest.mark.parametrize("text", LONG_LINES, ids=range(len(LONG_LINES)))
def test_time_grows_with_the_size_only(text):
    """Each of these takes minutes where something is searched anew for every statement, reference, quote or error."""
    begun = time.process_time()
    document = parse(text)
    assert document.entries or document.failed
    assert time.process_time() - begun < 10  # each takes below one second


def test_lines_are_counted_to_the_end():
    assert parse(repeated('V{0}="value {0}" # ${{X}}\n')).entries["V19999"].line == 20000


def test_references_that_multiply_stop_at_what_an_environment_can_hold():
    names = "ABCDEFGHIJKLMNOP"
    text = "A=0123456789\n" + "".join(f"{name}={f'${last}' * 100}\n" for last, name in zip(names, names[1:]))
    document = parse(text)
    assert [(note.rule, note.name) for note in document.notes] == [("interpolation", "D")]
    wide = "A=" + "x" * 2**20 + "\n" + "".join(f"B{number}=$A$A$A\n" for number in range(100))
    document = parse(wide)
    assert document.failed
    assert sum(map(len, document.values.values())) < 2**20 * 20


@pytest.mark.parametrize(("line", "most"), [("no env file\n", 1000), ("A=1 #x\n", 100000)])
def test_a_file_that_is_no_env_file_does_not_fill_the_memory_with_findings(line, most):
    document = parse(line * (most + 1000))
    assert most < len(document.notes) < most + 3
    assert document.failed
    assert document.notes[-1].message == "after so many findings the rest was not read"


def test_a_reference_that_is_unset_many_times_is_one_finding_for_its_line():
    assert [note.reference for note in parse("A=$x$y$x${x}\n").notes] == ["x", "y"]


@pytest.mark.parametrize(
    ("template", "value", "names"),
    [
        ("${SET:-$A}${SET-$A}${NONE+$A}${NONE:+$A}${SET?$A}", "xxx", []),
        ("${NONE:-$A}${NONE-$B}${SET+$C}${SET:+$D}", "", ["A", "B", "C", "D"]),
        ("${NONE:-${SET:-$A}${NONE-$B}}", "x", ["B"]),
    ],
)
def test_a_word_that_is_not_used_leaves_nothing_unset(template, value, names):
    unset: list = []
    assert interpolation.substitute(template, {"SET": "x"}.get, unset) == value
    assert unset == names


def test_substitute_reports_unset_names_once_each_time():
    unset: list = []
    assert interpolation.substitute("$A${B}${C-}$D", {"D": ""}.get, unset) == ""
    assert unset == ["A", "B"]
