# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the containers of a Compose project get: the environment of each service. Private to the collection.

Two environments are told apart. The project's is what Compose substitutes into its files: its env files (later ones
win), and over them the process environment. A service's is what its containers get: its `env_file`s in order, and over
them its `environment`, where a bare key takes the project's value. References in an `env_file` see earlier ones of the
service first, then the project's environment, then their own file.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import compose_project, custody, names, parser, raw
from ansible_collections.tria.production.plugins.module_utils._env.compose_model import (
    EnvFile,
    Inline,
    Place,
    Problem,
    Project,
    Service,
)
from ansible_collections.tria.production.plugins.module_utils._env.interpolation import Lookup
from ansible_collections.tria.production.plugins.module_utils._env.sources import Source
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

PROCESS = "process environment"
OPTION = "environment"
# every process has these, so that nobody needs to set them
_OF_EVERY_PROCESS = frozenset(("HOME", "PATH", "PWD"))


@dataclasses.dataclass
class Setting:
    """The effective value of a variable, and where it comes from.

    `after_quote`: it began right behind a quote; `cut`: an inline comment was cut off; `origin`: what it comes from
    where that is no line; `service`: whose it is, empty for the project's; `inline`: of a service's `environment`.
    """

    value: str
    source: int
    line: int
    after_quote: bool = False
    cut: bool = False
    origin: str = ""
    service: str = ""
    inline: bool = False


Settings = t.Dict[str, Setting]
Chain = t.Tuple[t.Tuple[str, bool], ...]  # env files in order: path, raw


@dataclasses.dataclass
class Options:
    """The module's option `compose`; paths are absolute. `owners`: the user IDs that env files may belong to."""

    files: list[str]
    directory: str
    project_name: str = ""
    profiles: list[str] | None = None
    services: list[str] = dataclasses.field(default_factory=list)
    owners: t.Collection[int] = ()


@dataclasses.dataclass
class Effective:
    """What the services get. `documents` are their env files with the index of the source; `broken`: names with an
    error; `whole`: nothing is unknown."""

    services: dict[str, Settings]
    documents: list[tuple[int, parser.Document]]
    problems: list[Problem]
    broken: dict[str, Place]
    whole: bool


def entries_of(document: parser.Document, index: int, service: str = "") -> Settings:
    """What a file sets."""
    return {
        name: Setting(entry.value, index, entry.line, entry.after_quote, entry.cut, service=service)
        for name, entry in document.entries.items()
    }


def of_project(
    options: Options, sources: list[Source], paths: t.Mapping[str, int], project: Settings, known: Lookup
) -> Effective:
    """The environments of the services that run; sources are added to `sources`.

    `project` is the project's environment as far as env files give it, `known` all of it; `paths` says which of the
    sources stands for a path, so that an env file that is not written yet can be a service's, too.
    Raises `ProductionError` for a service that there is not.
    """
    return _Effective(options, sources, paths, project, known).run()


def further(
    earlier: t.Iterable[tuple[int, parser.Document]], more: t.Iterable[tuple[int, parser.Document]]
) -> t.Iterator[tuple[int, parser.Document]]:
    """`more` without the notes that another reading of the same file has left."""

    def key(index: int, note: parser.Note) -> tuple[t.Any, ...]:
        return index, note.rule, note.line, note.name, note.reference

    seen = {key(index, note) for index, document in earlier for note in document.notes}
    for index, document in more:
        notes = [note for note in document.notes if key(index, note) not in seen]
        seen.update(key(index, note) for note in notes)
        yield index, dataclasses.replace(document, notes=notes)


def joined(settings: Settings, services: t.Mapping[str, Settings]) -> dict[str, list[Setting]]:
    """What the services get joins the project's environment, where the first value that is not blank stands for its
    variable; gives the other values that it has somewhere, each once."""
    others: dict[str, list[Setting]] = {}
    seen = {(name, setting.value) for name, setting in settings.items()}
    for of_service in services.values():
        for name, setting in of_service.items():
            if (name, setting.value) in seen:
                continue
            seen.add((name, setting.value))
            first = settings.get(name)
            if first is None or not first.value.strip() and setting.value.strip():
                settings[name] = setting
            else:
                others.setdefault(name, []).append(setting)
    return others


class _Effective:
    def __init__(
        self, options: Options, sources: list[Source], paths: t.Mapping[str, int], project: Settings, known: Lookup
    ) -> None:
        self._options = options
        self._paths = dict(paths)
        self._settings = project
        self._known = known
        self._project = Project(sources, options.project_name)
        self._documents: list[tuple[int, parser.Document]] = []
        self._chains: dict[Chain, Settings] = {}

    def run(self) -> Effective:
        project, options = self._project, self._options
        compose_project.load(project, options.files, options.directory, self._known, self._env_of_included)
        services = {name: self._service(name, service) for name, service in self._chosen().items()}
        if project.whole:
            self._report_unused()
        problems = [
            problem
            for problem in project.problems
            if problem.rule != "compose_unset" or problem.reference not in _OF_EVERY_PROCESS
        ]
        for index, document in self._documents:
            project.broken.update((name, (index, line)) for name, line in document.broken.items())
        return Effective(services, self._documents, problems, project.broken, project.whole)

    def _outside(self, name: str) -> str | None:
        return self._project.name if name == "COMPOSE_PROJECT_NAME" else self._known(name)

    def _chosen(self) -> dict[str, Service]:
        profiles = self._options.profiles
        if profiles is None:
            profiles = [one.strip() for one in (self._outside("COMPOSE_PROFILES") or "").split(",")]
        if not self._options.services:
            return self._project.active(profiles)
        found = {name: self._project.services.get(name) for name in self._options.services}
        missing = [name for name, service in found.items() if service is None]
        if missing and self._project.whole:
            raise ProductionError(
                "compose.services",
                f"there is no service {', '.join(missing)}.",
                f"The Compose files have: {', '.join(sorted(self._project.services)) or 'none'}.",
            )
        return {name: service for name, service in found.items() if service is not None}

    def _service(self, name: str, service: Service) -> Settings:
        chain: Chain = ()
        settings: Settings = {}
        for file in service.env_files:
            index = self._source(file)
            if index is not None:
                chain = (*chain, (file.path, file.raw))
                settings = self._with_file(chain, index, settings, name)
        settings = {**settings} if service.environment else settings  # of services with the same files, one
        for key, inline in service.environment.items():
            self._put_inline(settings, name, key, inline)
        return settings

    def _source(self, file: EnvFile) -> int | None:
        """The index of an env file among the sources; None where it is missing."""
        if file.path not in self._paths:
            if not os.path.exists(file.path):
                if file.required:
                    self._problem("env_file_missing", "", file.at)
                    self._project.whole = False
                return None
            source = custody.read(file.path, self._options.owners)
            self._paths[file.path] = len(self._project.sources)
            self._project.sources.append(source)
            for rule, line in source.problems:
                self._problem(rule, "", (self._paths[file.path], line))
        return self._paths[file.path]

    def _with_file(self, chain: Chain, index: int, earlier: Settings, service: str) -> Settings:
        """`earlier` with a file over it; of services with the same files, read once."""
        if chain not in self._chains:
            text = self._project.sources[index].text
            if text is None:
                self._project.whole = False

            def known(name: str) -> str | None:
                self._project.references.add(name)
                return earlier[name].value if name in earlier else self._outside(name)

            read = raw.parse if chain[-1][1] else parser.parse
            document = read(text or "", known)
            self._documents.append((index, document))
            self._chains[chain] = {**earlier, **entries_of(document, index, service)}
        return self._chains[chain]

    def _put_inline(self, settings: Settings, service: str, name: str, inline: Inline) -> None:
        of_file = settings.pop(name, None)
        if inline.value is not None:
            settings[name] = Setting(inline.value, *inline.at, service=service, inline=True)
        else:
            value = self._outside(name)
            if value is not None:
                settings[name] = self._bare(name, value, inline.at, service)
            elif of_file is None:
                self._problem("bare_key", name, inline.at)
            else:
                message = "has no value in environment and is set nowhere else, which takes the env file's value away"
                self._problem("inline_override", name, inline.at, message)
                return
        if of_file is not None and settings[name].value != of_file.value:
            self._problem("inline_override", name, inline.at)

    def _bare(self, name: str, value: str, at: Place, service: str) -> Setting:
        setting = self._settings.get(name)
        if setting is not None and setting.value == value:
            return dataclasses.replace(setting, service=service, inline=True)
        return Setting(value, *at, origin=PROCESS, service=service, inline=True)

    def _env_of_included(self, paths: t.Sequence[str], optional: bool, outer: Lookup) -> Lookup:
        """What an included project is substituted from: `outer`, then its own env files."""
        found: dict[str, str] = {}

        def known(name: str) -> str | None:
            value = outer(name)
            return value if value is not None else found.get(name)

        for path in paths:
            if optional and not os.path.exists(path):
                continue
            source = custody.read(path, self._options.owners)
            index = len(self._project.sources)
            self._project.sources.append(source)
            for rule, line in source.problems:
                self._problem(rule, "", (index, line))
            document = parser.parse(source.text or "", known)
            self._documents.append((index, document))
            found.update(document.values)
        return known

    def _report_unused(self) -> None:
        """Keys of the project's env files that nothing refers to, unless the whole file is some service's."""
        whole = {file.path for service in self._project.services.values() for file in service.env_files}
        indices = {self._paths[path] for path in whole if path in self._paths}
        for name, setting in self._settings.items():
            used = name in self._project.references or names.of_compose(name)
            if name and not used and setting.source not in indices and setting.origin != OPTION:
                self._problem("unused_key", name, (setting.source, setting.line))

    def _problem(self, rule: str, name: str, at: Place, message: str = "") -> None:
        self._project.problems.append(Problem(rule, name, at, message))
