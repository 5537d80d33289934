# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`.env.example`: written from the schema, and what one that is there lacks. Private to the collection.

What is written holds no secret, not even one that the schema has for a default. What a file held before is nowhere
shown: it may have been meant for secrets.
"""

from __future__ import annotations

import os
import re
import stat
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic
from ansible_collections.tria.production.plugins.module_utils._env import kinds, names, parser, urls, values
from ansible_collections.tria.production.plugins.module_utils._env.rules import ERROR, RULES, Finding, found_by
from ansible_collections.tria.production.plugins.module_utils._env.schema import Schema
from ansible_collections.tria.production.plugins.module_utils._env.sources import Source, from_file
from ansible_collections.tria.production.plugins.module_utils._env.vocabulary import Variable
from ansible_collections.tria.production.plugins.module_utils._env.writer import quote
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_MARK = "# Made by tria.production.env_validate from the schema"
_HEAD = f"""{_MARK}; changes belong there.
# Copy it to .env (mode 0600) and give what is required a value.
"""
_COMMENTED = re.compile(r"[ \t]*#[ \t]*(?:export )?([A-Za-z_][A-Za-z0-9_.\-]*)=(.*)")
_STATEMENT = re.compile(r"(?P<before>[#\s]*(?:export )?)(?P<name>[A-Za-z_][A-Za-z0-9_.\-]*)[ ]*[=:]")


def dump(schema: Schema) -> str:
    """The text of an example for the schema, in its order, without what is deprecated."""
    relations = _relations(schema)
    blocks = [
        _block(variable, relations.get(name, []))
        for name, variable in schema.variables.items()
        if variable.deprecated is None
    ]
    # JSON can hold what no file can
    return "\n".join([_HEAD, *blocks]).encode("utf-8", "replace").decode("utf-8")


def ensure(path: str, schema: Schema, check_mode: bool) -> dict[str, t.Any]:
    """Put an example in place; `changed` and `diff` for the module's result.

    Raises `ProductionError` for a file that was not made here, or was copied and filled in since: it may be the
    environment itself.
    """
    path = os.path.realpath(path)
    source = from_file(path)
    rules = {rule for rule, _line in source.problems} - {"file_mode"}
    if rules - {"file_missing"}:
        rule = RULES[rules.pop()]
        raise ProductionError(path, f"{rule.message}.", rule.remedy)
    before, after = source.text or "", dump(schema)
    if before.strip() and (not before.startswith(_MARK) or _is_filled_in(before, schema)):
        raise ProductionError(
            path,
            "is there, and is no example that env_validate made.",
            "Move it away, or name another file for the example.",
        )
    if before != after and not check_mode:
        _write(path, after)
    shown = {"before": _masked(before, after, schema), "after": after, "before_header": path, "after_header": path}
    return {"changed": before != after, "diff": shown if before != after else {}}


def drift(schema: Schema, source: Source) -> t.Iterator[Finding]:
    """How an example that is there differs from the schema, by line."""
    if source.text is None:
        for rule, line in source.problems:
            if rule != "file_mode":
                yield _finding("example_file" if rule == "file_missing" else rule, source, line)
        return
    document = parser.parse(source.text)
    commented = _commented(source.text)
    for name, variable in schema.variables.items():
        if name not in document.entries and name not in document.broken and name not in commented:
            if variable.deprecated is None:
                yield _finding("example_missing", source, 0, name)
    found = [*_of_entries(schema, document, source), *_secrets(schema, document, commented, source)]
    yield from sorted(found, key=lambda each: (each.line, each.rule.id))


def _of_entries(schema: Schema, document: parser.Document, source: Source) -> t.Iterator[Finding]:
    known = {*schema.variables, *schema.related()}
    for name, entry in document.entries.items():
        variable = schema.variables.get(name)
        if name not in known and not names.of_compose(name):
            yield _finding("example_unknown", source, entry.line, names.shown(name, known, entry.after_quote))
        elif variable and variable.deprecated is not None:
            yield _finding("deprecated", source, entry.line, name)
        elif variable and variable.default is not None and not variable.secret and entry.value.strip():
            if not _same(variable, entry.value, variable.default):
                yield _finding("example_default", source, entry.line, name)
    for note in document.notes:
        if RULES[note.rule].severity == ERROR:
            yield _finding(note.rule, source, note.line, names.shown(note.name, known), note.message)


def _secrets(
    schema: Schema, document: parser.Document, commented: dict[str, tuple[int, str]], source: Source
) -> t.Iterator[Finding]:
    """Values of secrets that may well be real ones, also in statements that are commented out."""
    entries = {name: (entry.line, entry.value) for name, entry in document.entries.items()}
    for name, (line, value) in [*entries.items(), *commented.items()]:
        variable = schema.variables.get(name)
        if variable and variable.secret and value.strip() and value not in (variable.default, *variable.choices):
            if not values.suspicion(_secret_part(value), secret=True):
                yield _finding("example_secret", source, line, name)


def _secret_part(value: str) -> str:
    """Of a URL its password, else its user; of anything else all of it."""
    try:
        url = urls.split(value)
    except urls.UrlError:
        return value
    return url.password or url.user or "<none>"


def _same(variable: Variable, text: str, other: str) -> bool:
    if text == other:
        return True
    if variable.type == "list":
        return kinds.items(text, variable.separator) == kinds.items(other, variable.separator)
    kind = kinds.KINDS[variable.type]
    try:
        return (kind.bounded or variable.type == "bool") and kind.measure(text) == kind.measure(other)
    except ValueError:
        return False


def _commented(text: str) -> dict[str, tuple[int, str]]:
    """Statements that are commented out: line and text of the value."""
    matches = ((line, _COMMENTED.match(content)) for line, content in enumerate(text.split("\n"), 1))
    return {match[1]: (line, match[2].strip().strip("'\"")) for line, match in matches if match}


def _finding(rule: str, source: Source, line: int, name: str = "", message: str = "") -> Finding:
    return found_by(rule, name, source.label, line, message)


def _is_filled_in(text: str, schema: Schema) -> bool:
    """Whether something has a value for which an example has none."""
    document = parser.parse(text)
    held = {name for name, value in document.values.items() if not values.is_blank(value)} | set(document.broken)
    return any(name in held and (each.required or each.secret) for name, each in schema.variables.items())


def _write(path: str, text: str) -> None:
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else 0o644
        _atomic.write_file(path, text, mode)
    except OSError as exc:
        raise ProductionError.from_os(exc, "Make the folder of the example, and let the user write to it.") from None


def _masked(before: str, after: str, schema: Schema) -> str:
    """What was in the file as far as it is in the new one too, or a name of the schema; nothing else is shown."""
    kept = set(after.split("\n"))
    lines = []
    for line in before.split("\n"):
        statement = _STATEMENT.match(line)
        if line in kept:
            lines.append(line)
        elif statement and statement["name"] in schema.variables:
            lines.append(f"{statement['before']}{statement['name']}=(not shown)")
        else:
            lines.append("(a line that is not shown)")
    return "\n".join(lines)


def _block(variable: Variable, relations: list[str]) -> str:
    told = "\n".join([variable.description, _facts(variable), *relations])
    comment = "".join(f"# {line.strip()}\n" for line in told.splitlines() if line.strip())
    if variable.default is not None and not variable.secret:
        return f"{comment}{variable.name}={quote(variable.default)}\n"
    return f"{comment}{'' if variable.required else '# '}{variable.name}=\n"


def _facts(variable: Variable) -> str:
    """In a line what the value has to be."""
    facts = ["required" if variable.required else "optional"]
    facts += ["secret"] if variable.secret else []
    facts += ["may be empty"] if variable.required and variable.allow_empty else []
    form = [kinds.KINDS[variable.type].title]
    if variable.type == "list":
        form.append(f"separated by {variable.separator!r}, of {kinds.KINDS[variable.elements].title}")
    if variable.schemes:
        form.append(f"with scheme {' or '.join(variable.schemes)}")
    if variable.choices and not variable.secret:
        form.append(f"one of {', '.join(variable.choices)}")
    if variable.min is not None or variable.max is not None:
        form.append(kinds.bounds(variable.type, variable.min, variable.max))
    if variable.min_length is not None:
        form.append(f"{variable.min_length} characters or more")
    if variable.max_length is not None:
        form.append(f"{variable.max_length} characters at most")
    if variable.pattern:
        form.append(f"matches {variable.pattern.pattern}")
    elif variable.secret and variable.min_length is not None:
        form.append("openssl rand -hex 32")
    return f"{', '.join(facts)}: {', '.join(form)}"


def _relations(schema: Schema) -> dict[str, list[str]]:
    """For each variable the lines that say what it has to do with others."""
    told: dict[str, list[str]] = {}

    def tell(group: t.Sequence[str], words: str) -> None:
        for name in group:
            told.setdefault(name, []).append(words.format(", ".join(other for other in group if other != name)))

    for group in schema.required_together:
        tell(group, "all or none: with {0}")
    for group in schema.required_one_of:
        tell(group, "required without {0}")
    for group in schema.mutually_exclusive:
        tell(group, "not together with {0}")
    for condition in schema.required_if:
        words = f"when {condition.key} is {condition.value}".replace("{", "{{").replace("}", "}}")
        for name in condition.names:
            tell([name], ("one of several required " if condition.one_of else "required ") + words)
    for key, dependents in schema.required_by:
        for name in dependents:
            tell([name], f"required when {key} is set")
    return told
