# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a file holds, the engine is through with it in a time and memory that grow as the file does."""

from __future__ import annotations

import contextlib
import random
import signal
import tracemalloc

import pytest

from ansible_collections.tria.production.plugins.module_utils._env import engine, parser, sources
from ansible_collections.tria.production.plugins.module_utils._env.schema import load
from ansible_collections.tria.production.plugins.module_utils._env.similar import Similar

SIZE = 40_000  # characters; what is quadratic takes half a minute for them
SECONDS = 4  # of processor time, at most
MEMORY = 20_000_000  # bytes

# what is repeated until the file is large
UNITS = [
    "#\n", "# a\n\n", "\n", " \n", "A\n", "A=1\n", "A='x'", "A=\"x\"", "A='", 'A="', "A='\\'", 'A="\\"', "=\n", ":",
    "x ", "export ", "export\n", "A=#\n", "A= #x\n", "[", "\\", "\r", "\r\n", "\u2028", "\t#",
    "${A:-}", "${A:-", "${A:-x}", "${A:-{", "${A:-{}", "{}", "${A:+}${B", "$A", "$$", "$", "${", "}", "${A:?x}",
    "-", "_", "change", "change_", "your-", "put-", "put-key", "-placeholder", "<a", "{{", "__A", "sk-", "abc", "aA",
    "http://", "http://a@", "a:b@", ":", "%", "%4", "@", ",", "a,", "[:", "postgresql://h/", "/", "?", "https://h:1,",
    " change me ", "secret ", "a1", "0123456789", "qwertyuiop",
]  # fmt: skip
HEADS = ["", 'A="', "A=http://", "A=${X:-", "S="]
SCHEMA = {"variables": {"A": {"type": "url", "secret": True}, "S": {"secret": True}, "VARIABLE": {"required": True}}}


class TooLong(Exception):
    """More processor time than a linear engine needs."""


@contextlib.contextmanager
def limited_time():
    def stop(_number, _frame):
        raise TooLong

    earlier = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, earlier)


def validate(text, schema=None):
    with limited_time():
        return engine.validate([sources.from_content(text)], load(schema or SCHEMA)).as_dict()


def repeated(head, unit):
    return head + unit * (SIZE // len(unit))


@pytest.mark.parametrize("unit", UNITS)
def test_what_repeats_itself(unit):
    for head in HEADS:
        validate(repeated(head, unit) + "\n")
    validate(repeated("", unit) + "=1\n")


def test_what_is_put_together_by_chance():
    source = random.Random(30)
    for _each in range(30):
        unit = "".join(source.choices(UNITS, k=source.randint(2, 5)))
        validate(repeated(source.choice(HEADS), unit))


@pytest.mark.parametrize("text", ["#\n" * 200_000, 'A="' + "\\n" * 200_000 + '"\n', "A=" + "${X:-}" * 60_000 + "\n"])
def test_what_a_single_pattern_would_not_be_through_with(text):
    with limited_time():
        parser.parse(text)
    tracemalloc.start()
    try:
        parser.parse(text)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def test_references_that_double_each_line_are_refused():
    lines = ["V0=" + "x" * 1000] + [f"V{number}=$V{number - 1}$V{number - 1}" for number in range(1, 200)]
    with limited_time():
        document = parser.parse("\n".join(lines) + "\n")
    assert {note.rule for note in document.notes} == {"interpolation"}
    assert 1e6 < sum(map(len, document.values.values())) < 1e8


def test_many_variables_of_groups_names_and_files():
    names = [f"SERVICE_{number}_NAME" for number in range(20_000)]
    schema = {
        "variables": {name: {"required": True} for name in names},
        "required_together": [names],
        "required_if": [[name, "x", [names[0]]] for name in names],
    }
    text = "".join(f"{name}S=x\n" for name in names[::2]) + "".join(f"{name}=x\n" for name in names[1::2])
    with limited_time():
        found = validate(text, schema)["findings"]
        assert {"near_miss", "required", "required_together"} <= {finding["name"] for finding in found}
        engine.validate([sources.from_content(text)], load(schema), recommended=names).as_dict()


def test_a_slip_is_found_among_few_names_and_case_among_many():
    slip, case = "NAME_X7O7", "name-x707"
    for count, name, near in ((9_000, slip, "NAME_X707"), (11_000, slip, None), (11_000, case, "NAME_X707")):
        assert Similar(["NAME_X707", *(f"OTHER_{number}" for number in range(count))]).to(name) == near
    assert Similar(["A" * 70]).to("A" * 69) is None


def test_only_what_a_process_can_get_is_held_against_its_rule():
    for length, rules in ((100_000, ["pattern"]), (140_000, ["too_long"])):
        text = "A=" + "xyz" * (length // 3) + "\n"
        found = validate(text, {"variables": {"A": {"pattern": "^a"}}})["findings"]
        assert [finding["name"] for finding in found] == rules
