# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets that everybody knows who has the example of an env file. Private to the collection."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import parser, sources, urls
from ansible_collections.tria.production.plugins.module_utils._env.rules import RULES
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_SUFFIXES = (".example", ".sample", ".template", ".dist")
_NAMES = tuple(".env" + suffix for suffix in _SUFFIXES)


class KnownValues:
    """What example files say, by variable."""

    def __init__(self, texts: t.Iterable[str] = ()) -> None:
        self._values: dict[str, set[str]] = {}
        for text in texts:
            for name, value in parser.parse(text).values.items():
                if value.strip():
                    self._values.setdefault(name, set()).add(_secret_part(value))

    def hold(self, name: str, value: str) -> bool:
        """Whether the secret in `value` is the one that an example has for this variable."""
        return name in self._values and _secret_part(value) in self._values[name]


def beside(path: str) -> list[str]:
    """Paths at which the example of an env file usually is."""
    folder = os.path.dirname(path)
    paths = [path + suffix for suffix in _SUFFIXES] + [os.path.join(folder, name) for name in _NAMES]
    return [each for each in dict.fromkeys(paths) if each != path]


def load(named: t.Sequence[str], files: t.Sequence[str]) -> KnownValues:
    """The example files that are `named`, or those beside `files`; a named one that is none is a `ProductionError`."""
    texts = []
    for path in named or [each for file in files for each in beside(file)]:
        source = sources.from_file(path)
        if source.text is not None:
            texts.append(source.text)
        elif named:
            raise ProductionError(path, f"{RULES[source.problems[-1][0]].message}.", "Correct example_files.")
    return KnownValues(texts)


def _secret_part(value: str) -> str:
    """The password of a URL, or all of the value."""
    try:
        return "://" in value and urls.split(value).password or value
    except urls.UrlError:
        return value
