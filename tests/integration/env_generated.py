# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Env files made by hypothesis, mostly of what is hard to read: quotes, escapes, `$`, `#`, odd spaces, nesting."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import hypothesis
from hypothesis import configuration
from hypothesis import strategies as st
from integration import env_corpus

# what hypothesis notes down of its own is no part of the project
configuration.set_hypothesis_home_dir(pathlib.Path(__file__).parents[2] / ".build" / "hypothesis")

_NAMES = ["A", "B", "C", "_x", "A.b-c", "[0]", "é", "1A", "OUTSIDE", "BOTH", "EMPTY_OUTSIDE", "NOPE", "exportA"]
_ODD_NAMES = ["", "A B", "A\tB", "A\u2003B", "A$B", "'A'", "export", "A\u0301", "\ufeffA", "A#", "A\xa0"]
_REFERRED = ["A", "B", "OUTSIDE", "EMPTY_OUTSIDE", "DOLLAR", "BOTH", "NOPE", "_x", "ſ"]
_OPERATORS = [":-", "-", ":+", "+", ":?", "?"]
_PLAIN = ["x", "y z", "a:b", "é", "\U0001f600", "{", "}", "[0]", "-", "?", "+", ":", "=", "%41", "export ", "1", ","]
_ODD = ["#", " #", "\t#", "##", " ", "  ", "\t", "\r", "\v", "\x85", "\xa0", "\u2003", "\u2028", "\ufeff", "\x1c"]
_DOLLARS = ["$", "$$", "$$$", "$1", "$\\", "$ ", "\\$", "$é", "$-", "$$A", "$$$A"]
_BROKEN = ["${", "${}", "${1}", "${A", "${A!}", "${A:x}", "${ A}", "${NOPE:?e}", "${é}"]
_ESCAPES = [f"\\{letter}" for letter in "abcefnrtuvx0189\"'\\$\n # {"]
_ESCAPES += ["\\0101", "\\0377", "\\0400", "\\0000", "\\00101", "\\\\\\", "\\\\n", "\\\\$A", "\\\\\\$A", "\\${A}"]
_BLANKS = ["", "", "", " ", "  ", "\t", "\r", "\v\f", "\x85", "\xa0"]
_LINE_ENDS = [*["\n"] * 8, "\r\n", "\r\n", "\n\n", " \n", "\r", ""]
_EXPORTS = [*[""] * 12, "export ", "export\t", "export  ", "export\f", "export\v", "export\n", "export\xa0"]
_TAILS = [*[""] * 12, " ", " # c", "# c", "\t# c", "B='y'", 'C="$A"', "B=", "x", "NOPE", "!", "=1", "\u2003"]


def _references() -> list[str]:
    """References in references, to three levels: hypothesis chooses faster than it builds."""
    plain = [f"${name}" for name in _REFERRED] + [f"${{{name}}}" for name in _REFERRED]
    words = ["", "x", "$$", "$1", "a:-b", "{}", "{x}", "{", "'q'", " z ", "\\$", "\\n", "{{}}", "é", "#", *plain[:4]]
    for _level in range(3):
        inner = [f"${{{name}{operator}{word}}}" for word in words for name in _REFERRED for operator in _OPERATORS]
        words = [f"{before}{one}{after}" for one in inner[::29] for before, after in ("  ", "a{", "}}")]
        plain += inner
    return plain


def _some(*lists: list[str], most: int = 5) -> st.SearchStrategy:
    return st.lists(st.one_of(*map(st.sampled_from, lists)), max_size=most).map("".join)


def _joined(*lists: list[str] | st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(*(st.sampled_from(each) if isinstance(each, list) else each for each in lists)).map("".join)


_SELDOM = [*[""] * 15, *_BROKEN]
_REFERENCES = _references()
_unquoted = _joined(_some([*_PLAIN, *_ODD], [*_DOLLARS, *_ESCAPES, "'", '"'], _REFERENCES), _SELDOM)
_single = _joined(["'"], _some([*_PLAIN, *_ODD], [*_ESCAPES, "\\'", "\n", '"'], [*_DOLLARS, *_BROKEN]), ["'"], _TAILS)
_inside = _some([*_PLAIN, *_ODD, "\n", "'"], _ESCAPES, _DOLLARS, _REFERENCES)
_double = _joined(['"'], _inside, _SELDOM, [*['"'] * 12, "", "'"], _TAILS)
_names = [*_NAMES * 9, *_ODD_NAMES]
_value = _joined(_EXPORTS, _names, _BLANKS, ["=", "=", "=", ":"], _BLANKS, st.one_of(_unquoted, _single, _double))
_bare = _joined(_EXPORTS, _names, _BLANKS)
_comment = _joined(["#", "# "], _some([*_PLAIN, *_ODD, *_BROKEN, "'", '"']))
_statement = _joined([*_BLANKS, "\u2003"], st.one_of(_value, _value, _value, _bare, _comment), _LINE_ENDS)
_file = _joined(["", "", "", "\ufeff"], st.lists(_statement, min_size=1, max_size=4).map("".join))
_chaos = st.text(alphabet="AB=:'\"\\$${{}}#\n\r\t -?+x0[é", max_size=16).map("A={}\n".format)


_SHORT = [text for text in [*env_corpus.ACCEPTED, *env_corpus.REFUSED] if len(text) < 80]


def _mutant(text: str, at: int, piece: str, dropped: int, rest: str) -> str:
    """A file of the corpus with a piece of something else in it, and another file behind it."""
    at %= len(text) + 1
    return text[:at] + piece + text[at + dropped :] + rest


_mutants = st.builds(
    _mutant,
    st.sampled_from(_SHORT),
    st.integers(0, 79),
    st.sampled_from(["", *_PLAIN, *_ODD, *_DOLLARS, *_BROKEN, *_ESCAPES, *_TAILS, *"'\"\n\\{}$=", *_REFERENCES[:200]]),
    st.integers(0, 2),
    st.sampled_from([*[""] * 200, *_SHORT]),
)


def texts(count: int, seed: int) -> list[str]:
    """That many env files, always the same ones for a seed; most are such as Compose accepts.

    They are made in a process of their own: hypothesis also tries constants of whatever modules are loaded.
    """
    command = [sys.executable, __file__, str(count), str(seed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def _made(count: int, seed: int) -> list[str]:
    found: dict[str, None] = {}
    turn = 0
    while len(found) < count:
        _collect(found, count - len(found) + 100, f"{seed}.{turn}")  # the first ones of each turn are alike
        turn += 1
    return list(found)[:count]


def _collect(found: dict[str, None], most: int, seed: str) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=most,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.one_of(_file, _file, _mutants, _mutants, _chaos))
    def collect(text: str) -> None:
        found[text] = None

    collect()


if __name__ == "__main__":
    json.dump(_made(*map(int, sys.argv[1:])), sys.stdout)
