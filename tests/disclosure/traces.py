# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Canaries, and what betrays one: a piece of it, or of its Base64, hexadecimal or percent-encoded form."""

from __future__ import annotations

import base64
import typing as t

# nothing in a program's own output looks like these; the number is for what must be one
TEXT = "kQ7zX4wV9jP2hN5tR8"
OTHER = "uB3mY6cL1gF0sD9aW5"
NUMBER = "731694280517369428"
CANARIES = (TEXT, OTHER, NUMBER)

_PIECE = 6  # characters of the canary itself
_DIGITS = 10  # of one in digits alone: moments and process IDs hold shorter runs by chance
_ENCODED = 8  # of an encoded form, which more text looks like by chance, too


def _pieces(text: str, length: int) -> t.Iterator[str]:
    return (text[index : index + length] for index in range(len(text) - length + 1))


def _forms(canary: str) -> t.Iterator[str]:
    if canary.isdigit():
        yield from _pieces(canary, _DIGITS)
        return
    yield from _pieces(canary, _PIECE)
    yield from _pieces(canary[::-1], _PIECE)
    yield from _pieces(canary.encode().hex(), _ENCODED)
    yield from _pieces("".join(f"%{ord(character):02x}" for character in canary), 3 * _PIECE)
    # what stands before it decides which Base64 it has; the ends belong to the neighbours
    for before in range(3):
        yield from _pieces(base64.b64encode(b" " * before + canary.encode() + b"   ").decode()[4:-6], _ENCODED)


_FORMS = frozenset(form.lower() for canary in CANARIES for form in _forms(canary))
_LENGTHS = sorted(set(map(len, _FORMS)))


def of(output: str) -> list[str]:
    """What `output` shows of a canary, in whatever case."""
    text = output.lower()
    return sorted({piece for length in _LENGTHS for piece in _pieces(text, length) if piece in _FORMS})
