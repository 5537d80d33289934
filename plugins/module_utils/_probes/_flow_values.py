# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values in a flow: `${name}` filled in, bodies encoded, what an answer gives away captured. Private to the collection.

What comes out of the network goes back into it here: each place that a value can get to has its own encoding.
"""

from __future__ import annotations

import json
import mimetypes
import os
import re
import secrets
import typing as t
import urllib.parse

from ansible_collections.tria.production.plugins.module_utils._probes import _expect, _http

Values = t.Dict[str, t.Any]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SOURCES = ("json", "cookie", "header", "regex")
MULTIPART_KEYS = ("content", "filename", "mime_type")

_PLACE = re.compile(r"\$(?:\$|\{([^}]*)\}?)")
_WHOLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_URL_SAFE = "%/:?#[]@!$&'()*+,;=~"
_ESCAPED = {ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"}  # as browsers do in multipart headers


def names(value: t.Any) -> set[str]:
    """Every name that `value` refers to, in nested lists and dictionaries too."""
    if isinstance(value, str):
        return {match[1] for match in _PLACE.finditer(value) if match[1] is not None}
    if isinstance(value, dict):
        return names(list(value)) | names(list(value.values()))
    return set().union(*map(names, value)) if isinstance(value, (list, tuple)) else set()


def as_text(value: t.Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def text(template: str, values: Values, encode: t.Callable[[t.Any], str] = as_text) -> str:
    """`template` with each `${name}` replaced by its encoded value, and `$$` by `$`."""
    return _PLACE.sub(lambda match: "$" if match[1] is None else encode(values[match[1]]), template)


def fill(value: t.Any, values: Values) -> t.Any:
    """`value` with every `${name}` replaced. A text that is nothing but one name becomes its value, with its type."""
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value)
        return values[whole[1]] if whole else text(value, values)
    if isinstance(value, dict):
        return {text(str(key), values): fill(item, values) for key, item in value.items()}
    return [fill(item, values) for item in value] if isinstance(value, (list, tuple)) else value


def url(base: str, path: str, values: Values) -> str:
    """The URL of a step. Values are percent-encoded, except where the whole path is one value (a `Location`)."""
    whole = _WHOLE.fullmatch(path)
    if whole:
        found = urllib.parse.urljoin(base, as_text(values[whole[1]]))
    else:
        filled = text(path, values, lambda value: urllib.parse.quote(as_text(value), safe=""))
        found = filled if "://" in filled.partition("?")[0] else base.rstrip("/") + "/" + filled.lstrip("/")
    scheme, separator, rest = found.partition("://")
    place, slash, rest = rest.partition("/")
    return scheme + separator + place + slash + urllib.parse.quote(rest, safe=_URL_SAFE)


def headers(templates: dict[str, t.Any], values: Values) -> dict[str, str]:
    """Request headers; raises `ValueError` for one that would end before its value does."""
    found = {name: text(as_text(value), values) for name, value in templates.items()}
    for name, value in found.items():
        if re.search(r"[\r\n\0]", value):
            raise ValueError(f"header {name} would have a line break in it")
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"header {name} would have characters in it that no header can have") from None
    return found


def body(template: t.Any, body_format: str | None, values: Values) -> tuple[bytes | None, dict[str, str]]:
    """The encoded body and the headers that tell its format; raises `OSError` for a file that cannot be read."""
    content = fill(template, values)
    if content is None:
        return None, {}
    kind = body_format or ("raw" if isinstance(content, str) else "json")
    if kind == "form-multipart":
        return _multipart(content)
    if kind == "form-urlencoded":
        if not isinstance(content, str):
            pairs = content.items() if isinstance(content, dict) else content
            content = urllib.parse.urlencode([(name, as_text(value)) for name, value in pairs])
        return content.encode(), {"Content-Type": "application/x-www-form-urlencoded"}
    return as_text(content).encode(), {"Content-Type": "application/json"} if kind == "json" else {}


def capture(source: dict[str, str], answer: _http.Answer, cookies: dict[str, str]) -> t.Any:
    """What one entry of `capture` finds in an answer; `_expect.ABSENT` when that is not there."""
    (kind, expression), = source.items()
    found: t.Any = None
    if kind == "json":
        try:
            return _expect.lookup(answer.json(), expression)
        except ValueError:
            return _expect.ABSENT
    if kind == "cookie":
        found = cookies.get(expression)
    elif kind == "header":
        found = answer.headers.get(expression)
    else:
        match = re.search(expression, answer.text)
        found = match and match.group(1 if match.re.groups else 0)
    return _expect.ABSENT if found is None else found


def spellings(value: t.Any) -> list[str]:
    """How a captured value can show in texts: as it is, in JSON, in a URL. Nothing for what is no text or number."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [one for item in value for one in spellings(item)]
    if value is None or isinstance(value, bool):
        return []
    plain = as_text(value)
    return [plain, json.dumps(plain)[1:-1], urllib.parse.quote(plain, safe="")]


def _multipart(parts: dict[str, t.Any]) -> tuple[bytes, dict[str, str]]:
    boundary = secrets.token_hex(16)
    pieces = []
    for name, part in parts.items():
        part = part if isinstance(part, dict) else {"content": part}
        filename = as_text(part["filename"]) if part.get("filename") is not None else None
        content = part.get("content")
        if content is None and filename is not None:
            with open(filename, "rb") as file:
                data = file.read()
            filename = os.path.basename(filename)
        else:
            data = as_text(content).encode()
        lines = [f'Content-Disposition: form-data; name="{name.translate(_ESCAPED)}"']
        if filename is not None:
            lines[0] += f'; filename="{filename.translate(_ESCAPED)}"'
            mime_type = part.get("mime_type") or mimetypes.guess_type(filename)[0] or "application/octet-stream"
            lines.append(f"Content-Type: {mime_type.translate(_ESCAPED)}")
        pieces.append(f"--{boundary}\r\n".encode() + "\r\n".join(lines).encode() + b"\r\n\r\n" + data + b"\r\n")
    return b"".join(pieces) + f"--{boundary}--\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }
