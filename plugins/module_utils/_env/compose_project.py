# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services of a Compose project, as far as their environment goes: `environment`, `env_file`, `profiles`.

Files are read as `docker compose config` reads them: each substituted by itself, then `extends`, then merged with the
files before it (`!reset` and `!override` too), at last what is `include`d. Private to the collection.
"""

from __future__ import annotations

import functools
import os
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import compose_yaml, raw
from ansible_collections.tria.production.plugins.module_utils._env.compose_model import (
    EnvFile,
    Inline,
    Problem,
    Project,
    Service,
)
from ansible_collections.tria.production.plugins.module_utils._env.compose_yaml import OVERRIDE, RESET, Fault, Node
from ansible_collections.tria.production.plugins.module_utils._env.interpolation import (
    InterpolationError,
    Lookup,
    substitute,
)
from ansible_collections.tria.production.plugins.module_utils._env.sources import from_file

_USUAL = ("", ".env")  # how Compose calls the format that `parser` reads
LARGEST = 4 * 1024 * 1024  # characters of a Compose file
_UNSET = "its value refers to a variable that is set nowhere, and has no default: Compose puts nothing in its place"
ReadEnv = t.Callable[[t.Sequence[str], bool, Lookup], Lookup]


def load(project: Project, files: t.Sequence[str], directory: str, lookup: Lookup, env: ReadEnv) -> None:
    """Read `files` into `project`; sources are added to its own. `lookup` is what is substituted.

    `env(paths, optional, lookup)` reads the env files of an included project: what they give, `lookup` before them.
    """
    try:
        _Files(project, directory, lookup, env).load(files)
    except RecursionError:
        project.whole = False
        cause = "Docker Compose refuses the file: files include each other too deep"
        project.problems.append(Problem("compose_syntax", "", (0, 0), cause))


class _Unknown(str):
    """Stands for text whose references Compose refuses."""


class _Files:
    def __init__(
        self, project: Project, directory: str, lookup: Lookup, env: ReadEnv, opened: tuple[str, ...] = ()
    ) -> None:
        self._project = project
        self._directory = directory
        self._outside = lookup
        self._env = env
        self._opened = opened  # the files that led here, by `include`
        self._read: dict[str, tuple[int, list[t.Any]]] = {}
        self._built: dict[str, list[Node]] = {}
        self._resolved: dict[tuple[int, str, str], Service] = {}
        self._own: set[int] = set()  # indices of the project's files, not of those that are extended

    def load(self, files: t.Sequence[str]) -> None:
        self._project.name = self._project.name or self._name_in(files)
        services: dict[str, Service] = {}
        includes: list[tuple[int, Node]] = []
        self._own.update(self._index(path) for path in files)
        for path in files:
            for document in self._documents(path):
                index = self._index(path)
                for name, service in self._services(index, document, self._directory).items():
                    services[name] = services.get(name, Service()).under(service)
                for name in self._taken_out(document):
                    services.pop(name, None)
                include = document.get("include")
                includes += [(index, node) for node in include.listed()] if include else []
        for name, service in services.items():
            self._project.services.setdefault(name, service)
        for index, node in includes:
            self._include(index, node)

    def _problem(
        self, rule: str, index: int, line: int, name: str = "", message: str = "", reference: str = ""
    ) -> None:
        self._project.problems.append(Problem(rule, name, (index, line), message, reference))

    def _refused(self, index: int, line: int, cause: str) -> None:
        self._project.whole = False
        self._problem("compose_syntax", index, line, message=f"Docker Compose refuses the file: {cause}")

    def _name_in(self, files: t.Sequence[str]) -> str:
        """The project's name: of the environment, of the last file that has one, of the folder."""
        name = self._outside("COMPOSE_PROJECT_NAME") or ""
        if not name:
            for path in files:
                for document in self._raw(path)[1]:
                    pairs = document.value if document.id == "mapping" else []
                    found = [value.value for key, value in pairs if key.value == "name" and value.id == "scalar"]
                    name = found[0] if found else name
            name = self._substituted(0, name, 0, "", quiet=True)
        folder = os.path.basename(self._directory.rstrip("/")).lower()
        return name or re.sub(r"[^a-z0-9_-]", "", folder).lstrip("_-")

    def _index(self, path: str) -> int:
        return self._raw(path)[0]

    def _raw(self, path: str) -> tuple[int, list[t.Any]]:
        """A file's index among the sources, and its documents as PyYAML gives them; none where it cannot be read."""
        if path in self._read:
            return self._read[path]
        source = from_file(path)
        source.problems = [problem for problem in source.problems if problem[0] != "file_mode"]  # holds no secret
        if source.text is not None and len(source.text) > LARGEST:
            source.problems.append(("file_too_large", 0))
            source.text = None
        index, documents = len(self._project.sources), []
        self._project.sources.append(source)
        for rule, line in source.problems:
            self._problem(rule, index, line)
        if source.text is None:
            self._project.whole = False
        else:
            try:
                documents = compose_yaml.compose(source.text)
                if not documents:
                    raise Fault(0, "it is empty")
            except Fault as exc:
                self._refused(index, exc.line, exc.cause)
        self._read[path] = index, documents
        return index, documents

    def _documents(self, path: str) -> list[Node]:
        """A file's documents, substituted; of what is wrong with one, a problem is left."""
        if path not in self._built:
            index, documents = self._raw(path)
            self._built[path] = built = []
            for document in documents:
                try:
                    node = compose_yaml.build(document, functools.partial(self._substituted, index))
                    if not isinstance(node.value, dict):
                        raise Fault(node.line, "its top level is no mapping")
                    built.append(node)
                except Fault as exc:
                    self._refused(index, exc.line, exc.cause)
        return self._built[path]

    def _known(self, name: str) -> str | None:
        return self._project.name if name == "COMPOSE_PROJECT_NAME" else self._outside(name)

    def _substituted(self, index: int, text: str, line: int, owner: str, quiet: bool = False) -> str:
        """`text` as Compose substitutes it; what it refers to is noted, and what is wrong with it."""
        unset: list[str] = []

        def known(name: str) -> str | None:
            self._project.references.add(name)
            return self._known(name)

        try:
            value = substitute(text, known, unset)
        except InterpolationError as exc:
            value = _Unknown()
            if owner and exc.name != owner:
                self._project.broken[owner] = (index, line)
            if not quiet:
                self._problem("compose_reference", index, line, owner, _refusal(exc), exc.name)
        for name in () if quiet else dict.fromkeys(unset):
            if "${" + name in text:
                self._problem("compose_unset", index, line, owner, _UNSET if owner else "", name)
            else:
                self._problem("compose_dollar", index, line, owner)
        return value

    def _services(self, index: int, document: Node, directory: str) -> dict[str, Service]:
        """A document's services with what they extend, before any other file's is merged."""
        node = document.get("services")
        if node is None or node.value is None:
            return {}
        if not isinstance(node.value, dict):
            self._refused(index, node.line, "services is no mapping")
            return {}
        try:
            return {name: self._service(index, node, name, directory, ()) for name in node.value}
        except RecursionError:
            self._refused(index, node.line, "services extend each other too deep")
            return {}

    @staticmethod
    def _taken_out(document: Node) -> list[str]:
        services = document.get("services")
        return [name for name, node in services.items() if node.tag == RESET] if services is not None else []

    def _service(
        self, index: int, services: Node, name: str, directory: str, path: tuple[tuple[int, str], ...]
    ) -> Service:
        key = id(services), name, directory
        if key not in self._resolved:
            self._resolved[key] = self._unresolved(index, services, name, directory, path)
        return self._resolved[key]

    def _unresolved(
        self, index: int, services: Node, name: str, directory: str, path: tuple[tuple[int, str], ...]
    ) -> Service:
        node = services.value[name]
        if node.value is None or node.tag == RESET:
            return Service()
        if not isinstance(node.value, dict):
            self._refused(index, node.line, "a service is no mapping")
            return Service()
        readers = {"environment": self._environment, "env_file": self._env_files, "profiles": self._profiles}
        service = Service(replaced=set(readers) if node.tag == OVERRIDE else set())
        for key, read in readers.items():
            value = node.get(key)
            if value is not None:
                if value.tag in (RESET, OVERRIDE):
                    service.replaced.add(key)
                if value.tag != RESET:
                    read(index, value, service, directory)
        extends = node.get("extends")
        if extends is None or extends.value is None:
            return service
        base = self._extended(index, services, extends, directory, (*path, (index, name)))
        merged = base.under(service)
        merged.replaced, merged.removed = service.replaced, service.removed
        return merged

    def _extended(
        self, index: int, services: Node, extends: Node, directory: str, path: tuple[tuple[int, str], ...]
    ) -> Service:
        """The service that another one extends, of the same file or of another one."""
        wanted, file = _text_of(extends.get("service") or extends), _text_of(extends.get("file"))
        if file:
            target = os.path.normpath(os.path.join(directory, os.path.expanduser(file)))
            directory = os.path.dirname(target)
            documents = self._documents(target)
            found = [one.get("services") for one in documents]
            candidates = [one for one in found if one is not None and one.get(wanted) is not None]
            if not documents:
                return Service()  # said already
            if not candidates:
                self._refused(index, extends.line, "the service that is extended is not in the other file")
                return Service()
            services, index = candidates[-1], self._index(target)
        elif services.get(wanted) is None:
            self._refused(index, extends.line, "there is no such service to extend")
            return Service()
        if (index, wanted) in path:
            self._refused(index, extends.line, "services extend each other in a circle")
            return Service()
        return self._service(index, services, wanted, directory, path)

    def _environment(self, index: int, node: Node, service: Service, directory: str) -> None:
        if isinstance(node.value, dict):
            for name, item in node.items():
                if item.tag == RESET:
                    service.removed.add(name)
                elif isinstance(item.value, _Unknown):
                    continue
                elif isinstance(item.value, (dict, list)):
                    self._refused(index, item.line, "a value in environment is no text")
                else:
                    service.environment[name] = self._inline(index, name, _as_text(item.value), item.line)
            return
        for item in node.listed():
            text = _as_text(item.value)
            if isinstance(text, _Unknown):
                continue
            if text is None or not isinstance(node.value, list):
                self._refused(index, item.line, "environment is neither a mapping nor a list of texts")
            else:
                name, equals, value = text.partition("=")
                service.environment[name] = self._inline(index, name, value if equals else None, item.line)

    def _inline(self, index: int, name: str, value: str | None, line: int) -> Inline:
        if value is None:
            self._project.references.add(name)
        return Inline(value, (index, line))

    def _env_files(self, index: int, node: Node, service: Service, directory: str) -> None:
        for item in node.listed():
            path, required = item.get("path") or item, item.get("required")
            text = _text_of(path)
            if not text:
                if not isinstance(path.value, _Unknown):
                    self._refused(index, item.line, "env_file names no path")
                continue
            form = _text_of(item.get("format"))
            if form not in (*_USUAL, raw.FORMAT):
                self._refused(index, item.line, f"env_file has a format other than {raw.FORMAT}")
                continue
            full = os.path.normpath(os.path.join(directory, os.path.expanduser(text)))
            written = text if index in self._own else os.path.relpath(full, self._directory)
            needed = required is None or _as_text(required.value) != "false"
            service.env_files.append(EnvFile(full, needed, (index, item.line), written, form == raw.FORMAT))

    def _profiles(self, index: int, node: Node, service: Service, directory: str) -> None:
        service.profiles = [text for text in (_text_of(item) for item in node.listed()) if text]

    def _include(self, index: int, node: Node) -> None:
        """Another project's services, which its own env file is substituted into; what is known here wins."""
        paths = [_text_of(item) for item in (node.get("path") or node).listed()]
        paths = [os.path.normpath(os.path.join(self._directory, os.path.expanduser(path))) for path in paths if path]
        if not paths:
            self._refused(index, node.line, "include names no path")
            return
        if paths[0] in self._opened:
            self._refused(index, node.line, "files include each other in a circle")
            return
        folder = _text_of(node.get("project_directory"))
        directory = os.path.join(self._directory, folder) if folder else os.path.dirname(paths[0])
        named = node.get("env_file")
        listed = named.listed() if named else []
        if any(_text_of(item.get("format")) not in _USUAL for item in listed):
            self._refused(index, node.line, "the env_file of an include has a format, which is not read here")
            return
        files = [_text_of(item.get("path") or item) for item in listed]
        base = self._directory if files else directory
        included = (directory, *paths, *files)
        if included in self._project.included:
            return  # by way of another file
        self._project.included.add(included)
        lookup = self._env([os.path.join(base, file) for file in files or [".env"] if file], not files, self._known)
        opened = (*self._opened, *paths)
        _Files(self._project, directory, lookup, self._env, opened).load(paths)


def _refusal(exc: InterpolationError) -> str:
    return f"Docker Compose refuses a reference here: {exc.cause}"


def _as_text(value: compose_yaml.Scalar) -> str | None:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def _text_of(node: Node | None) -> str:
    value = node.value if node is not None else None
    return value if isinstance(value, str) else ""
