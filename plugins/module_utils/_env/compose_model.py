# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of a Compose project as far as environments go. Private to the collection."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env.sources import Source

Place = t.Tuple[int, int]  # index of the source, line


@dataclasses.dataclass(frozen=True)
class Problem:
    """A finding in the making: `name` is the variable's as it is written, or empty; `reference` what a `$` refers to,
    which in a variable's value may be a piece of that value."""

    rule: str
    name: str
    at: Place
    message: str = ""
    reference: str = ""


@dataclasses.dataclass
class EnvFile:
    """`path` is whole; `written` is what counts as the same file, of which Compose reads the first place only; `raw`:
    it is read as `raw` does."""

    path: str
    required: bool
    at: Place
    written: str
    raw: bool = False


@dataclasses.dataclass
class Inline:
    """An entry of `environment`; without a value it is a bare key."""

    value: str | None
    at: Place


@dataclasses.dataclass
class Service:
    """`replaced`: keys that take the place of an earlier file's; `removed`: names that go out of `environment`."""

    environment: dict[str, Inline] = dataclasses.field(default_factory=dict)
    env_files: list[EnvFile] = dataclasses.field(default_factory=list)
    profiles: list[str] = dataclasses.field(default_factory=list)
    replaced: set[str] = dataclasses.field(default_factory=set)
    removed: set[str] = dataclasses.field(default_factory=set)

    def under(self, other: Service) -> Service:
        """This service with another file's, or an extending one's, over it."""
        environment = {} if "environment" in other.replaced else {**self.environment}
        environment.update(other.environment)
        files = {} if "env_file" in other.replaced else {file.written: file for file in self.env_files}
        files.update((file.written, file) for file in other.env_files)
        profiles = [] if "profiles" in other.replaced else self.profiles
        return Service(
            {name: inline for name, inline in environment.items() if name not in other.removed},
            list(files.values()),
            list(dict.fromkeys([*profiles, *other.profiles])),
        )


@dataclasses.dataclass
class Project:
    """What was read. `name` is the project's, empty where it is not given; `references` has every name that a `$` or a
    bare key refers to; `broken`: names whose inline value cannot be told; `whole`: no file was left unread."""

    sources: list[Source]
    name: str = ""
    services: dict[str, Service] = dataclasses.field(default_factory=dict)
    references: set[str] = dataclasses.field(default_factory=set)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    broken: dict[str, Place] = dataclasses.field(default_factory=dict)
    included: set[tuple[str, ...]] = dataclasses.field(default_factory=set)
    whole: bool = True

    def active(self, profiles: t.Collection[str]) -> dict[str, Service]:
        """The services without a profile, and those with one of these."""
        return {
            name: service
            for name, service in self.services.items()
            if not service.profiles or "*" in profiles or set(service.profiles) & set(profiles)
        }
