# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compose projects whose services' environments are worked out as Compose does it: the text of each file by its path."""

from __future__ import annotations

import typing as t

SHELL = {"OUTSIDE": "from the shell", "BOTH": "shell", "EMPTY_OUTSIDE": ""}
ONE = "ONE=1\nBOTH=one\nX=one\nBARE=one\n"
TWO = "TWO=2\nBOTH=two\nX=two\nSEES=$X-$ONE-$OUTSIDE-$DOT\n"
DOT = "DOT=dot\nBOTH=dot\nKEY=of dot\nREF=${DOT}-${OUTSIDE}\n"
ONE_SERVICE = "services:\n  s:\n    image: x\n"


class Project(t.NamedTuple):
    """`compose`, `profiles`, `env_files`, `name`: what is passed to Compose beside the folder."""

    files: dict[str, str]
    compose: tuple[str, ...] = ("compose.yaml",)
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    name: str = ""


def of(body: str, **files: str) -> Project:
    """A project of one service with this `body`, beside `.env`, `one.env` and `two.env`."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    named = {name.replace("__", "/").replace("_", "."): text for name, text in files.items()}
    return Project({"compose.yaml": ONE_SERVICE + lines, ".env": DOT, "one.env": ONE, "two.env": TWO, **named})


def whole(text: str, *compose: str, **options: t.Any) -> Project:
    """A project of these Compose files (`compose.yaml`, then `1.yaml` and so on) beside the same env files."""
    files = {"compose.yaml": text, **{f"{number}.yaml": more for number, more in enumerate(compose, 1)}}
    extra = options.pop("files", {})
    return Project({**files, ".env": DOT, "one.env": ONE, "two.env": TWO, **extra}, tuple(files), **options)


SCALARS = """
environment:
  F1: 100000.5
  F2: 1000000.5
  F3: 1.50
  F4: 1e3
  F5: 0.00001
  F6: -0.0
  F7: 1.
  F8: 12_3.5
  F9: 1e400
  F10: .5
  F11: +.5
  F12: 123456789012345678901234567890
  F13: 0.1
  F14: 299999999.99999999
  F15: 5e-324
  F16: 1.7976931348623157e308
  I1: 010
  I2: 0x1F
  I3: 0o17
  I4: 1_000
  I5: 0b11
  I6: 089
  I7: 0o9
  I8: -0
  I9: +5
  I10: 9223372036854775808
  I11: -9223372036854775809
  I12: -0x10
  I13: 00
  B1: yes
  B2: True
  B3: "true"
  B4: on
  B5: n
  B6: FALSE
  B7: tRUE
  T1: 2020-01-02
  T2: 2020-1-2
  T3: 2020-13-01
  T4: 2001-12-14t21:59:43.10-05:00
  T5: 2001-12-14 21:59:43
  T6: 2001-12-14T21:59:43Z
  T7: 12:30:45
  T8: 2001-12-14T21:59:43+00:00
  N1: ~
  N2:
  N3: null
  N4: Null
  N5: "null"
  S1: ""
  S2: ' a '
  S3: 'it''s'
  S4: "\\t\\u00e9\\x41\\e"
  S5: 1.2.3
  S6: a#b
  S7: a #b
  S8: !!str 1.50
  S9: !!str yes
  S11: 'a: b'
  S12: '@x'
  S13: 0x
  S14: 1e
  S15: '='
"""

ACCEPTED: dict[str, Project] = {
    "nothing": of(""),
    "scalars": of(SCALARS),
    "block scalars": of(
        "environment:\n  A: |\n    two\n    lines\n  B: >-\n    two\n    lines\n  C: |+\n    x\n\n  D: a\n   b"
    ),
    "list": of(
        "environment:\n  - A=1\n  - B\n  - OUTSIDE\n  - C=\n  - D=a=b\n  - ' E = 1 '\n  - F=$DOT\n  - A=2\n  - KEY\n  - G=1.50"
    ),
    "bare keys": of("environment:\n  OUTSIDE:\n  BOTH:\n  KEY:\n  NOWHERE:\n  EMPTY_OUTSIDE:\n  REF:"),
    "references": of(
        "environment:\n  A: $OUTSIDE-${DOT}-$$x-$NOPE-${NOPE:-d}-${NOPE-e}-${DOT:+p}\n"
        "  B: ${NOPE:-${NADA:-${DOT}}}\n  C: ${BOTH}\n  D: pa$word\n  E: '$$$DOT'\n  F: ${EMPTY_OUTSIDE:-d}${EMPTY_OUTSIDE-d}\n"
        "  G: '{$DOT}'\n  H: \"${REF}\"\n  I: $1 $ x$\n  J: ${DOT:?needed}\n  $DOT: key"
    ),
    "a reference is no YAML": Project(
        {"compose.yaml": ONE_SERVICE + "    environment: {A: $SEVEN, B: '${NONE}'}\n", ".env": "SEVEN=007\nNONE=~\n"}
    ),
    "one env file": of("env_file: one.env"),
    "env files in order": of("env_file: [one.env, two.env]"),
    "env files in the other order": of("env_file:\n  - two.env\n  - ./one.env"),
    "the same env file twice": of("env_file: [one.env, two.env, one.env]"),
    "long form": of(
        "env_file:\n  - path: one.env\n  - path: gone.env\n    required: false\n  - path: ./two.env\n    required: true"
    ),
    "env file by a reference": of("env_file: ${FILE:-one}.env"),
    "env file with everything": of(
        "env_file: all.env",
        all_env='A=\'$DOT\'\nB="a\\nb$DOT"\nC=x # y\nexport D=1\nE: 2\nOUTSIDE\nNOWHERE\nDOT\nF="x"G=1\nA=${A}2\nH=$A$BOTH\n',
    ),
    "an earlier line is behind the project": of("env_file: own.env", own_env="DOT=own\nA=$DOT\nNEW=own\nB=$NEW\n"),
    "an earlier file is before the project": of(
        "env_file: [own.env, two.env]", own_env="DOT=own\nOUTSIDE=own\nBARE=1\n"
    ),
    "bare keys of a file see earlier files": of("env_file: [one.env, bare.env]", bare_env="X\nDOT\nNOWHERE\nBARE=2\n"),
    "inline wins": of("env_file: [one.env, two.env]\nenvironment:\n  X: inline\n  BOTH: ''\n  NEW: $X"),
    "a bare key takes away": of("env_file: one.env\nenvironment: [X, BARE, BOTH, KEY]"),
    "env file is the project's": of("env_file: .env\nenvironment: {DOT: other}"),
    "several env files of the project": Project(
        {
            "compose.yaml": ONE_SERVICE + "    environment: {A: $A, B: $B, C: $C, DOT: , BOTH: }\n",
            ".env": DOT,
            "a.env": "A=a\nB=a\n",
            "sub/b.env": "B=b\nC=$A-$B\n",
        },
        env_files=("a.env", "sub/b.env"),
    ),
    "no env file at all": Project({"compose.yaml": ONE_SERVICE + "    environment: {A: '$DOT', BOTH: }\n"}),
    "anchors": whole(
        "x-a: &a {A: 1, B: $DOT}\nx-b: &b {B: 2, C: 3}\nservices:\n  s:\n    image: x\n    environment: {<<: *a, D: 4}\n"
        "  t:\n    image: x\n    environment: {<<: [*a, *b], A: own}\n  u: &u\n    image: x\n    environment: *b\n"
        "  v: {<<: *u, env_file: one.env}\n  w:\n    <<: *u\n    environment:\n      <<: [*b, *a]\n      B: ~\n"
    ),
    "services of their own": whole(
        "services:\n  s: {image: x, env_file: one.env, environment: {A: s}}\n  t: {image: x, env_file: [one.env, two.env]}\n"
        "  u: {image: x, environment: [A=u]}\n  v: {image: x}\n"
    ),
    "two files": whole(
        ONE_SERVICE + "    env_file: one.env\n    environment: {A: 1, B: 1, C: 1, N: , OUTSIDE: x}\n",
        "services:\n  s:\n    env_file: [two.env]\n    environment: [B=2, C, OUTSIDE]\n  t: {image: x, environment: {T: $DOT}}\n",
    ),
    "three files": whole(
        ONE_SERVICE + "    environment: [A=1, B=1]\n",
        "services: {s: {environment: {B: 2, D: 2}}}\n",
        "services: {s: {environment: {D: 3}, env_file: [two.env, one.env]}}\n",
    ),
    "reset and override": whole(
        "services:\n  s: {image: x, env_file: one.env, environment: {A: 1, B: 1}}\n"
        "  t: {image: x, env_file: one.env, environment: {A: 1, B: 1}}\n  u: {image: x, environment: {A: 1, B: 1}}\n",
        "services:\n  s:\n    environment: !reset null\n    env_file: !override [two.env]\n"
        "  t:\n    environment: !override {C: 2}\n    env_file: !reset []\n  u: {environment: {A: !reset null}}\n",
    ),
    "profiles": whole(
        "services:\n  s: {image: x, environment: {A: 1}}\n  p: {image: x, profiles: [p], environment: {A: p}}\n"
        "  q: {image: x, profiles: [q, r], environment: {A: q}}\n",
        profiles=("p",),
    ),
    "profiles of the environment": whole(
        "services:\n  p: {image: x, profiles: [p], environment: {A: p}}\n  q: {image: x, profiles: [q], environment: {A: q}}\n"
        "  s: {image: x}\n",
        files={".env": "COMPOSE_PROFILES=q,z\n"},
    ),
    "all profiles": whole("services:\n  p: {image: x, profiles: [p], environment: {A: p}}\n", profiles=("*",)),
    "extends": whole(
        "services:\n  base: {image: x, env_file: one.env, environment: {A: base, B: base, N: }}\n"
        "  s: {extends: {service: base}, env_file: [two.env, one.env], environment: [A=s]}\n"
        "  t: {extends: s, environment: {B: t}}\n  u: {extends: base}\n"
    ),
    "extends another file": whole(
        "services:\n  s:\n    extends: {file: sub/other.yaml, service: o}\n    environment: {A: own}\n",
        files={
            "sub/other.yaml": "services:\n  o: {extends: p, env_file: o.env, environment: {O: $DOT, A: sub}}\n"
            "  p: {image: x, env_file: ./deep/p.env, environment: [P=1]}\n",
            "sub/o.env": "OO=$DOT\nP=o\n",
            "sub/deep/p.env": "PP=p\nOO=p\n",
        },
    ),
    "extends, then another file": whole(
        "services:\n  base: {image: x, environment: {A: base, B: base}}\n  s: {extends: base, environment: {A: s}}\n",
        "services:\n  base: {environment: {B: over}}\n  s: {environment: {C: over}}\n",
    ),
    "include": whole(
        "include: [inc/compose.yaml]\nservices:\n  s: {image: x, environment: {I: '$INC', DOT: }}\n",
        files={
            "inc/compose.yaml": "services:\n  i:\n    image: x\n    env_file: i.env\n"
            "    environment: {I: '${INC:-none}', INC: , DOT: , D: $DOT, B: $BOTH, OUTSIDE: }\n",
            "inc/.env": "INC=inc\nDOT=inc\nOUTSIDE=inc\n",
            "inc/i.env": "II=$INC\nJJ=$DOT\n",
        },
    ),
    "include, long form": whole(
        "include:\n  - path: [inc/a.yaml, inc/b.yaml]\n    env_file: inc/x.env\n    project_directory: ./base\n"
        "services: {s: {image: x}}\n",
        files={
            "inc/a.yaml": "services: {i: {image: x, env_file: i.env, environment: {A: $INC, B: a}}}\n",
            "inc/b.yaml": "services: {i: {environment: {B: b$INC}}}\n",
            "inc/x.env": "INC=x\n",
            "base/.env": "INC=base\n",
            "base/i.env": "I=base\n",
        },
    ),
    "include in an included": whole(
        "include: [a/compose.yaml]\n",
        files={
            "a/compose.yaml": "include: [b/compose.yaml]\nservices: {a: {image: x, environment: {A: '$V-$W'}}}\n",
            "a/.env": "V=a\n",
            "a/b/compose.yaml": "services: {b: {image: x, environment: {A: '$V-$W'}}}\n",
            "a/b/.env": "V=b\nW=b\n",
        },
    ),
    "the project's name": Project(
        {
            "compose.yaml": "name: shop\nservices: {s: {image: x, environment: {P: $COMPOSE_PROJECT_NAME, COMPOSE_PROJECT_NAME: }}}\n"
        }
    ),
    "the project's name by a reference": Project(
        {
            "compose.yaml": "name: s${TAIL}\nservices: {s: {image: x, environment: {P: $COMPOSE_PROJECT_NAME}}}\n",
            ".env": "TAIL=hop\n",
        }
    ),
    "the project's name, given": Project(
        {"compose.yaml": "name: shop\nservices: {s: {image: x, environment: {P: $COMPOSE_PROJECT_NAME}}}\n"},
        name="given",
    ),
    "the project's name in its env file": Project(
        {
            "compose.yaml": "name: shop\nservices: {s: {image: x, environment: {P: $COMPOSE_PROJECT_NAME}}}\n",
            ".env": "COMPOSE_PROJECT_NAME=dotted\n",
        }
    ),
    "several documents": whole(
        ONE_SERVICE + "    environment: {A: 1, B: 1}\n---\nservices: {s: {environment: {B: 2}}}\n"
    ),
    "JSON": whole('{"services": {"s": {"image": "x", "environment": {"A": "1", "B": null, "C": 1.50, "D": true}}}}'),
    "unset elsewhere": whole(
        "x-a: $NOPE\nservices: {s: {image: 'x$NOPE', command: [echo, $HERE], environment: {A: 1}}}\n"
    ),
    "CRLF": whole(ONE_SERVICE.replace("\n", "\r\n") + "    environment:\r\n      A: 1\r\n      B: $DOT\r\n"),
}
ACCEPTED["a service taken out"] = whole(
    "services:\n  s: {image: x, environment: {A: 1}}\n  t: {image: x, environment: {A: 1}, env_file: one.env}\n  u: {image: x}\n",
    "services:\n  s: !reset null\n  t: !override {image: x, environment: {B: 2}}\n",
)
ACCEPTED["an env file by two names"] = whole(
    "services:\n  s: {image: x, env_file: [acc.env, two.env, ./acc.env, acc.env]}\n"
    "  t: {extends: s, env_file: [./acc.env, acc.env]}\n",
    files={"acc.env": "ACC=${ACC}x${X}\n"},
)
ACCEPTED["an env file of an extended service, too"] = whole(
    "services:\n  s: {extends: {file: sub/o.yaml, service: o}, env_file: [sub/acc.env, two.env]}\n"
    "  t: {extends: {file: ./sub/o.yaml, service: o}, env_file: [two.env, ./sub/acc.env]}\n",
    files={"sub/acc.env": "ACC=${ACC}x${X}\n", "sub/o.yaml": "services: {o: {image: x, env_file: [./acc.env]}}\n"},
)
ACCEPTED["an env file of a service of a file beside"] = whole(
    "services:\n  s: {extends: {file: o.yaml, service: o}, env_file: [acc.env, two.env]}\n"
    "  t: {extends: {file: ./o.yaml, service: o}, env_file: [two.env, ./acc.env]}\n",
    files={"acc.env": "ACC=${ACC}x${X}\n", "o.yaml": "services: {o: {image: x, env_file: [./acc.env]}}\n"},
)
ACCEPTED["a file in another folder"] = Project(
    {
        "deploy/compose.yaml": ONE_SERVICE + "    env_file: ../one.env\n    environment: {A: $DOT}\n",
        "deploy/.env": "DOT=deploy\n",
        ".env": DOT,
        "one.env": ONE,
    },
    compose=("deploy/compose.yaml",),
)
ACCEPTED["files in two folders"] = Project(
    {
        "compose.yaml": ONE_SERVICE + "    env_file: one.env\n",
        "over/compose.yaml": "services: {s: {env_file: two.env}}\n",
        ".env": DOT,
        "one.env": ONE,
        "two.env": TWO,
        "over/two.env": "TWO=over\n",
    },
    compose=("compose.yaml", "over/compose.yaml"),
)

# every one is a project that Compose refuses
REFUSED: dict[str, Project] = {
    "required, not set": of("environment: {A: '${NOPE:?must be set}'}"),
    "required, empty": of("environment: {A: '${EMPTY_OUTSIDE:?}'}"),
    "required, of a service that does not run": whole(
        "services: {s: {image: x}, p: {image: x, profiles: [p], command: '${NOPE:?}'}}\n"
    ),
    "malformed": of("environment: {A: '${1X}'}"),
    "unclosed": of("command: 'echo ${DOT'"),
    "no env file": of("env_file: gone.env"),
    "no env file, required": of("env_file: [{path: gone.env, required: true}]"),
    "a folder for an env file": of("env_file: sub", sub__x_env="A=1\n"),
    "a broken env file": of("env_file: bad.env", bad_env="A B=1\n"),
    "a broken env file of the project": Project({"compose.yaml": ONE_SERVICE, ".env": "A='1\n"}),
    "a list for a value": of("environment: {A: [1]}"),
    "a mapping for a value": of("environment: {A: {B: 1}}"),
    "text for environment": of("environment: A=1"),
    "no YAML": whole("services: [\n"),
    "a tab": whole("services:\n\ts: {}\n"),
    "a key twice": of("environment:\n  A: 1\n  A: 2"),
    "no mapping": whole("- a\n"),
    "services is a list": whole("services: [a]\n"),
    "a service is text": whole("services: {s: x}\n"),
    "empty": whole(""),
    "extends nobody": of("extends: other"),
    "extends nobody elsewhere": of("extends: {file: o.yaml, service: o}", o_yaml="services: {p: {image: x}}\n"),
    "extends a file that is not there": of("extends: {file: gone.yaml, service: o}"),
    "extends in a circle": whole("services: {a: {image: x, extends: b}, b: {image: x, extends: a}}\n"),
    "includes a file that is not there": whole("include: [gone.yaml]\n" + ONE_SERVICE),
    "includes itself": whole("include: [compose.yaml]\n" + ONE_SERVICE),
    "an alias to nothing": of("environment: *nothing"),
    "an alias to itself": whole("services: &a {s: *a}\n"),
    "a number for a key": of("environment: {1: x}"),
}
