# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which texts are of a type, and the number that their bounds are about."""

from __future__ import annotations

import contextlib
import time
import traceback

import pytest

from ansible_collections.tria.production.plugins.module_utils._env.kinds import KINDS, bounds, items, measure

GOOD = {
    "str": {"": 0, "anything": 0},
    "int": {"42": 42, "-1": -1, "+7": 7, "007": 7},
    "float": {"0.08": 0.08, "1e3": 1000, ".5": 0.5, "5.": 5},
    "bool": {"true": 1, "NO": 0, "on": 1},
    "url": {"redis://redis:6379": 0, "postgresql://u:p%40@db/x": 0},
    "email": {"a@example.org": 0, "first.last+tag@mail.example.co.uk": 0, "root@localhost": 0, "o'hara@example.org": 0},
    "host": {
        "redis": 0,
        "my_service": 0,
        "db-1.internal.example.org": 0,
        "example.org.": 0,
        "10.0.0.1": 0,
        "0.0.0.0": 0,
        "::1": 0,
        "[::1]": 0,
        "fe80::1%eth0": 0,
        "3com.example": 0,
    },
    "port": {"1": 1, "8080": 8080, "65535": 65535},
    "path": {"/srv/data": 0, "./data": 0, "data": 0, "/srv/with space/x": 0, "/": 0, "/a~b": 0},
    "duration": {
        "0": 0,
        "30s": 30,
        "1m30s": 90,
        "1.5h": 5400,
        "500ms": 0.5,
        "10us": 1e-5,
        "10\u00b5s": 1e-5,
        "10\u03bcs": 1e-5,
        "10ns": 1e-8,
        ".5s": 0.5,
        "1.s": 1,
        "1s1m": 61,
        "-1s": -1,
        "+1s": 1,
    },
    "size": {
        "0": 0,
        "64": 64,
        "64b": 64,
        "64k": 65536,
        "64m": 67108864,
        "1GiB": 1073741824,
        "1 gb": 1073741824,
        "1.5g": 1610612736,
        "1ki": 1024,
        "1ib": 1,
        "1t": 1024**4,
        "1p": 1024**5,
    },
    "json": {"{}": 0, "[1, 2.5, null]": 0, '"text"': 0, "5": 0, '{"a": {"b": [true]}}': 0, "1" * 5000: 0},
}
BAD = {
    "int": ["", "1.5", "x", "1_000", "\u0661", "0x10", "1" * 201],
    "float": ["", "nan", "inf", "1e999", "1,5", "."],
    "bool": ["", "maybe", "2"],
    "url": ["", "example.org", "postgresql://db", "http://a b"],
    "email": [
        "",
        "a",
        "@example.org",
        "a@",
        "a b@example.org",
        "Shop <a@example.org>",
        "a@b@example.org",
        ".a@example.org",
        "a..b@example.org",
        "a@exa mple.org",
        "a" * 65 + "@example.org",
        "a@" + "b." * 130 + "org",
        "a@::1",
        "\u00e4@example.org",
    ],
    "host": [
        "",
        "http://redis",
        "redis:6379",
        "a b",
        "a..b",
        ".",
        "-a",
        "a-",
        "a" * 64,
        "a." * 127 + "org",
        "999.0.0.1",
        "10.0.0",
        "1.2.3.4.5",
        ":::",
        "[redis]",
        "[::1",
        "user@host",
        "h\u00f6st",
        "a/b",
    ],
    "port": ["", "0", "65536", "-1", "+80", "80.0", "http", "000080", "\u0661"],
    "path": ["~/data", " /srv", "/srv ", "file:///srv", "/a\nb", "/a\x7fb", "a" * 256, "/" + "a/" * 2048],
    "duration": ["", "30", "1d", "1w", "1h 30m", "1S", "1e3s", "s", ".", ".s", "1m30", "1,5s", "100000000h", "--1s"],
    "size": ["", "m", "+1k", ".5k", "5.k", "1.5.2g", "1e3", "1kk", "1bb", "  1k", "1_000", "-1", "9000000p", "1bi", "1e"],
    "json": ["", "{", "{'a': 1}", "NaN", "[Infinity]", "{} {}", "[" * 100_000, '{"a": 1,}'],
}


@pytest.mark.parametrize(("kind", "text", "number"), [(kind, *pair) for kind in GOOD for pair in GOOD[kind].items()])
def test_what_is_of_a_type(kind, text, number):
    assert measure(kind, text) == pytest.approx(number)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind in BAD for text in BAD[kind]])
def test_what_is_not_of_a_type(kind, text):
    with pytest.raises(ValueError) as caught:
        measure(kind, text)
    assert not text or len(text) < 4 or text not in "".join(traceback.format_exception(caught.value))


def test_every_type_is_tried():
    assert set(GOOD) == set(KINDS) - {"list"} and set(BAD) == set(KINDS) - {"list", "str"}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"list"}))
@pytest.mark.parametrize("piece", ["1", "a", "1.", "a-", "1s", "a.", "[", " ", "@", "1e", ":", "\\", "'"])
def test_a_long_text_takes_no_long_time(kind, piece):
    text = piece * (1_000_000 // len(piece))
    start = time.process_time()
    for tried in (text, text + "!"):
        with contextlib.suppress(ValueError):
            measure(kind, tried)
    assert time.process_time() - start < 2


def test_items():
    assert items("a, b ,c", ",") == ["a", "b", "c"]
    assert items("a", ",") == ["a"]
    assert items("a::b:", "::") == ["a", "b:"]
    assert items("a,", ",") == ["a", ""]


def test_bounds():
    assert bounds("int", 1, None) == "at least 1"
    assert bounds("size", None, 1024) == "at most 1024 bytes"
    assert bounds("duration", 1, 2.5) == "between 1 and 2.5 seconds"
    assert bounds("list", 1, 3) == "between 1 and 3 items"
