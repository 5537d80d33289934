# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

r"""Whether git tracks a file or ignores it, read without the git program. Private to the collection.

git itself would run what a repository's configuration names, and refuses repositories of other users; a target may not
have it either.

    index   = "DIRC" version(4) count(4) { entry } …            versions 2 to 4, SHA-1 or SHA-256; not a split one
    entry   = 40 bytes hash flags(2) [ more flags(2) ] name NUL
    ignore  = "#" comment | [ "!" ] pattern [ "/" ]              "/" at its end: folders only
    pattern = parts between "/"; with one at its beginning or within, relative to the file's folder, else at any depth
    part    = "**" any number of folders | text with "*", "?", "[a-z]", "[!a-z]", "\" before a literal character

Within a text, several "*" are one, as git documents it (git itself takes `a**/b` for more). What a user's own settings
ignore (`core.excludesFile`) does not count: others who clone the repository lack them.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import typing as t

_LARGEST_INDEX = 128 * 1024 * 1024  # bytes: about a million files
_LARGEST_TEXT = 1024 * 1024
_SHA256 = re.compile(rb"^\s*objectformat\s*=\s*\"?sha256", re.IGNORECASE | re.MULTILINE)
_TOKEN = re.compile(r"\\.|\*+|\?|\[[!^]?\]?(?:\[:[a-z]+:\]|\\.|[^\]])*\]|.", re.DOTALL)
_CLASSES = {
    "alnum": "A-Za-z0-9",
    "alpha": "A-Za-z",
    "digit": "0-9",
    "lower": "a-z",
    "space": " \t-\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


def state(path: str) -> str:
    """`tracked`, `ignored`, `unignored` or `unknown` for a file in a work tree; empty for others.

    `path` is absolute, and none of its folders is a link.
    """
    found = _work_tree(os.path.dirname(path))
    if found is None:
        return ""
    root, folder = found
    relative = os.path.relpath(path, root)
    common = _common(folder)
    index = _read(os.path.join(folder, "index"), _LARGEST_INDEX)
    if index is None and os.path.lexists(os.path.join(folder, "index")):
        return "unknown"
    try:
        config = _read(os.path.join(common, "config"), _LARGEST_TEXT) or b""
        if index and os.fsencode(relative) in _names(index, 32 if _SHA256.search(config) else 20):
            return "tracked"
    except (ValueError, IndexError, struct.error):
        return "unknown"  # no index, or a split one
    return "ignored" if _is_ignored(root, common, relative) else "unignored"


def _work_tree(folder: str) -> tuple[str, str] | None:
    """The root of the work tree that a folder is in, and its git directory."""
    while True:
        place = os.path.join(folder, ".git")
        link = _read(place, 4096)
        if link and link.startswith(b"gitdir:"):
            place = os.path.join(folder, os.fsdecode(link[7:].strip()))
        if os.path.exists(os.path.join(place, "HEAD")):
            return folder, place
        if folder == os.path.dirname(folder):
            return None
        folder = os.path.dirname(folder)


def _common(folder: str) -> str:
    """The directory that all work trees of a repository share."""
    shared = _read(os.path.join(folder, "commondir"), 4096)
    return os.path.join(folder, os.fsdecode(shared.strip())) if shared else folder


def _read(path: str, largest: int) -> bytes | None:
    """The bytes of a regular file; None if it is none, cannot be read or is too large. Waits on no pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(largest)
    finally:
        os.close(descriptor)


def _names(index: bytes, size_of_hash: int) -> t.Iterator[bytes]:
    """The names of the files in an index; raises `ValueError` and what reading beyond its end raises."""
    signature, version, count = struct.unpack_from(">4sII", index)
    if signature != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("no index")
    position, name = 12, b""
    for _entry in range(count):
        start = position
        position += 40 + size_of_hash
        (flags,) = struct.unpack_from(">H", index, position)
        position += 4 if flags & 0x4000 else 2
        if version == 4:
            kept, position = _number(index, position)
            name = name[: len(name) - kept]
        else:
            name = b""
        end = index.index(b"\0", position)
        name += index[position:end]
        position = end + 1 if version == 4 else start + ((end - start + 8) & ~7)
        yield name
    while position + 8 <= len(index) - size_of_hash:
        extension, size = struct.unpack_from(">4sI", index, position)
        position += 8 + size
        if extension == b"link":
            raise ValueError("a split index: the names are in another file")


def _number(index: bytes, position: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    byte = index[position]
    number = byte & 127
    while byte & 128:
        position += 1
        byte = index[position]
        number = ((number + 1) << 7) + (byte & 127)
    return number, position + 1


def _is_ignored(root: str, common: str, relative: str) -> bool:
    """Whether a file, or a folder that it is in, is ignored; of the lines that match, the last one decides."""
    rules = _rules(os.path.join(common, "info", "exclude"), 0)
    parts = relative.split(os.sep)
    for depth in range(len(parts)):
        rules += _rules(os.path.join(root, *parts[:depth], ".gitignore"), depth)
        is_folder = depth + 1 < len(parts)
        verdict = False
        for rule in rules:
            if (is_folder or not rule.folders) and rule.matches(parts[rule.depth : depth + 1]):
                verdict = not rule.negated
        if verdict:
            return True
    return False


class _Rule(t.NamedTuple):
    negated: bool
    folders: bool
    depth: int
    parts: list[re.Pattern[str] | None]  # None is "**"

    def matches(self, path: list[str]) -> bool:
        """Whether it matches the path in parts, from the folder of its file; in linear time, as no part looks back."""
        at, position, star, kept = 0, 0, -1, 0
        while position < len(path):
            if at < len(self.parts) and self.parts[at] is None:
                star, kept, at = at, position, at + 1
            elif at < len(self.parts) and t.cast("re.Pattern[str]", self.parts[at]).match(path[position]):
                at, position = at + 1, position + 1
            elif star >= 0:
                kept += 1
                at, position = star + 1, kept
            else:
                return False
        return all(part is None for part in self.parts[at:])


def _rules(path: str, depth: int) -> list[_Rule]:
    text = os.fsdecode(_read(path, _LARGEST_TEXT) or b"")
    lines = (line[:-1] if line.endswith("\r") else line for line in text.lstrip("\ufeff").split("\n"))
    return [rule for rule in (_rule(line, depth) for line in lines) if rule]


def _rule(line: str, depth: int) -> _Rule | None:
    if line.startswith("#"):
        return None
    line = re.sub(r"(?<!\\) +\Z", "", line)
    negated = line.startswith("!")
    pattern = line[negated:]
    folders = pattern.endswith("/")
    pattern = pattern[:-1] if folders else pattern
    if not pattern:
        return None
    anywhere = "/" not in pattern
    parts = pattern[pattern.startswith("/") :].split("/")
    if not anywhere and parts[-1] == "**":
        parts.append("*")  # all that is in a folder, not the folder
    try:
        compiled = [None if part == "**" and not anywhere else re.compile(_expression(part)) for part in parts]
    except re.error:
        return None  # a range that runs backwards matches nothing
    return _Rule(negated, folders, depth, [None, *compiled] if anywhere else compiled)


def _expression(part: str) -> str:
    """A part as a regular expression: each text between two "*" is looked for once, from the left."""
    chunks = [""]
    for token in _TOKEN.findall(part):
        if token[0] == "*":
            chunks.append("")
        elif token[0] == "[" and len(token) > 2:
            chunks[-1] += _bracket(token)
        else:
            chunks[-1] += "." if token == "?" else "(?!)" if token == "[" else re.escape(token[-1])
    first, *others = chunks
    if not others:
        return f"(?s:{first})\\Z"
    middle = "".join(f"(?=(.*?{chunk}))\\{number}" for number, chunk in enumerate(others[:-1], 1))
    return f"(?s:{first}{middle}.*{others[-1]})\\Z"


def _bracket(token: str) -> str:
    negated = token[1] in "!^"
    body = re.sub(r"\[:([a-z]+):\]", lambda match: _CLASSES.get(match[1], ""), token[1 + negated : -1])
    body = re.sub(r"\\(.)|([\[\]&~|^])", lambda match: "\\" + (match[1] or match[2]), body)
    return f"[{'^' if negated else ''}{body}]" if body else "(?!)"
