# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the writer writes, the parser reads back."""

from __future__ import annotations

import random

import pytest

from ansible_collections.tria.production.plugins.module_utils._env import parser, writer


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain-1.0", "plain-1.0"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (6379, "6379"),
        (0.08, "0.08"),
        ("two words", "'two words'"),
        ("pa$word#1", "'pa$word#1'"),
        ("it's", "'it\\'s'"),
        ("back\\", '"back\\\\"'),
        ("a\\'$", '"a\\\\\'\\$"'),
    ],
)
def test_form(value, written):
    assert writer.dump({"A": value}) == f"A={written}\n"


def test_sorted_and_null_left_out():
    assert writer.dump({"B": 1, "A": 2, "C": None}) == "A=2\nB=1\n"


def test_round_trip():
    source = random.Random(1)
    alphabet = "\\\\'\"$#={} \t\n\rabn01é\u2028"
    variables = {f"V{n}": "".join(source.choices(alphabet, k=source.randrange(12))) for n in range(3000)}
    document = parser.parse(writer.dump(variables))
    assert document.values == variables
    assert not document.notes


@pytest.mark.parametrize("value", [["canary"], {"canary": 1}, float("nan"), "canary\0", "canary\udcff", b"canary"])
def test_what_cannot_be_written_is_named_but_not_shown(value):
    with pytest.raises(writer.WriteError, match="^BAD: ") as caught:
        writer.dump({"GOOD": 1, "BAD": value})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "1A", "A B", "A-B", "A\n", 5])
def test_names_that_are_none(name):
    with pytest.raises(writer.WriteError, match="is no name for a variable"):
        writer.dump({name: "x"})
