# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a Debian or Ubuntu host gets its distribution from (sources.list(5), both forms). Private to the collection."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import typing as t

_POCKETS = ("", "-updates", "-security", "-backports", "-proposed-updates", "-proposed")
_ARCHIVE_KEYRING = re.compile(r"/(debian|ubuntu)-archive-[^/]*$")


@dataclasses.dataclass(frozen=True)
class Source:
    """One suite of one archive."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""

    def line(self) -> str:
        """The one-line form."""
        option = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {option}{self.uri} {self.suite} {' '.join(self.components)}"


def sources(folder: str = "/etc/apt", codename: str = "") -> list[dict[str, t.Any]]:
    """The suites of the distribution's own release (`bookworm`, `bookworm-updates`, `bookworm-security`, …), the release
    itself first, as dicts with `uri`, `suite`, `components`, `signed_by` and `line`; third-party archives are left out.
    """
    codename = codename or os_release().get("VERSION_CODENAME", "")
    suites = [codename + pocket for pocket in _POCKETS] if codename else []
    own = [source for source in dict.fromkeys(_all_sources(folder)) if source.suite in suites and "main" in source.components]
    # Third parties name their suites alike, but sign with a key of their own. So does a private mirror: then it is all we have.
    own = [source for source in own if not source.signed_by or _ARCHIVE_KEYRING.search(source.signed_by)] or own
    return [
        {**dataclasses.asdict(source), "components": list(source.components), "line": source.line()}
        for source in sorted(own, key=lambda source: source.suite != codename)
    ]


def _all_sources(folder: str) -> list[Source]:
    found: list[Source] = []
    for path in sorted(glob.glob(os.path.join(folder, "sources.list.d", "*.sources"))):
        for stanza in re.split(r"\n[ \t]*\n", read_text(path)):
            found += _stanza_sources(stanza)
    lists = [os.path.join(folder, "sources.list")] + sorted(glob.glob(os.path.join(folder, "sources.list.d", "*.list")))
    for path in lists:
        for line in read_text(path).splitlines():
            found += _line_sources(line)
    return found


def _stanza_sources(stanza: str) -> list[Source]:
    fields: dict[str, list[str]] = {}
    words: list[str] = []
    for line in stanza.splitlines():
        if line.startswith((" ", "\t")):  # continues the field before it
            words += line.split()
        elif not line.startswith("#"):
            key, _colon, value = line.partition(":")
            words = fields.setdefault(key.strip().lower(), [])
            words += value.split()
    off = (fields.get("enabled") or ["yes"])[0].lower() in ("no", "false", "0", "off", "without", "disable")
    signed_by = ",".join(fields.get("signed-by", []))
    if off or "deb" not in fields.get("types", []) or "-----BEGIN" in signed_by:  # a key in the file has no one-line form
        return []
    return [
        Source(uri, suite, tuple(fields.get("components", [])), signed_by)
        for uri in fields.get("uris", [])
        for suite in fields.get("suites", [])
    ]


def _line_sources(line: str) -> list[Source]:
    text = " ".join(line.partition("#")[0].split())
    if not text.startswith("deb "):
        return []
    text, signed_by = text[4:].strip(), ""
    if text.startswith("["):
        options, _bracket, text = text[1:].partition("]")
        signed_by = next((o.partition("=")[2] for o in options.split() if o.startswith("signed-by=")), "")
    words = text.split()
    return [Source(words[0], words[1], tuple(words[2:]), signed_by)] if len(words) > 2 else []


def os_release(path: str = "/etc/os-release") -> dict[str, str]:
    """os-release(5) as a dict."""
    pairs = (line.partition("=") for line in read_text(path).splitlines() if "=" in line)
    return {key: value.strip().strip("\"'") for key, _equals, value in pairs}


def read_text(path: str) -> str:
    """A file's text, empty when there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
