# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a deploy would change: services, images, names of variables, Compose files. Private to the collection."""

from __future__ import annotations

import difflib
import os
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _redact
from ansible_collections.tria.production.plugins.module_utils._env import parser
from ansible_collections.tria.production.plugins.module_utils._releases import store
from ansible_collections.tria.production.plugins.module_utils._releases.desired import ENV_FILE, Desired

_REFERENCE = re.compile(r"""["']?\$(?:\{[^}]*\}|\w+)["']?""")


def difference(releases: store.Releases, desired: Desired, sources: t.Sequence[str]) -> str:
    """The current release against what is wanted; empty when nothing differs. Of variables only the names show.

    `sources` are the texts of the Compose files, not interpolated; what looks like a password in them is masked.
    """
    current = releases.current()
    record = releases.record(current) if current else {"services": {}, "images": {}, "compose_files": []}
    folder = releases.path(current) if current else ""
    variables = _variables(os.path.join(folder, ENV_FILE)) if current else {}
    sections = {
        "Services": _services(record, desired),
        "Images": _changes(record["images"], desired.images, "{0}: {1} -> {2}", "{0}: {1}"),
        "Environment (names only)": _changes(variables, parser.parse(desired.env_content).values),
    }
    lines = [line for title, found in sections.items() if found for line in (f"{title}:", *found, "")]
    return "".join(f"{line}\n" for line in [*lines, *_compose_lines(folder, record, desired, sources)])


def _changes(before: dict[str, str], after: dict[str, str], changed: str = "{0}", other: str = "{0}") -> list[str]:
    lines = []
    for name in sorted({**before, **after}):
        if name not in before:
            lines.append("  + " + other.format(name, after[name]))
        elif name not in after:
            lines.append("  - " + other.format(name, before[name]))
        elif before[name] != after[name]:
            lines.append("  ~ " + changed.format(name, before[name], after[name]))
    return lines


def _services(record: dict[str, t.Any], desired: Desired) -> list[str]:
    before = {name: _state(service, record["images"][name]) for name, service in record["services"].items()}
    after = {name: _state(service, desired.images[name]) for name, service in desired.services.items()}
    lines = _changes(dict.fromkeys(before, ""), dict.fromkeys(after, ""))
    for name in sorted(set(before).intersection(after)):
        what = [aspect for aspect, value in after[name].items() if before[name][aspect] not in (value, "")]
        if what:
            lines.append(f"  ~ {name} ({', '.join(what)})")
    return sorted(lines, key=lambda line: line[4:])


def _state(service: dict[str, t.Any], image: str) -> dict[str, str]:
    return {"image": image, "configuration": service["definition"]}


def _compose_lines(folder: str, record: dict[str, t.Any], desired: Desired, sources: t.Sequence[str]) -> list[str]:
    before = {name: _text(os.path.join(folder, name)) for name in record["compose_files"] if name != store.OVERLAY}
    after = dict(zip(desired.compose_files, sources))
    lines: list[str] = []
    for name in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(name, ""), after.get(name, "")
        lines += difflib.unified_diff(
            _masked(old),
            _masked(new),
            f"before: {name}" if name in before else os.devnull,
            f"after: {name}" if name in after else os.devnull,
            lineterm="",
        )
    return lines


def _masked(text: str) -> list[str]:
    """The lines of a Compose file without passwords; where all that looks like one is a reference, it stays."""
    lines = []
    for line in text.rstrip().splitlines():
        literal = _REFERENCE.sub("null", line)
        lines.append(line if _redact.redact(literal) == literal else _redact.redact(line))
    return lines


def _variables(path: str) -> dict[str, str]:
    return dict(parser.parse(_text(path)).values)


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()
