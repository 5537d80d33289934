# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a `.dockerignore` leaves out of a build context, as Docker reads it. Private to the collection.

    line     = "#" comment | [ "!" ] pattern             "!" takes in again what an earlier line left out
    pattern  = parts between "/", relative to the context; a folder's pattern holds for all that is in it
    part     = "**" any number of folders | text with "*", "?", "[a-z]", "[^a-z]", "\\" before a literal character
"""

from __future__ import annotations

import os
import re
import typing as t

NAME = ".dockerignore"
_TOKEN = re.compile(r"\*\*/?|\*|\?|\[\^?[^\]]+\]|\\.|.", re.DOTALL)


class Ignore:
    """The rules of one `.dockerignore`; `text` is its content."""

    def __init__(self, text: str) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for line in text.lstrip("\ufeff").splitlines():
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            inverted = line.startswith("!")
            pattern = os.path.normpath(line[inverted:].strip()).lstrip("/")
            if pattern not in ("", "."):
                self._rules.append((not inverted, re.compile(_expression(pattern))))

    def leaves_out(self, path: str) -> bool:
        """Whether a path relative to the context is left out; of several lines that match, the last one decides.

        A line matches what is in a folder that it matched, and it is only asked where it could change the verdict: as
        BuildKit does it, "!b/c" takes nothing in again of which b/c itself was not left out.
        """
        left_out, matched = False, [False] * len(self._rules)
        parts = path.split("/")
        for depth in range(len(parts)):
            left_out, above, matched = False, matched, []
            for (verdict, expression), inherited in zip(self._rules, above):
                known = inherited or (verdict != left_out and bool(expression.fullmatch("/".join(parts[: depth + 1]))))
                left_out = verdict if known else left_out
                matched.append(known)
        return left_out


def _expression(pattern: str) -> str:
    pieces = []
    tokens = _TOKEN.findall(pattern)
    for token in tokens:
        if token.startswith("**"):
            pieces.append("(?:.*/)?")
        elif token in "*?":
            pieces.append("[^/]" + token.replace("?", ""))
        elif token.startswith("[") and len(token) > 1:
            pieces.append("[" + token[1:].replace("[", "\\["))
        else:
            pieces.append(re.escape(token[-1]))
    if tokens[-1] == "**":
        pieces[-1] = ".*"
    return "".join(pieces)


def read(path: str) -> t.Optional[Ignore]:
    """The rules of a context's `.dockerignore`, None without one."""
    try:
        with open(path, encoding="utf-8") as stream:
            return Ignore(stream.read())
    except FileNotFoundError:
        return None
