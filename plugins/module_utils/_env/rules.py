# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every finding there is: its rule, and how `docs/env-rules.md` presents it. Private to the collection."""

from __future__ import annotations

import dataclasses
import typing as t

ERROR = "error"
WARNING = "warning"


@dataclasses.dataclass(frozen=True)
class Rule:
    """`id` and `name` are stable: waivers and readers of reports rely on them. `message` is a finding's default."""

    id: str
    name: str
    severity: str
    message: str
    remedy: str
    example: str


@dataclasses.dataclass(frozen=True)
class Finding:
    """One violation. `line` is 0 where there is none. No field ever holds a value or a part of one."""

    rule: Rule
    variable: str
    file: str
    line: int
    message: str
    remedy: str

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "file": self.file,
            "line": self.line,
            "variable": self.variable,
            "rule": self.rule.id,
            "name": self.rule.name,
            "severity": self.rule.severity,
            "message": self.message,
            "remedy": self.remedy,
        }


GROUPS: dict[str, tuple[Rule, ...]] = {
    "What a variable must be": (
        Rule(
            "ENV001",
            "required",
            ERROR,
            "not set",
            "Set it.",
            "schema: REDIS_HOST: {required: true}\nfile:   (no REDIS_HOST)",
        ),
        Rule(
            "ENV002",
            "empty",
            ERROR,
            "set, but empty or blank",
            "Give it a value, or say allow_empty in the schema.",
            "schema: REDIS_HOST: {required: true}\nfile:   REDIS_HOST=",
        ),
        Rule(
            "ENV003",
            "type",
            ERROR,
            "not of its type",
            "Write a value of the type that the schema asks for.",
            "schema: REDIS_PORT: {type: int}\nfile:   REDIS_PORT=default",
        ),
        Rule(
            "ENV004",
            "url",
            ERROR,
            "not a complete URL",
            "Write scheme://user:password@host:port/path, with @ : / ? # % in user and password percent-encoded.",
            "schema: DATABASE_URL: {type: url}\nfile:   DATABASE_URL=postgresql://postgres",
        ),
        Rule(
            "ENV005",
            "schemes",
            ERROR,
            "the URL has another scheme than allowed",
            "Use one of the schemes of the schema.",
            "schema: DATABASE_URL: {type: url, schemes: [postgresql]}\nfile:   DATABASE_URL=mysql://db/shop",
        ),
        Rule(
            "ENV006",
            "pattern",
            ERROR,
            "does not match its pattern",
            "Write it in the form that the schema's pattern asks for.",
            "schema: OPENAI_API_KEY: {pattern: '^sk-'}\nfile:   OPENAI_API_KEY=pk-1",
        ),
        Rule(
            "ENV007",
            "min_length",
            ERROR,
            "too short",
            "Generate a longer one: openssl rand -hex 32",
            "schema: SECRET_KEY: {min_length: 32}\nfile:   SECRET_KEY=tooshort",
        ),
        Rule(
            "ENV008",
            "max_length",
            ERROR,
            "too long",
            "Shorten it.",
            "schema: POSTGRES_DB: {max_length: 63}\nfile:   POSTGRES_DB=(64 characters)",
        ),
        Rule(
            "ENV009",
            "choices",
            ERROR,
            "not one of the allowed values",
            "Use one of them.",
            "schema: ENVIRONMENT: {choices: [staging, production]}\nfile:   ENVIRONMENT=prod",
        ),
        Rule(
            "ENV010",
            "range",
            ERROR,
            "out of range",
            "Write a number within the bounds.",
            "schema: TAX_RATE: {type: float, min: 0.0, max: 1.0}\nfile:   TAX_RATE=8",
        ),
        Rule(
            "ENV011",
            "placeholder",
            ERROR,
            "still holds a placeholder",
            "Put the real value there; a secret comes from: openssl rand -hex 32",
            "file:   SECRET_KEY=CHANGE_THIS_SECRET_KEY_789",
        ),
    ),
    "What variables must be together": (
        Rule(
            "ENV101",
            "required_together",
            ERROR,
            "not set, though others of its group are",
            "Set all of the group, or none.",
            "schema: required_together: [[XERO_CLIENT_ID, XERO_CLIENT_SECRET]]\nfile:   XERO_CLIENT_ID=5f0c",
        ),
        Rule(
            "ENV102",
            "required_one_of",
            ERROR,
            "none of the group is set",
            "Set at least one of them.",
            "schema: required_one_of: [[SENTRY_DSN, OTLP_ENDPOINT]]\nfile:   (neither)",
        ),
        Rule(
            "ENV103",
            "mutually_exclusive",
            ERROR,
            "set together with one that excludes it",
            "Keep one of them.",
            "schema: mutually_exclusive: [[REDIS_URL, REDIS_HOST]]\nfile:   both",
        ),
        Rule(
            "ENV104",
            "required_if",
            ERROR,
            "not set, though another variable's value requires it",
            "Set it, or change the other variable.",
            "schema: required_if: [[ENVIRONMENT, production, [SENTRY_DSN]]]\nfile:   ENVIRONMENT=production",
        ),
        Rule(
            "ENV105",
            "consistent",
            ERROR,
            "differs from the URL it is a part of",
            "Make both the same; in the URL percent-encoded.",
            "schema: consistent: [{url: DATABASE_URL, user: POSTGRES_USER}]\n"
            "file:   DATABASE_URL=postgresql://app@db/shop\n        POSTGRES_USER=admin",
        ),
        Rule(
            "ENV106",
            "shared_secret",
            ERROR,
            "has the same value as another secret",
            "Generate a secret of its own: openssl rand -hex 32",
            "file:   SECRET_KEY and JWT_SECRET_KEY with one value",
        ),
    ),
    "What Compose reads is not what was written": (
        Rule(
            "ENV201",
            "syntax",
            ERROR,
            "Docker Compose refuses the file here",
            "Correct the line; a value with special characters goes between single quotes.",
            "file:   MY KEY=1",
        ),
        Rule("ENV202", "encoding", ERROR, "not UTF-8 text", "Save the file as UTF-8.", "file:   a byte 0xff"),
        Rule(
            "ENV203",
            "interpolation",
            ERROR,
            "Docker Compose refuses the references in the value",
            "Write $$ for a dollar sign, or put the value between single quotes.",
            "file:   PASSWORD=a${b",
        ),
        Rule(
            "ENV204",
            "nul",
            ERROR,
            "holds a NUL character, which no process environment can carry",
            "Remove it.",
            'file:   KEY="a\\0000b"',
        ),
        Rule(
            "ENV205",
            "unset_reference",
            WARNING,
            "a $ in the value is read as a reference to a variable that is not set, and becomes nothing",
            "Put the value between single quotes, or write $$ for a dollar sign.",
            "file:   PASSWORD=pa$word",
        ),
        Rule(
            "ENV206",
            "hash_cut",
            WARNING,
            "the value ends before a # that follows a space",
            "Put the value between single quotes if the # is part of it.",
            "file:   PASSWORD=correct #horse",
        ),
        Rule(
            "ENV207",
            "hash_kept",
            WARNING,
            "a # is part of the value: only one after a space begins a comment",
            "Put a comment on a line of its own, or the value between single quotes.",
            "file:   REDIS_PASSWORD= # none",
        ),
        Rule(
            "ENV208",
            "text_after_quote",
            WARNING,
            "text right after the closing quote begins a new statement",
            "Put the whole value between one pair of quotes.",
            'file:   GREETING="hello"world=1',
        ),
        Rule(
            "ENV209",
            "duplicate",
            WARNING,
            "is set more than once; the last line wins",
            "Keep one of the lines.",
            "file:   REDIS_DB=0\n        REDIS_DB=1",
        ),
        Rule(
            "ENV210",
            "bare_key",
            WARNING,
            "has no value: Compose takes that of its own process environment, and leaves it out if there is none",
            "Write NAME=value, or remove the line.",
            "file:   REDIS_HOST",
        ),
        Rule(
            "ENV211",
            "shell_override",
            WARNING,
            "the process environment has another value, and it wins",
            "Unset it in the shell, or correct the file.",
            "shell:  export REDIS_HOST=localhost\nfile:   REDIS_HOST=redis",
        ),
    ),
    "What is probably a mistake": (
        Rule(
            "ENV301",
            "unknown_variable",
            WARNING,
            "is not in the schema",
            "Remove it, or add it to the schema.",
            "file:   LEFT_OVER=1",
        ),
        Rule(
            "ENV302",
            "near_miss",
            WARNING,
            "is not in the schema, which has a similar name that is not set",
            "Correct the name.",
            "schema: REDIS_HOST: {}\nfile:   REDIS_HOTS=redis",
        ),
        Rule(
            "ENV303",
            "localhost",
            WARNING,
            "points at this container itself",
            "Use the service's name in the Compose file.",
            "schema: DATABASE_URL: {type: url, in_container: true}\nfile:   DATABASE_URL=postgresql://localhost/shop",
        ),
        Rule(
            "ENV304",
            "unescaped",
            WARNING,
            "user or password in the URL hold a character that libraries read differently",
            "Percent-encode @ : / ? # % in user and password.",
            "file:   DATABASE_URL=postgresql://app:p@ss@db/shop",
        ),
    ),
    "The file itself": (
        Rule(
            "ENV401",
            "file_missing",
            ERROR,
            "the file does not exist",
            "Create it, or correct the path.",
            "files:  [/opt/shop/.env]",
        ),
        Rule(
            "ENV402",
            "file_kind",
            ERROR,
            "not a regular file",
            "Name a file, not a directory, pipe or device.",
            "files:  [/opt/shop]",
        ),
        Rule(
            "ENV403",
            "file_unreadable",
            ERROR,
            "the file cannot be read",
            "Give the user that runs the module permission to read it.",
            "file:   of another user, mode 0600",
        ),
        Rule(
            "ENV404",
            "file_too_large",
            ERROR,
            "the file is too large for an environment",
            "Name an env file; a process environment holds about two megabytes.",
            "files:  [/var/lib/dump.sql]",
        ),
        Rule(
            "ENV405",
            "file_mode",
            WARNING,
            "others than the owner have access to the file",
            "chmod 0600",
            "file:   mode 0644",
        ),
    ),
}

RULES: dict[str, Rule] = {rule.name: rule for group in GROUPS.values() for rule in group}


def markdown() -> str:
    """The text of `docs/env-rules.md`."""
    lines = [
        "# Rules of `tria.production.env_validate`",
        "",
        "Generated from the rule definitions (`plugins/module_utils/_env/rules.py`); a test keeps it current.",
        "A finding names its rule by ID and by name. Either serves in `waive: [{name: VARIABLE, rule: ENV011}]`.",
    ]
    for title, group in GROUPS.items():
        lines += ["", f"## {title}"]
        for rule in group:
            lines += ["", f"### {rule.id} `{rule.name}` ({rule.severity})", "", f"The finding: {rule.message}.", ""]
            lines += ["```text", rule.example, "```", "", f"Remedy: {rule.remedy}"]
    return "\n".join(lines) + "\n"
