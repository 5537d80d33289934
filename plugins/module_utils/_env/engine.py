# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Env files, and what the services of a Compose project get, held against a schema. Private to the collection."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import (
    carried,
    effective,
    example,
    inputs,
    names,
    parser,
    relations,
    values,
    vendors,
)
from ansible_collections.tria.production.plugins.module_utils._env.effective import Setting, Settings
from ansible_collections.tria.production.plugins.module_utils._env.outcome import Outcome
from ansible_collections.tria.production.plugins.module_utils._env.rules import ERROR, RULES, Finding, found_by
from ansible_collections.tria.production.plugins.module_utils._env.schema import Schema
from ansible_collections.tria.production.plugins.module_utils._env.similar import Similar
from ansible_collections.tria.production.plugins.module_utils._env.sources import Source, from_file
from ansible_collections.tria.production.plugins.module_utils._env.vocabulary import Variable

# what an env file of a service alone may be, unless it holds a secret: defaults that a repository shares, say
_OPEN = ("file_mode", "git_tracked", "git_unignored")
# that an example has the value too goes without saying
_INVENTED = ("placeholder", "known_default", "repeated_secret", "sequential_secret")


def check(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Outcome:
    """Validate by the options of the module `env_validate`; raises `ProductionError` for a wrong one."""
    schema, waived = inputs.schema(params), inputs.waivers(params["waive"])
    shown = params.get("example")
    if inputs.is_environment(params):
        taking_part = environ if params["process_environment"] else {}
        given = inputs.given(params, environ)
        outcome = _Validation(given, schema, taking_part).run(waived, params["recommended"])
    else:  # the example is all that there is to look at
        outcome = Outcome([] if shown["state"] == "checked" else [shown["path"]], [], [])
    if shown and shown["state"] == "checked":
        outcome.add(shown["path"], *_sifted(example.drift(schema, from_file(shown["path"])), waived))
    return outcome


def ensure_example(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Write the example that the options ask for, if they do; return values of the module."""
    wanted = params.get("example")
    if not wanted or wanted["state"] != "present":
        return {}
    return example.ensure(wanted["path"], inputs.schema(params), check_mode)


def _sifted(findings: t.Iterable[Finding], waived: t.Container[tuple[str, str]]) -> tuple[list[Finding], list[Finding]]:
    """What no waiver takes out, and what one does."""
    kept: list[Finding] = []
    dropped: list[Finding] = []
    for finding in findings:
        name = finding.variable or finding.file
        is_waived = (name, "") in waived or (name, finding.rule.name) in waived
        (dropped if is_waived else kept).append(finding)
    return kept, dropped


def validate(
    sources: t.Sequence[Source],
    schema: Schema,
    waived: t.Container[tuple[str, str]] = (),
    environ: t.Mapping[str, str] | None = None,
    recommended: t.Sequence[str] = (),
) -> Outcome:
    """Hold the environment that `sources` give together (later ones win) against `schema`.

    `environ` is the process environment, which wins over all of them; None leaves it out, as on a host where no shell
    variable takes part. Of variables that are `recommended` the outcome tells whether they are set.
    """
    return _Validation(inputs.Given([*sources]), schema, environ or {}).run(waived, recommended)


class _Validation:
    """Holds what is given against a schema.

    Values in place win over the process environment, and that over env files. With a Compose project this is the
    environment that Compose substitutes, and what each service gets is held against the schema as well.
    """

    def __init__(self, given: inputs.Given, schema: Schema, environ: t.Mapping[str, str]) -> None:
        self._given = given
        self._sources = [*given.sources]
        self._schema = schema
        self._environ = environ
        self._own = len(given.sources)  # further ones come with a Compose project
        self._settings: Settings = {}
        self._others: dict[str, list[Setting]] = {}  # what services get, where it differs
        self._services: dict[str, Settings] = {}
        self._broken: dict[str, tuple[int, int]] = {}
        self._incomplete = False
        self._found: list[tuple[int, Finding]] = []
        self._names = {*schema.variables, *schema.related()}

    def run(self, waived: t.Container[tuple[str, str]], recommended: t.Sequence[str]) -> Outcome:
        documents = [(index, self._read(index, source)) for index, source in enumerate(self._sources)]
        self._apply_environ()
        self._apply_inline(self._given.inline)
        origins = self._origins(self._settings)
        if self._given.compose is not None:
            documents += effective.further(documents, self._apply_services(self._given.compose, self._given.paths))
        for index, document in documents:
            self._report_notes(index, document)
        self._check_variables()
        self._check_relations()
        self._check_undeclared()
        self._check_keys()
        self._found.sort(key=lambda found: (found[0], found[1].line, found[1].variable, found[1].rule.id))
        kept, dropped = _sifted((finding for _source, finding in self._found), waived)
        good, unset = self._as_wanted(kept, recommended)
        services = {name: self._origins(settings) for name, settings in self._services.items()}
        return Outcome(self._labels(kept), kept, dropped, good, unset, origins, services)

    def _as_wanted(self, kept: t.Iterable[Finding], recommended: t.Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Required and recommended variables that are good, and recommended ones that are not set."""
        bad = {finding.variable for finding in kept if finding.rule.severity == ERROR}
        required = {name: None for name, variable in self._schema.variables.items() if variable.required}
        absent = {name for name in recommended if name not in required and self._is_unset(name)} - bad
        good = [
            name
            for name in dict.fromkeys([*required, *recommended])
            if name in self._settings and name not in bad and name not in absent
        ]
        unset = {name: self._description(name) for name in recommended if name in absent and not self._incomplete}
        return good, unset

    def _labels(self, kept: t.Iterable[Finding]) -> list[str]:
        """What was looked at: what is given, and what something was found in."""
        told = {finding.file for finding in kept}
        labels = [
            source.label
            for index, source in enumerate(self._sources)
            if index < self._own or source.label in told or not self._own
        ]
        return labels or [effective.OPTION]

    def _is_unset(self, name: str) -> bool:
        return name not in self._broken and (name not in self._settings or values.is_blank(self._settings[name].value))

    def _description(self, name: str) -> str:
        return self._schema.variables[name].description if name in self._schema.variables else ""

    def _report(
        self, rule: str, name: str = "", message: str = "", remedy: str = "", at: tuple[int, int] | None = None
    ) -> None:
        source, line = at or self._place_of(name)
        label = self._sources[source].label if self._sources else effective.OPTION
        self._found.append((source, found_by(rule, name, label, line, message, remedy)))

    def _report_value(self, name: str, setting: Setting, rule: str, message: str = "", remedy: str = "") -> None:
        """As `_report`; says whose value it is."""
        if setting.service:
            message = f"{message or RULES[rule].message} (service {setting.service})"
        self._report(rule, self._shown(name, setting.after_quote), message, remedy, (setting.source, setting.line))

    def _place_of(self, name: str) -> tuple[int, int]:
        setting = self._settings.get(name)
        return (setting.source, setting.line) if setting else (max(self._own - 1, 0), 0)

    def _shown(self, name: str, after_quote: bool = False) -> str:
        return names.shown(name, self._names, after_quote)

    def _read(self, index: int, source: Source) -> parser.Document:
        for rule, line in source.problems:
            self._report(rule, at=(index, line))
        if source.text is None:
            self._incomplete = True
            return parser.Document()
        document = parser.parse(source.text, self._known)
        self._settings.update(effective.entries_of(document, index))
        for name in document.entries:
            self._broken.pop(name, None)
        for name, line in document.broken.items():
            self._broken[name] = (index, line)
            self._settings.pop(name, None)
        return document

    def _known(self, name: str) -> str | None:
        if name in self._environ:
            return self._environ[name]
        setting = self._settings.get(name)
        return setting.value if setting else None

    def _apply_environ(self) -> None:
        for name in {*self._settings, *self._schema.variables} & set(self._environ):
            setting = self._settings.get(name)
            if setting and setting.value != self._environ[name]:
                self._report("shell_override", self._shown(name, setting.after_quote))
            self._put(name, self._environ[name], effective.PROCESS)

    def _apply_inline(self, inline: t.Mapping[str, str | None]) -> None:
        for name, text in inline.items():
            setting, value = self._settings.get(name), self._environ.get(name) if text is None else text
            if setting and setting.line and setting.value != value:
                self._report("inline_override", self._shown(name, setting.after_quote))
            self._broken.pop(name, None)
            if value is None:
                self._settings.pop(name, None)
            else:
                self._put(name, value, effective.PROCESS if text is None else effective.OPTION)

    def _put(self, name: str, value: str, origin: str) -> None:
        """A value from elsewhere; findings of it name the line that it wins over."""
        setting = self._settings.get(name) or Setting("", *self._place_of(name))
        self._settings[name] = dataclasses.replace(setting, value=value, cut=False, origin=origin)

    def _apply_services(
        self, compose: effective.Options, paths: t.Mapping[str, int]
    ) -> list[tuple[int, parser.Document]]:
        """What the services get joins the environment; gives the env files that only they have."""
        found = effective.of_project(compose, self._sources, paths, {**self._settings}, self._known)
        self._services = found.services
        self._incomplete = self._incomplete or not found.whole
        secret = {index for index, document in found.documents if any(map(self._is_secret, document.entries))}
        for problem in dict.fromkeys(found.problems):
            if problem.rule not in _OPEN or problem.at[0] in secret:
                self._report_problem(problem)
        self._broken.update((name, at) for name, at in found.broken.items() if name not in self._settings)
        self._others = effective.joined(self._settings, found.services)
        return found.documents

    def _report_problem(self, problem: effective.Problem) -> None:
        if problem.rule == "compose_reference" and self._is_demanded(problem.reference):
            return  # what the schema says of it is found anyway
        name, message = problem.name, problem.message
        if problem.reference and (problem.reference in self._names or not name):
            name, message = problem.reference, message if problem.rule == "compose_reference" else ""
        self._report(problem.rule, self._shown(name), message, at=problem.at)

    def _is_secret(self, name: str) -> bool:
        variable = self._schema.variables.get(name)
        return variable.secret if variable else vendors.is_key(name)

    def _is_demanded(self, name: str) -> bool:
        variable = self._schema.variables.get(name)
        return variable is not None and variable.required and not variable.allow_empty and not self._incomplete

    def _each(self, name: str) -> list[Setting]:
        """Every value that a variable has anywhere."""
        return [self._settings[name], *self._others.get(name, ())] if name in self._settings else []

    def _origins(self, settings: Settings) -> dict[str, str]:
        return {
            self._shown(name, setting.after_quote): setting.origin
            or f"{self._sources[setting.source].label}:{setting.line}"
            for name, setting in settings.items()
            if name
        }

    def _report_notes(self, index: int, document: parser.Document) -> None:
        for note in document.notes:
            message = note.message
            # a reference that nobody meant is a piece of the value
            if note.reference in self._names or note.reference in document.entries:
                message = f"refers to {note.reference}, which is not set at this point, and gets nothing in its place"
            entry = document.entries.get(note.name)
            self._report(
                note.rule, self._shown(note.name, bool(entry and entry.after_quote)), message, at=(index, note.line)
            )

    def _check_variables(self) -> None:
        for name, variable in self._schema.variables.items():
            if name in self._broken:
                continue  # the finding of its line says it
            if name not in self._settings and variable.required and not self._incomplete:
                self._report("required", name, remedy=_how_to_set(variable.description))
            for setting in self._each(name):
                self._check_setting(name, variable, setting)

    def _check_setting(self, name: str, variable: Variable, setting: Setting) -> None:
        if values.is_blank(setting.value):
            if variable.required and not variable.allow_empty:
                self._report_value(name, setting, "empty")
            return
        invented = False
        for rule, message, remedy in values.violations(variable, setting.value):
            self._report_value(name, setting, rule, message, remedy)
            invented = invented or rule in _INVENTED
        if variable.secret and not invented and self._given.known.hold(name, setting.value):
            self._report_value(name, setting, "example_value")
        if variable.secret and setting.cut:
            self._report_value(name, setting, "hash_cut")

    def _check_relations(self) -> None:
        if self._incomplete:
            return  # what a file that cannot be read would have set is unknown
        for rule, name, message in relations.violations(self._schema, self._values(), self._broken):
            self._report(rule, name, message)

    def _check_undeclared(self) -> None:
        """Names that the schema does not declare: are they meant, and do they hold what was meant?"""
        similar = Similar(
            name
            for name, variable in self._schema.variables.items()
            if name not in self._settings and variable.deprecated is None
        )
        for name in self._settings:
            for setting in self._each(name):
                self._check_undeclared_setting(name, setting, similar)

    def _check_undeclared_setting(self, name: str, setting: Setting, similar: Similar) -> None:
        for rule in carried.violations(name, setting.value):
            self._report_value(name, setting, rule)
        if not name or name in self._schema.variables:
            return
        for rule, message, remedy in values.violations(Variable(name), setting.value):
            self._report_value(name, setting, rule, message, remedy)
        if self._schema.variables and name not in self._names and not names.of_compose(name):
            near = similar.to(name)
            if near:
                message, remedy = f"is not in the schema; did you mean {near}?", f"Rename it to {near}."
                self._report("near_miss", name, message, remedy, (setting.source, setting.line))
            elif not setting.inline:  # an image has variables of its own, and whoever writes a Compose file names them
                self._report_value(name, setting, "unknown_variable")

    def _check_keys(self) -> None:
        """Keys of vendors, in variables that have no error yet."""
        bad = {finding.variable for _source, finding in self._found if finding.rule.severity == ERROR}
        secret = {name for name, variable in self._schema.variables.items() if variable.secret}
        formed = {name for name, variable in self._schema.variables.items() if variable.pattern}
        keys = vendors.Keys(self._values(), secret, formed)
        for name in self._settings:
            for setting in self._each(name) if name not in bad else ():
                violation = None if values.is_blank(setting.value) else keys.violation(name, setting.value)
                if violation:
                    self._report_value(name, setting, *violation)

    def _values(self) -> dict[str, str]:
        """What is set and not blank."""
        return {name: each.value for name, each in self._settings.items() if not values.is_blank(each.value)}


def _how_to_set(description: str) -> str:
    return f"Set it: {description.rstrip('.')}." if description else ""
