# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is validated, from the options of the module `env_validate`. Private to the collection."""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import custody, known_values, schema_file
from ansible_collections.tria.production.plugins.module_utils._env.effective import Options
from ansible_collections.tria.production.plugins.module_utils._env.rules import RULES
from ansible_collections.tria.production.plugins.module_utils._env.schema import Schema, load
from ansible_collections.tria.production.plugins.module_utils._env.sources import Source, from_content
from ansible_collections.tria.production.plugins.module_utils._env.writer import scalar
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


@dataclasses.dataclass
class Given:
    """Env files in order, and the index of the one that stands for a path; values that win over them, None for a bare
    key; a Compose project, which they are then the project's env files of; what example files hold."""

    sources: list[Source] = dataclasses.field(default_factory=list)
    paths: dict[str, int] = dataclasses.field(default_factory=dict)
    inline: dict[str, str | None] = dataclasses.field(default_factory=dict)
    compose: Options | None = None
    known: known_values.KnownValues = dataclasses.field(default_factory=known_values.KnownValues)


def given(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Given:
    """Reads what the options name; raises `ProductionError` for a wrong one. `environ` tells who runs this."""
    found = Given(inline=_inline(params.get("environment")))
    files, content = params.get("files") or [], params.get("content")
    beside = ""  # the env file that Compose takes by itself
    owners = custody.owners(params.get("owner"), environ) if files or params.get("compose") else set()
    if params.get("compose"):
        found.compose = _compose(params["compose"], owners)
        beside = os.path.join(found.compose.directory, ".env")
        named = params["compose"].get("env_files")
        if named and content is not None:
            raise ProductionError("compose.env_files", "takes the place of content.", "Give one of them.")
        files = named or ([beside] if content is None and os.path.lexists(beside) else [])
    if content is not None:
        found.sources, found.paths = [from_content(content)], {beside: 0}
    else:
        found.sources = [custody.read(path, owners) for path in files]
        found.paths = {os.path.abspath(path): index for index, path in enumerate(files)}
    found.known = known_values.load(params.get("example_files") or (), files)
    return found


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


def schema(params: t.Mapping[str, t.Any]) -> Schema:
    """The schema that is given, in place or in a file; raises `ProductionError` for a wrong one."""
    if params.get("schema_file"):
        return schema_file.load_file(params["schema_file"])
    return load(params["schema"])


def is_environment(params: t.Mapping[str, t.Any]) -> bool:
    """Whether an environment is given, and not only an example."""
    named = (params.get(name) is not None for name in ("files", "content", "environment", "compose"))
    return any(named) or params["process_environment"]


def _inline(raw: t.Any) -> dict[str, str | None]:
    """The option `environment`, a mapping or JSON of one."""
    try:
        found = json.loads(raw) if isinstance(raw, str) else raw or {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProductionError("environment", "is no mapping.", "Write NAME: value.")
    for name, value in found.items():
        if value is not None and scalar(value) is None:
            raise ProductionError(f"environment.{name}", "is no text, number or boolean.", "Write text.")
    return {str(name): scalar(value) for name, value in found.items()}


def _compose(raw: t.Mapping[str, t.Any], owners: t.Collection[int]) -> Options:
    files = [os.path.abspath(path) for path in raw["files"]]
    if not files:
        raise ProductionError("compose.files", "is empty.", "Name the Compose files, as docker compose -f does.")
    directory = os.path.abspath(raw.get("project_directory") or os.path.dirname(files[0]))
    services = raw.get("services") or []
    return Options(files, directory, raw.get("project_name") or "", raw.get("profiles"), services, owners)
