# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of a target's options must not show in any output. Private to the collection."""

from __future__ import annotations

import re
import typing as t
import urllib.parse

_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie", "x-api-key")
_URL_PASSWORD = re.compile(r"^\w+://[^:/@]*:([^/]+)@")
_SECRET_NAMES = re.compile(r"password|passwd|secret|token|api_?key", re.IGNORECASE)  # in vars, bodies and environments


def among(specs: dict[str, t.Any], options: dict[str, t.Any]) -> list[str]:
    """Secrets in `options`, which are as the argument spec `specs` has them."""
    found: list[str] = []
    for name, spec in specs.items():
        value = options.get(name)
        if not value:
            continue
        if "options" in spec:
            for inner in value if isinstance(value, list) else [value]:
                found += among(spec["options"], inner)
        elif spec.get("no_log"):
            found.append(str(value))
        elif name == "headers":
            secret = [str(item) for header, item in value.items() if header.lower() in _SECRET_HEADERS]
            found += secret + [item.partition(" ")[2] for item in secret]  # a token also without its scheme
        elif name == "url":
            found += [urllib.parse.unquote(password) for password in _URL_PASSWORD.findall(value)]
        elif name in ("vars", "body", "environment"):
            found += _named_secrets(value)
    return found


def _named_secrets(value: t.Any) -> list[str]:
    """Texts in JSON-like data under a name that says they are secret."""
    if isinstance(value, list):
        return [secret for item in value for secret in _named_secrets(item)]
    if not isinstance(value, dict):
        return []
    named = [item for name, item in value.items() if isinstance(item, str) and _SECRET_NAMES.search(str(name))]
    return named + _named_secrets(list(value.values()))
