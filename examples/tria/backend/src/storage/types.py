# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be uploaded: the name's ending and the first bytes have to agree."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_BYTES = 512


class FileRefused(Exception):
    """The file may not be uploaded: `status` is the answer's, the text the reason."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error


@dataclass(frozen=True)
class _Type:
    content_type: str
    endings: tuple[str, ...]
    magic: re.Pattern[bytes]


_TYPES = (
    _Type("image/png", ("png",), re.compile(rb"\x89PNG\r\n\x1a\n")),
    _Type("image/jpeg", ("jpg", "jpeg"), re.compile(rb"\xff\xd8\xff")),
    _Type("image/gif", ("gif",), re.compile(rb"GIF8[79]a")),
    _Type("image/webp", ("webp",), re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    _Type("application/pdf", ("pdf",), re.compile(rb"%PDF-[12]\.")),
    _Type("video/mp4", ("mp4",), re.compile(rb".{4}ftyp", re.DOTALL)),
    # Text has no signature; what it must not have is a control character.
    _Type("text/plain", ("txt", "md"), re.compile(rb"[^\x00-\x08\x0b\x0e-\x1f\x7f]*\Z")),
    _Type("text/csv", ("csv",), re.compile(rb"[^\x00-\x08\x0b\x0e-\x1f\x7f]*\Z")),
)
ALLOWED_ENDINGS = tuple(ending for kind in _TYPES for ending in kind.endings)
_NAME = re.compile(r"[^\x00-\x1f\x7f/\\<>:\"|?*\ud800-\udfff]{1,200}")


def checked_name(filename: str | None) -> str:
    """The name as it may be stored; raises FileRefused for a path, control characters, or no name at all."""
    name = (filename or "").strip()
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise FileRefused(422, "invalid_filename", "the file name must be a plain name of 1 to 200 characters, no path")
    return name


def content_type_of(name: str, head: bytes) -> str:
    """The content type of a file by its ending, if its first bytes bear that out; raises FileRefused."""
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    kind = next((kind for kind in _TYPES if ending in kind.endings), None)
    if kind is None:
        raise FileRefused(415, "type_not_allowed", "allowed file types: " + ", ".join(ALLOWED_ENDINGS))
    if not kind.magic.match(head):
        raise FileRefused(415, "type_mismatch", f"the content is not what the ending .{ending} says")
    return kind.content_type
