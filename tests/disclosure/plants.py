# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For every rule of `env_validate` a fault that is made of canaries; a rule without one fails the tests."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import typing as t

from disclosure.traces import NUMBER, OTHER, TEXT

FOLDER = "FOLDER"


@dataclasses.dataclass(frozen=True)
class Plant:
    """A fault that the rule named `rule` finds.

    `options` are those of the module; FOLDER in them stands for the folder that `files` (path: text) lie in, with mode
    0600. `prepare` does to the folder what they cannot. `environ` is the process environment.
    """

    rule: str
    options: dict[str, t.Any]
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    environ: dict[str, str] = dataclasses.field(default_factory=dict)
    prepare: t.Callable[[pathlib.Path], None] | None = None

    def lay_out(self, folder: pathlib.Path) -> dict[str, t.Any]:
        """Put everything into `folder`, and give the options for it."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        if self.prepare:
            self.prepare(folder)
        options = t.cast("dict[str, t.Any]", _with_folder(self.options, str(folder)))
        return {"schema": {}, **options} if not {"schema", "schema_file"} & set(options) else options

    def as_file(self) -> Plant:
        """The same with the text in a file, for what is given as text."""
        if "content" not in self.options:
            return self
        options = {name: value for name, value in self.options.items() if name != "content"}
        text = self.options["content"]
        return dataclasses.replace(
            self, options={**options, "files": [f"{FOLDER}/.env"]}, files={**self.files, ".env": text}
        )


def of_compose(rule: str, service: dict[str, t.Any], **files: str) -> Plant:
    """A fault in a Compose project of one service, beside `.env` and others (`app_env` is `app.env`)."""
    texts = {name.replace("_", "."): text for name, text in files.items()}
    project = json.dumps({"services": {"web": {"image": "shop", **service}}})
    return Plant(
        rule, {"compose": {"files": [f"{FOLDER}/compose.yaml"]}}, {".env": "", "compose.yaml": project, **texts}
    )


def of_example(rule: str, example: str, **variable: t.Any) -> Plant:
    """A fault of an example file, where the schema has the variable A."""
    return Plant(
        rule,
        {"example": {"path": f"{FOLDER}/.env.example"}, "schema": {"variables": {"A": variable}}},
        {".env.example": example},
    )


def of_place(rule: str, prepare: t.Callable[[pathlib.Path], None] | None = None, **options: t.Any) -> Plant:
    """A fault of where the file is, and of whose it is."""
    return Plant(rule, {"files": [f"{FOLDER}/.env"], **options}, {".env": f"A={TEXT}\n"}, prepare=prepare)


def _with_folder(value: t.Any, folder: str) -> t.Any:
    if isinstance(value, str):
        return value.replace(FOLDER, folder)
    if isinstance(value, dict):
        return {key: _with_folder(item, folder) for key, item in value.items()}
    return [_with_folder(item, folder) for item in value] if isinstance(value, list) else value


def of_text(rule: str, content: str, schema: dict[str, t.Any] | None = None, **options: t.Any) -> Plant:
    """A fault in the text of an env file."""
    return Plant(rule, {"content": content, "schema": schema or {}, **options})


def of_a(rule: str, content: str, **variable: t.Any) -> Plant:
    """A fault of the variable A."""
    return of_text(rule, content, {"variables": {"A": variable}})


def of_path(rule: str, path: str, prepare: t.Callable[[pathlib.Path], None] | None = None) -> Plant:
    """A file that is none, behind a good one."""
    files = [f"{FOLDER}/good.env", f"{FOLDER}{path}"]
    return Plant(rule, {"files": files}, {"good.env": f"A={TEXT}\n"}, prepare=prepare)


def _not_utf8(folder: pathlib.Path) -> None:
    (folder / ".env").touch(mode=0o600)
    (folder / ".env").write_bytes(f"A={TEXT}\nB={OTHER}".encode() + b"\xff\n")


def _huge(folder: pathlib.Path) -> None:
    (folder / ".env").touch(mode=0o600)
    (folder / ".env").write_text(f"A={TEXT}\n", encoding="utf-8")
    os.truncate(folder / ".env", 2**30)


def _open_to_all(folder: pathlib.Path) -> None:
    (folder / ".env").write_text(f"A={TEXT}\n", encoding="utf-8")
    (folder / ".env").chmod(0o644)


def _in_git(folder: pathlib.Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)


def _tracked(folder: pathlib.Path) -> None:
    _in_git(folder)
    subprocess.run(["git", "add", ".env"], cwd=folder, check=True)


_URL = {"type": "url", "schemes": ["postgresql"], "secret": True}
_TWO_SECRETS = {"variables": {"A": {"secret": True}, "B": {"secret": True}}}

PLANTS = [
    # what a variable must be
    of_a("required", f"B={TEXT}\n", required=True),
    of_a("empty", f"A=\nB={TEXT}\n", required=True),
    of_a("type", f"A={TEXT}\n", type="int"),
    of_a("type", f"A={TEXT}\n", type="bool"),
    of_a("url", f"A={TEXT}\n", **_URL),
    of_a("url", f"A=postgresql://{OTHER}:{TEXT}/x@host/db\n", **_URL),
    of_a("url", f"A=postgresql://u:{OTHER}@host:{NUMBER}/db\n", **_URL),
    of_a("schemes", f"A={TEXT}://{OTHER}/db\n", **_URL),
    of_a("pattern", f"A={TEXT}\n", pattern="^sk-"),
    of_a("min_length", f"A={TEXT}\n", min_length=99, secret=True),
    of_a("max_length", f"A={TEXT}\n", max_length=3),
    of_a("choices", f"A={TEXT}\n", choices=["staging", "production"]),
    of_a("range", f"A={NUMBER}\n", type="int", max=10),
    of_a("range", f"A=-{NUMBER}.5\n", type="float", min=0),
    of_a("placeholder", f"A=CHANGE_THIS_{TEXT}\n"),
    of_a("placeholder", f"A=postgresql://{OTHER}:your-{TEXT}@db/x\n", **_URL),
    of_text("deprecated", f"A={TEXT}\n", {"variables": {"A": {"deprecated": True, "replacement": "B"}, "B": {}}}),
    *(of_a("type", f"A={TEXT},{OTHER}\n", type=kind) for kind in ("email", "host", "port", "duration", "size", "json")),
    of_a("type", f"A=1,{TEXT}\n", type="list", elements="int"),
    Plant("type", {"environment": {"A": TEXT}, "schema": {"variables": {"A": {"type": "int"}}}}),
    # what variables must be together
    of_text("required_together", f"A={TEXT}\n", {"required_together": [["A", "B"]]}),
    of_text("required_one_of", f"C={TEXT}\n", {"required_one_of": [["A", "B"]]}),
    of_text("mutually_exclusive", f"A={TEXT}\nB={OTHER}\n", {"mutually_exclusive": [["A", "B"]]}),
    of_text("required_if", f"A={TEXT}\n", {"required_if": [["A", TEXT, ["B"]]]}),
    of_text(
        "consistent",
        f"A=postgresql://u:{TEXT}@db/{OTHER}\nB={OTHER}\nC={TEXT}\n",
        {"consistent": [{"url": "A", "password": "B", "path": "C"}]},
    ),
    of_text("required_by", f"A={TEXT}\n", {"required_by": {"A": ["B"]}}),
    of_text("shared_secret", f"A={TEXT}\nB={TEXT}\n", _TWO_SECRETS),
    # what Compose reads is not what was written
    of_text("syntax", f"A={TEXT}\n{OTHER} x={TEXT}\n"),
    of_text("syntax", f"{TEXT}!={OTHER}\n"),
    of_text("syntax", f"A='{TEXT}\n"),
    of_text("syntax", f"A={TEXT}\n{OTHER}"),
    of_text("syntax", f"={TEXT}\n"),
    Plant("encoding", {"files": [f"{FOLDER}/.env"]}, prepare=_not_utf8),
    of_text("interpolation", f"A={TEXT}${{{OTHER}\n"),
    of_text("interpolation", f"A=${{{TEXT}:?{OTHER}}}\n"),
    of_text("nul", f'A="{TEXT}\\0000"\n'),
    of_text("unset_reference", f"A={TEXT}${OTHER}\n"),
    of_text("hash_cut", f"A={TEXT} #{OTHER}\n"),
    of_text("hash_kept", f"A=#{TEXT}\n"),
    of_text("text_after_quote", f'A="{TEXT}"{OTHER}={NUMBER}\n'),
    of_text("duplicate", f"A={TEXT}\nA={OTHER}\n"),
    of_text("duplicate", f"{TEXT}=1\n{TEXT}=2\n"),
    of_text("bare_key", f"A={TEXT}\n{OTHER}\n"),
    Plant(
        "shell_override",
        {"files": [f"{FOLDER}/.env"], "process_environment": True},
        {".env": f"A={TEXT}\n"},
        {"A": OTHER},
    ),
    of_text("odd_name", f"{TEXT}.{OTHER}={NUMBER}\n"),
    of_a("invisible", f"A={TEXT}\u200b{OTHER}\n", secret=True),
    of_a("too_long", f"A={TEXT * 10000}\n", secret=True),
    # what the Compose files make of it
    of_compose("compose_syntax", {"environment": {"A": [TEXT, OTHER]}}),
    of_compose("compose_reference", {"environment": {"A": f"{TEXT}${{B:?{OTHER}}}"}}),
    of_compose("compose_unset", {"image": "shop:${IMAGE_TAG}", "environment": {"A": TEXT}}),
    of_compose("compose_dollar", {"environment": {"A": f"{TEXT}${OTHER}"}}),
    of_compose("unused_key", {"environment": {"B": TEXT}}, **{".env": f"A={TEXT}\n{OTHER}={NUMBER}\n"}),
    of_compose("env_file_missing", {"env_file": "app.env", "environment": {"A": TEXT}}),
    of_compose("inline_override", {"env_file": "app.env", "environment": {"A": OTHER}}, app_env=f"A={TEXT}\n"),
    # what is probably a mistake
    of_a("unknown_variable", f"A={TEXT}\n{OTHER}={NUMBER}\n"),
    of_a("unknown_variable", f"A=-----BEGIN\n{TEXT}==\n{OTHER.upper()}=\n"),
    of_text("near_miss", f"REDIS_HOTS={TEXT}\n", {"variables": {"REDIS_HOST": {}}}),
    of_a("localhost", f"A=redis://:{TEXT}@localhost/0\n", type="url", in_container=True),
    of_a("unescaped", f"A=redis://{OTHER}:{TEXT}@{OTHER}@redis/0\n", type="url"),
    # secrets that others guess or know
    of_a("short_secret", f"A={NUMBER}\n", secret=True),
    of_a("repeated_secret", f"A={TEXT}{TEXT}\n", secret=True),
    of_a("sequential_secret", f"A=abcdefghijklmnop\nB={TEXT}\n", secret=True),
    of_a("known_default", f"A=minioadmin\nB={TEXT}\n", secret=True),
    Plant(
        "example_value",
        {"files": [f"{FOLDER}/.env"], "schema": {"variables": {"A": {"secret": True}}}},
        {".env": f"A={TEXT}{OTHER}\n", ".env.example": f"A={TEXT}{OTHER}\n"},
    ),
    of_text("vendor_key", f"GITHUB_TOKEN=ghp_{TEXT}\n", {"variables": {"GITHUB_TOKEN": {"secret": True}}}),
    of_text(
        "test_key",
        f"ENVIRONMENT=production\nSTRIPE_SECRET_KEY=sk_test_{TEXT}{OTHER}\n",
        {"variables": {"STRIPE_SECRET_KEY": {"secret": True}}},
    ),
    # the example file
    Plant("example_file", {"example": {"path": f"{FOLDER}/none"}, "content": f"A={TEXT}\n"}),
    of_example("example_missing", f"B={TEXT}\n"),
    of_example("example_unknown", f"A=\n{OTHER}={TEXT}\n"),
    of_example("example_default", f"A={TEXT}\n", default="other"),
    of_example("example_secret", f"A={TEXT}{OTHER}\n", secret=True),
    # the file itself
    of_path("file_missing", "/missing.env"),
    of_path("file_kind", ""),
    of_path("file_unreadable", "/" + "x" * 300),
    of_path("file_too_large", "/.env", _huge),
    of_path("file_mode", "/.env", _open_to_all),
    of_place("file_owner", owner="65534"),
    of_place("folder_writable", lambda folder: folder.chmod(0o777)),
    of_place("git_tracked", _tracked),
    of_place("git_unignored", _in_git),
    of_path("file_link", "/.env", lambda folder: os.symlink(TEXT, folder / ".env")),
]
