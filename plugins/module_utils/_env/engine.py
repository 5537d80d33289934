# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Env files held against a schema. Private to the collection."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import carried, parser, relations, values
from ansible_collections.tria.production.plugins.module_utils._env.outcome import Outcome
from ansible_collections.tria.production.plugins.module_utils._env.rules import ERROR, RULES, Finding
from ansible_collections.tria.production.plugins.module_utils._env.schema import Schema, Variable, load
from ansible_collections.tria.production.plugins.module_utils._env.similar import Similar
from ansible_collections.tria.production.plugins.module_utils._env.sources import Source, from_content, from_file
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

# a name nobody declared may be a piece of a value that was torn apart; only what is written like a name is shown
_CONVENTIONAL = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\Z")
_LONGEST_WORD = 15
_LONGEST_NAME = 200
_OF_COMPOSE = ("COMPOSE_", "DOCKER_")
UNSHOWN = "(a name)"


@dataclasses.dataclass
class Setting:
    """The effective value of a variable, and where it comes from; `after_quote`: it began right behind a quote."""

    value: str
    source: int
    line: int
    after_quote: bool = False


def waivers(raw: t.Iterable[t.Any]) -> set[tuple[str, str]]:
    """Waivers as `(variable, rule name)`, the rule empty for all; raises `ProductionError` for what is none."""
    by_id = {rule.id: rule.name for rule in RULES.values()}
    found = set()
    for index, item in enumerate(raw):
        if isinstance(item, str):
            item = {"name": item}
        if not isinstance(item, dict) or not isinstance(item.get("name"), str) or set(item) - {"name", "rule"}:
            raise ProductionError(
                f"waive[{index}]", "is neither a name nor {name, rule}.", "Write NAME, or {name: NAME, rule: ENV011}."
            )
        rule = item.get("rule") or ""
        if rule and by_id.get(rule, rule) not in RULES:
            raise ProductionError(
                f"waive[{index}]", f"there is no rule {rule!r}.", "docs/env-rules.md lists the rules."
            )
        found.add((str(item["name"]), by_id.get(rule, rule)))
    return found


def check(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Outcome:
    """Validate by the options of the module `env_validate`; raises `ProductionError` for a wrong schema or waiver."""
    schema, waived = load(params["schema"]), waivers(params["waive"])
    if params["content"] is not None:
        sources = [from_content(params["content"])]
    else:
        sources = [from_file(path) for path in params["files"]]
    environ = environ if params["process_environment"] else {}
    return validate(sources, schema, waived, environ, params["recommended"])


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
    return _Validation(sources, schema, environ or {}).run(waived, recommended)


class _Validation:
    def __init__(self, sources: t.Sequence[Source], schema: Schema, environ: t.Mapping[str, str]) -> None:
        self._sources = sources
        self._schema = schema
        self._environ = environ
        self._settings: dict[str, Setting] = {}
        self._broken: dict[str, tuple[int, int]] = {}
        self._cut: set[str] = set()
        self._incomplete = False
        self._found: list[tuple[int, Finding]] = []
        self._names = {*schema.variables, *schema.related()}

    def run(self, waived: t.Container[tuple[str, str]], recommended: t.Sequence[str]) -> Outcome:
        documents = [self._read(index, source) for index, source in enumerate(self._sources)]
        self._apply_environ()
        for index, document in enumerate(documents):
            self._report_notes(index, document)
        self._check_variables()
        self._check_relations()
        self._check_undeclared()
        self._found.sort(key=lambda found: (found[0], found[1].line, found[1].variable, found[1].rule.id))
        kept, dropped = [], []
        for _source, finding in self._found:
            name = finding.variable
            is_waived = name and ((name, "") in waived or (name, finding.rule.name) in waived)
            (dropped if is_waived else kept).append(finding)
        bad = {finding.variable for finding in kept if finding.rule.severity == ERROR}
        required = {name: None for name, variable in self._schema.variables.items() if variable.required}
        absent = {name for name in recommended if name not in required and self._is_unset(name)} - bad
        good = [
            name
            for name in dict.fromkeys([*required, *recommended])
            if name in self._settings and name not in bad and name not in absent
        ]
        unset = {name: self._description(name) for name in recommended if name in absent and not self._incomplete}
        return Outcome([source.label for source in self._sources], kept, dropped, good, unset)

    def _is_unset(self, name: str) -> bool:
        return name not in self._broken and (name not in self._settings or values.is_blank(self._settings[name].value))

    def _description(self, name: str) -> str:
        return self._schema.variables[name].description if name in self._schema.variables else ""

    def _report(
        self, rule: str, name: str = "", message: str = "", remedy: str = "", at: tuple[int, int] | None = None
    ) -> None:
        source, line = at or self._place_of(name)
        definition = RULES[rule]
        label = self._sources[source].label if self._sources else ""
        self._found.append(
            (source, Finding(definition, name, label, line, message or definition.message, remedy or definition.remedy))
        )

    def _place_of(self, name: str) -> tuple[int, int]:
        setting = self._settings.get(name)
        return (setting.source, setting.line) if setting else (max(len(self._sources) - 1, 0), 0)

    def _shown(self, name: str, after_quote: bool = False) -> str:
        """A name that may be shown; what could be a piece of a value is not."""
        if not name or name in self._names:
            return name
        if after_quote or len(name) > _LONGEST_NAME or not _CONVENTIONAL.match(name):
            return UNSHOWN
        return name if max(map(len, name.split("_"))) <= _LONGEST_WORD else UNSHOWN

    def _read(self, index: int, source: Source) -> parser.Document:
        for rule, line in source.problems:
            self._report(rule, at=(index, line))
        if source.text is None:
            self._incomplete = True
            return parser.Document()
        document = parser.parse(source.text, self._known)
        for name, entry in document.entries.items():
            self._settings[name] = Setting(entry.value, index, entry.line, entry.after_quote)
            self._broken.pop(name, None)
            (self._cut.add if entry.cut else self._cut.discard)(name)
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
            self._settings[name] = dataclasses.replace(
                setting or Setting("", *self._place_of(name)), value=self._environ[name]
            )

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
            setting = self._settings.get(name)
            if name in self._broken:
                continue  # the finding of its line says it
            if setting is None:
                if variable.required and not self._incomplete:
                    self._report("required", name, remedy=_how_to_set(variable.description))
            elif values.is_blank(setting.value):
                if variable.required and not variable.allow_empty:
                    self._report("empty", name)
            else:
                for rule, message, remedy in values.violations(variable, setting.value):
                    self._report(rule, name, message, remedy)
                if variable.secret and name in self._cut:
                    self._report("hash_cut", name)

    def _check_relations(self) -> None:
        if self._incomplete:
            return  # what a file that cannot be read would have set is unknown
        settings = {
            name: setting.value for name, setting in self._settings.items() if not values.is_blank(setting.value)
        }
        for rule, name, message in relations.violations(self._schema, settings, self._broken):
            self._report(rule, name, message)

    def _check_undeclared(self) -> None:
        """Names that the schema does not declare: are they meant, and do they hold what was meant?"""
        similar = Similar(name for name in self._schema.variables if name not in self._settings)
        for name, setting in self._settings.items():
            at = (setting.source, setting.line)
            shown = self._shown(name, setting.after_quote)
            for rule in carried.violations(name, setting.value):
                self._report(rule, shown, at=at)
            if not name or name in self._schema.variables:
                continue
            for rule, message, remedy in values.violations(Variable(name), setting.value):
                self._report(rule, shown, message, remedy, at)
            if self._schema.variables and name not in self._names and not name.startswith(_OF_COMPOSE):
                near = similar.to(name)
                if near:
                    self._report(
                        "near_miss", name, f"is not in the schema; did you mean {near}?", f"Rename it to {near}.", at
                    )
                else:
                    self._report("unknown_variable", shown, at=at)


def _how_to_set(description: str) -> str:
    return f"Set it: {description.rstrip('.')}." if description else ""
