# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Compose reads is not what was written. Private to the collection."""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils._env.rules._rule import ERROR, WARNING, Rule

TITLE = "What Compose reads is not what was written"
RULES = (
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
    Rule(
        "ENV212",
        "odd_name",
        WARNING,
        "the name is not made of letters, digits and _ alone: Compose takes it, shells and many programs cannot",
        "Rename it: A to Z, digits and _, no digit first.",
        "file:   redis.host=redis",
    ),
    Rule(
        "ENV213",
        "invisible",
        WARNING,
        "holds a character that cannot be seen, such as a carriage return or a zero-width space",
        "Type the value anew; save the file with Unix line ends; between double quotes write \\\\ for a backslash.",
        'file:   DATA_PATH="C:\\app\\backend"     (\\a and \\b are control characters)',
    ),
    Rule(
        "ENV214",
        "too_long",
        ERROR,
        "longer than 128 KiB, which Linux refuses to hand to a process",
        "Put it into a file, mount that, and set its path.",
        "file:   CERTIFICATES=(140,000 characters)",
    ),
)
