# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parser and the writer of env files against the real Docker Compose: not one byte of difference."""

from __future__ import annotations

import json
import os
import random
import subprocess

import pytest

from ansible_collections.tria.production.plugins.module_utils._env import parser, writer

SHELL = {"OUTSIDE": "from the shell", "BOTH": "shell", "EMPTY_OUTSIDE": ""}

# every one is a file that Compose accepts
ACCEPTED = [
    "",
    "\n\n",
    "# only a comment",
    "A=1",
    "A=1\n",
    "\ufeffA=1\n",
    "A=1\r\nB=2\r\n",
    "A=1\rB=2\n",
    "A=",
    "A=\nB=1",
    "A = 1 \n",
    " \t A\t=\t1\t\n",
    "export A=1\n",
    "export\tA=1\nexportB=2\n",
    "export\nA=1\n",
    "export  OUTSIDE\n",
    "A: 1\nB:2\n",
    "A:=1\n",
    "A==1\n",
    "A=b=c:d\n",
    "A.b-c[0]=1\n",
    "1A=2\n_=3\n",
    "ÄÖ=1\nλ٣=2\n",
    "A\tB=1\n",
    "OUTSIDE\n",
    "NOWHERE\nA=1\n",
    "EMPTY_OUTSIDE\n",
    "A=1 # comment\n",
    "A=1# no comment\n",
    "A=1\t# kept\n",
    "A= # x\n",
    "A=#x\n",
    "A= #x y #z\n",
    "A=x #y\n#B=1\n C=2",
    "A=a b  c  \n",
    "A=\u00a0x\u00a0\u2003\n",
    "A=x\u001c\n",
    "A='single $OUTSIDE # \\n \"'\n",
    "A='it\\'s'\n",
    "A='a\\\\'\n",
    "A='a\\b\\\\c'\n",
    "A='two\nlines\n'\nB=1\n",
    'A="two\nlines # no comment"\nB=1\n',
    'A="double $OUTSIDE"\n',
    'A="\\a\\b\\c\\f\\n\\r\\t\\v\\"\\\\\\$"\n',
    'A="\\x41 \\u0041 \\e \\\' \\ \\/"\n',
    'A="\\0101\\0377\\0400\\018\\0\\01\\012\\0129"\n',
    'A="\\\\n \\\\\\n \\\\\\\\n"\n',
    'A="\\$OUTSIDE \\\\$OUTSIDE $$OUTSIDE"\n',
    'A="$\\OUTSIDE"\n',
    'A="x"tail=9\n',
    "A='x'B='y'C=\"z\"D=4\n",
    'A="x" # comment\n',
    'A="x"# comment\n',
    'A="x"   B=2\n',
    'A=x"y"\n',
    "A=x'y\nB=z'\n",
    "A=\"\"\nB=''\n",
    "A=$OUTSIDE\n",
    "A=pa$word\n",
    "A=pa$$word\n",
    "A=a$ b$\n",
    "A=$1 $9x\n",
    "A=${OUTSIDE}x$OUTSIDE-x\n",
    "A=${OUTSIDE:-d}${NOPE:-d}${EMPTY_OUTSIDE:-d}\n",
    "A=${OUTSIDE-d}|${NOPE-d}|${EMPTY_OUTSIDE-d}\n",
    "A=${OUTSIDE:+d}|${NOPE:+d}|${EMPTY_OUTSIDE:+d}\n",
    "A=${OUTSIDE+d}|${NOPE+d}|${EMPTY_OUTSIDE+d}\n",
    "A=${OUTSIDE:?e}|${EMPTY_OUTSIDE?e}\n",
    "A=${NOPE:-${OUTSIDE}}\n",
    "A=${NOPE:-${NADA:-${NIX:-deep}}}\n",
    "A=${NOPE:-a}b}c\n",
    "A=${NOPE:-{}}\n",
    "A=${NOPE:-{x}}y}\n",
    "A=${NOPE:-a:-b}\n",
    "A=${NOPE-a?b+c}\n",
    "A=${NOPE:-x} and ${OUTSIDE:-y} and $OUTSIDE}\n",
    "A=${NOPE:-}\n",
    "A=${NOPE:-$$x}\n",
    'A="${NOPE:-a b #c}"\n',
    'A="${NOPE:-\\"q\\"}"\n',
    "A=$outside$Outside\n",
    "A=$ſx$Kx$ıx\n",
    "A={$OUTSIDE}\n",
    "A=1\nB=$A\nC=${A}${B}\n",
    "B=$A\nA=1\n",
    "A=1\nA=2\nB=$A\n",
    "BOTH=file\nB=$BOTH\n",
    "OUTSIDE=file\nB=$OUTSIDE\n",
    "PASSWORD=p@ss:w/rd?&%41\n",
    "A=`id`\nB=$(id)\nC=!x\n",
    "A=\\n\\$OUTSIDE\n",
    "A=\u2028x\n\u2028B=2\n",
    "A=x\vy\fz\n",
    "A=" + "x" * 70000 + "\n",
]

# every one is a file that Compose refuses
REFUSED = [
    "A=${NOPE:-a b #c}\n",
    "A='$'\"$OUTSIDE\"B=1\n",
    "A='x\n",
    'A="x\nB=1\n',
    "A='x\\'\n",
    "A B=1\n",
    "A B\n",
    "MY KEY\n",
    "A!=1\n",
    "A$B=1\n",
    "{}\n",
    "A=1\n'B'=2\n",
    '"A"=1\n',
    "export \n!",
    "export ",
    "A=${1X}\n",
    "A=${}\n",
    "A=${OUTSIDE\n",
    "A=${OUTSIDE!x}\n",
    'A="${NOPE:-two\nlines}"\n',
    "A=${NOPE:?e}\n",
    "A=${NOPE?e}\n",
    "A=${EMPTY_OUTSIDE:?e}\n",
    "A=${OUTSIDE:-${1}}\n",
    "A=${NOPE:-${NADA:?deep}}\n",
    "A=1\nB=${\nC=3\n",
    'A="x"!\n',
    'A="x"y z=1\n',
    "+A=1\n",
    "=1\n",
    ":1\n",
    "A=1\nLAST",
    "LAST",
]


@pytest.fixture(name="compose")
def fixture_compose(tmp_path):
    """Runs `docker compose config` in an empty folder, with a process environment of our own."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **SHELL}

    def run(*arguments: str, model: dict) -> subprocess.CompletedProcess:
        (tmp_path / "compose.yaml").write_text(json.dumps(model), encoding="utf-8")
        command = ["docker", "compose", "--project-directory", str(tmp_path), *arguments, "config", "--format", "json"]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False
        )

    return run


def read_by_compose(compose, folder, texts: list) -> list:
    """What a container gets from each of the files: one service per file, all in one call."""
    services = {}
    for number, text in enumerate(texts):
        path = folder / f"{number}.env"
        path.write_bytes(text.encode("utf-8"))
        services[f"s{number}"] = {"image": "none", "env_file": [str(path)]}
    done = compose(model={"services": services})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["services"]
    return [
        {
            name: (value or "").replace("$$", "$")
            for name, value in (found[f"s{number}"].get("environment") or {}).items()
        }
        for number in range(len(texts))
    ]


def differences(compose, folder, texts: list) -> list:
    return [
        (text[:200], ours, theirs)
        for text, theirs in zip(texts, read_by_compose(compose, folder, texts))
        for ours in [parser.parse(text, SHELL.get).values]
        if ours != theirs
    ]


def test_corpus_is_read_as_compose_reads_it(compose, tmp_path):
    assert not [text for text in ACCEPTED if parser.parse(text, SHELL.get).failed]
    assert not differences(compose, tmp_path, ACCEPTED)


@pytest.mark.parametrize("text", REFUSED)
def test_what_compose_refuses_is_an_error(compose, tmp_path, text):
    path = tmp_path / "f.env"
    path.write_bytes(text.encode("utf-8"))
    assert compose("--env-file", str(path), model={"services": {"s": {"image": "none"}}}).returncode != 0
    assert parser.parse(text, SHELL.get).failed


def test_env_file_option_reads_the_same_and_the_shell_wins(compose, tmp_path):
    text = "A=pa$word\nB=\"x\"C='$y'\nBOTH=file\nD=${BOTH}\n"
    (tmp_path / "f.env").write_text(text, encoding="utf-8")
    names = ["A", "B", "C", "BOTH", "D"]
    done = compose(
        "--env-file", str(tmp_path / "f.env"), model={"services": {"s": {"image": "none", "environment": names}}}
    )
    theirs = json.loads(done.stdout)["services"]["s"]["environment"]
    ours = {**parser.parse(text, SHELL.get).values, "BOTH": SHELL["BOTH"]}
    assert {name: value.replace("$$", "$") for name, value in theirs.items()} == ours


def test_generated_files_are_read_as_compose_reads_them(compose, tmp_path):
    pieces = [
        "A",
        "B",
        "export ",
        "=",
        ":",
        " ",
        " ",
        "\t",
        "\n",
        "\n",
        "\r\n",
        "'",
        '"',
        "\\",
        "\\\\",
        "$",
        "$$",
        "${",
        "}",
        "$A",
    ]
    pieces += [
        "${A}",
        "${B:-",
        "${OUTSIDE:+",
        ":?",
        "#",
        " #",
        "x",
        "y z",
        "\\n",
        "\\0101",
        "\\$",
        "é",
        "{",
        "[0]",
        "-",
        "?",
    ]
    source = random.Random(20)
    texts = ["A=" + "".join(source.choices(pieces, k=source.randrange(1, 25))) + "\n" for _count in range(6000)]
    accepted = [text for text in texts if not parser.parse(text, SHELL.get).failed]
    assert len(accepted) > 1000
    assert not differences(compose, tmp_path, accepted[:1500])


def test_generated_files_that_we_refuse_are_refused(compose, tmp_path):
    pieces = ["A", "=", " ", "\n", "'", '"', "\\", "$", "${", "}", "${A}", "${B:-", "#", "x"]
    source = random.Random(21)
    texts = ["A=" + "".join(source.choices(pieces, k=8)) + "\n" for _count in range(200)]
    refused = [text for text in texts if parser.parse(text).failed][:25]
    for number, text in enumerate(refused):
        path = tmp_path / f"{number}.env"
        path.write_text(text, encoding="utf-8")
        assert compose("--env-file", str(path), model={"services": {"s": {"image": "none"}}}).returncode != 0, text


def test_what_the_writer_writes_is_what_compose_reads(compose, tmp_path):
    source = random.Random(22)
    alphabet = "\\\\\\'''\"\"$$#={}[]() \t\n\r\v\fabnrt0189é\u2028\u00a0\U0001f600%@:/?&!`~-"
    values = ["".join(source.choices(alphabet, k=source.randrange(0, 12))) for _count in range(3000)]
    variables = {f"V{number}": value for number, value in enumerate(values)}
    assert read_by_compose(compose, tmp_path, [writer.dump(variables)]) == [variables]
    assert parser.parse(writer.dump(variables)).values == variables
